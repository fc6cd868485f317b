// The self-contained report.html.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "evaluate/report.h"
#include "evaluate/svg.h"

namespace fettle {

namespace {

constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --ink: #1c2128; --soft: #5b6470; --line: #d8dde3; --back: #ffffff; --panel: #f6f7f9; --mark: #0b6e4f; --warn: #9a3412; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa4b0; --line: #363d46; --back: #15181c; --panel: #1d2126; --mark: #4fd1a5; --warn: #fdba74; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 80rem; padding: 2rem 1.5rem 4rem; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
p.summary { font-size: 1.05rem; max-width: 48rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1.2rem; color: var(--soft); font-size: .9rem; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .4rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
th:nth-child(2), td:nth-child(2) { text-align: left; white-space: normal; min-width: 11rem; }
tr.best td { background: color-mix(in srgb, var(--mark) 12%, transparent); font-weight: 600; }
td .note { display: block; color: var(--soft); font-size: .8rem; font-weight: 400; }
td .remark { color: var(--warn); }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 50%; margin-right: .35rem; vertical-align: -.05rem; }
svg.plot { width: 100%; height: auto; background: var(--panel); border-radius: 8px; }
svg .grid { stroke: var(--line); stroke-width: 1; } svg .tick { fill: var(--soft); font-size: 12px; } svg .axis { fill: var(--ink); font-size: 13px; }
svg .number { fill: var(--ink); font-size: 13px; font-weight: 700; } svg .bubble { fill-opacity: .55; stroke-width: 1.5; }
svg .ring { fill: none; stroke: var(--mark); stroke-width: 2; stroke-dasharray: 5 4; } svg .curve { fill: none; stroke-width: 2; }
.c0 { fill: #4477aa; stroke: #4477aa; background: #4477aa; } .c1 { fill: #ee6677; stroke: #ee6677; background: #ee6677; }
.c2 { fill: #228833; stroke: #228833; background: #228833; } .c3 { fill: #ccbb44; stroke: #ccbb44; background: #ccbb44; }
.c4 { fill: #66ccee; stroke: #66ccee; background: #66ccee; } .c5 { fill: #aa3377; stroke: #aa3377; background: #aa3377; }
.c6 { fill: #bbbbbb; stroke: #bbbbbb; background: #bbbbbb; } .c7 { fill: #ee8866; stroke: #ee8866; background: #ee8866; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .85rem; }
@media print { :root { color-scheme: light; font-size: 11px; } body { max-width: none; padding: 0; font-size: 1rem; } svg.plot { max-height: 34rem; }
  h2 { break-after: avoid; } svg.plot, tr { break-inside: avoid; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
@page { size: A4 landscape; margin: 14mm; }
)css";

std::string cell(const std::string& text) {
  return "<td>" + text + "</td>";
}

std::string share(double value) {
  return value < 0 ? "–" : fmt::format("{:.3f}", value);
}

std::string p_value(double p) {
  if (p < 0) return "–";
  return p < 0.001 ? "&lt;0.001" : fmt::format("{:.3f}", p);
}

std::string table_row(const ReportRow& row, size_t index) {
  std::string html = row.best ? "<tr class=\"best\">" : "<tr>";
  html += cell(std::to_string(index + 1));
  html += "<td><span class=\"key c" + std::to_string(index % 8) + "\"></span>" + escape_xml(row.name);
  if (row.best) html += " (best)";
  if (!row.note.empty()) html += "<span class=\"note\">" + escape_xml(row.note) + "</span>";
  if (!row.remark.empty()) html += "<span class=\"note remark\">" + escape_xml(row.remark) + "</span>";
  html += "</td>";
  html += cell(fmt::format("{:.2f}", row.size_mb));
  html += cell(fmt::format("{:.3f} ± {:.3f}", row.mean_ms, row.std_ms));
  html += cell(share(row.accuracy)) + cell(share(row.in_scope_accuracy)) + cell(share(row.oos_recall));
  const bool compared = row.p_value >= 0;
  html += cell(compared ? fmt::format("{:+.2f} [{:+.2f}, {:+.2f}]", 100 * row.accuracy_difference, 100 * row.ci95_low,
                                      100 * row.ci95_high)
                        : "–");
  html += cell(p_value(row.p_value));
  html += cell(fmt::format("{:.1f}×", row.speedup)) + cell(fmt::format("{:.1f}×", row.shrink));
  html += cell(row.on_front ? "●" : "");
  return html + "</tr>\n";
}

std::string results_table(const std::vector<ReportRow>& rows) {
  std::string html =
      "<div class=\"scroll\"><table><thead><tr><th>#</th><th>model</th><th>MiB</th><th>latency ms<br>mean ± std</th>"
      "<th>accuracy</th><th>in-scope</th><th>out-of-scope<br>recall</th>"
      "<th>difference, points<br>[95 % interval]</th><th>McNemar<br>p</th><th>faster</th><th>smaller</th>"
      "<th>front</th></tr></thead><tbody>\n";
  for (size_t i = 0; i < rows.size(); ++i) html += table_row(rows[i], i);
  return html + "</tbody></table></div>\n";
}

// What does not decide stands apart, so that the first table fits a page.
std::string latency_table(const std::vector<ReportRow>& rows) {
  std::string html =
      "<div class=\"scroll\"><table><thead><tr><th>#</th><th>model</th><th>p50 ms</th><th>p90 ms</th><th>p99 ms</th>"
      "<th>tokenizing, µs</th><th>samples/s</th></tr></thead><tbody>\n";
  for (size_t i = 0; i < rows.size(); ++i) {
    const ReportRow& row = rows[i];
    html += "<tr>" + cell(std::to_string(i + 1));
    html += fmt::format("<td><span class=\"key c{}\"></span>{}</td>", i % 8, escape_xml(row.name));
    html += cell(fmt::format("{:.3f}", row.p50_ms)) + cell(fmt::format("{:.3f}", row.p90_ms));
    html += cell(fmt::format("{:.3f}", row.p99_ms)) + cell(fmt::format("{:.1f}", row.tokenize_us));
    html += cell(fmt::format("{:.0f}", row.samples_per_s)) + "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string models_section(const std::vector<ReportRow>& rows) {
  std::string html;
  const std::string plot = bubble_plot_svg(rows);
  if (!plot.empty()) {
    html += "<h2>Latency, accuracy and size</h2>\n" + plot +
            "<p>Each bubble is a model of the table below, numbered alike; its area is the size on disk. The dashed "
            "ring marks "
            "the best.</p>\n";
  }
  html += "<h2>Results</h2>\n" + results_table(rows);
  html +=
      "<p>Latency is end to end for one query, tokenizer included, the models taking turns. Differences and p-values "
      "compare "
      "with the first row, example by example (exact McNemar test; paired bootstrap).</p>\n";
  return html + "<h2>Latency in detail</h2>\n" + latency_table(rows);
}

std::string curve_plot(const std::vector<Curve>& curves, bool accuracy) {
  constexpr double kWidth = 900;
  constexpr double kHeight = 280;
  double last_epoch = 0;
  double low = accuracy ? 1 : 0;
  double high = 0;
  for (const Curve& curve : curves) {
    for (double epoch : curve.epochs) last_epoch = std::max(last_epoch, epoch);
    for (double value : accuracy ? curve.accuracy : curve.loss) {
      if (value < 0) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  if (last_epoch <= 0 || high <= 0) return "";
  const Axis x(0, last_epoch, 70, kWidth - 30, false);
  const Axis y(accuracy ? std::max(0.0, low - 0.02) : 0, accuracy ? std::min(1.0, high + 0.02) : high * 1.05,
               kHeight - 46, 16, false);
  std::string svg =
      fmt::format("<svg class=\"plot\" viewBox=\"0 0 {} {}\" xmlns=\"http://www.w3.org/2000/svg\">", kWidth, kHeight);
  for (double tick : y.ticks(5)) {
    svg += fmt::format(
        "<line class=\"grid\" x1=\"70\" x2=\"870\" y1=\"{0:.1f}\" y2=\"{0:.1f}\"/><text class=\"tick\" x=\"62\" "
        "y=\"{1:.1f}\" text-anchor=\"end\">{2}</text>",
        y(tick), y(tick) + 4, tick_label(tick));
  }
  for (double tick : x.ticks(8)) {
    svg += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>", x(tick),
                       kHeight - 28, tick_label(tick));
  }
  svg += fmt::format("<text class=\"axis\" x=\"470\" y=\"{}\" text-anchor=\"middle\">epoch</text>", kHeight - 8);
  for (size_t c = 0; c < curves.size(); ++c) {
    const std::vector<double>& values = accuracy ? curves[c].accuracy : curves[c].loss;
    std::string points;
    int64_t n_points = 0;
    for (size_t i = 0; i < values.size() && i < curves[c].epochs.size(); ++i) {
      if (values[i] < 0) continue;
      points += fmt::format("{:.1f},{:.1f} ", x(curves[c].epochs[i]), y(values[i]));
      ++n_points;
    }
    // A line through one point shows nothing.
    if (n_points == 1) {
      const size_t comma = points.find(',');
      svg += fmt::format("<circle class=\"c{}\" cx=\"{}\" cy=\"{}\" r=\"3\"/>", c % 8, points.substr(0, comma),
                         points.substr(comma + 1, points.size() - comma - 2));
    }
    svg += fmt::format("<polyline class=\"curve c{}\" style=\"fill:none\" points=\"{}\"><title>{}</title></polyline>",
                       c % 8, points, escape_xml(curves[c].name));
  }
  return svg + "</svg>\n";
}

std::string curves_section(const Report& report) {
  const std::vector<Curve>& curves = report.curves;
  if (curves.empty()) return "";
  std::string html = "<h2>Training</h2>\n<p>";
  for (size_t c = 0; c < curves.size(); ++c) {
    html += fmt::format("<span class=\"key c{}\"></span>{}&ensp; ", c % 8, escape_xml(curves[c].name));
  }
  html += "</p>\n<h2>Loss</h2>\n" + curve_plot(curves, false);
  const std::string accuracy = curve_plot(curves, true);
  if (!accuracy.empty()) html += "<h2>" + escape_xml(report.accuracy_title) + "</h2>\n" + accuracy;
  return html;
}

}  // namespace

std::string report_head(const std::string& title, const std::string& summary, std::string_view more_style) {
  std::string html =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>";
  html += escape_xml(title) + "</title>\n<style>" + std::string(kStyle) + std::string(more_style);
  html += "</style></head><body>\n<h1>" + escape_xml(title) + "</h1>\n";
  return html + "<p class=\"summary\">" + escape_xml(summary) + "</p>\n";
}

std::string report_foot(const std::vector<std::pair<std::string, std::string>>& facts, const std::string& title) {
  std::string html = "<h2>" + title + "</h2>\n<dl>";
  for (const auto& [name, value] : facts) {
    html += "<dt>" + escape_xml(name) + "</dt><dd>" + escape_xml(value) + "</dd>";
  }
  return html + "</dl>\n</body></html>\n";
}

std::string report_html(const Report& report) {
  std::string html = report_head(report.title, report.summary);
  if (!report.rows.empty()) html += models_section(report.rows);
  html += curves_section(report);
  return html + report_foot(report.facts, report.rows.empty() ? "How it was made" : "How it was measured");
}

}  // namespace fettle
