#include "search/search_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/progress.h"
#include "evaluate/columns.h"
#include "evaluate/report.h"
#include "evaluate/svg.h"

namespace fettle {
namespace {

constexpr std::string_view kStyle = R"css(
svg .dot { stroke-width: 1.5; fill-opacity: .75; } svg .hollow { fill: none; stroke: var(--soft); } svg .faint { stroke-opacity: .45; stroke-width: 1.2; }
.slices { display: grid; grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr)); gap: .8rem; }
)css";

bool is_best(const SearchReport& report, const Trial& trial) {
  return !report.front.empty() && report.front[0] == static_cast<size_t>(trial.number);
}

bool is_on_front(const SearchReport& report, const Trial& trial) {
  return std::find(report.front.begin(), report.front.end(), static_cast<size_t>(trial.number)) != report.front.end();
}

std::string mark_of(const SearchReport& report, const Trial& trial) {
  if (is_best(report, trial)) return "▶";
  return report.goals.size() > 1 && is_on_front(report, trial) ? "●" : "";
}

std::string value_of(const Trial& trial, size_t goal) {
  if (trial.state == TrialState::kComplete) return fmt::format("{:.4g}", trial.values[goal]);
  // How far it got.
  if (trial.state == TrialState::kPruned && goal == 0 && !trial.intermediates.empty()) {
    return fmt::format("({:.4g})", trial.intermediates.back().value);
  }
  return "–";
}

std::string time_of(const Trial& trial) {
  return trial.seconds > 0 ? format_duration(trial.seconds) : "–";
}

std::vector<std::string> titles(const SearchReport& report) {
  std::vector<std::string> cells{"trial", "state"};
  for (const Goal& goal : report.goals) cells.push_back(goal.name);
  for (const Parameter& parameter : report.space.parameters) cells.push_back(parameter.name);
  cells.emplace_back("time");
  return cells;
}

std::vector<std::string> cells_of(const SearchReport& report, const Trial& trial) {
  std::vector<std::string> cells{std::to_string(trial.number), std::string(trial_state_name(trial.state))};
  for (size_t goal = 0; goal < report.goals.size(); ++goal) cells.push_back(value_of(trial, goal));
  for (size_t i = 0; i < report.space.size(); ++i) {
    cells.push_back(describe(report.space.parameters[i], trial.parameters[i]));
  }
  cells.push_back(time_of(trial));
  return cells;
}

std::string html_table(const SearchReport& report) {
  std::string html = "<div class=\"scroll\"><table><thead><tr>";
  for (const std::string& title : titles(report)) html += "<th>" + escape_xml(title) + "</th>";
  html += "</tr></thead><tbody>\n";
  for (const Trial& trial : report.trials) {
    html += is_best(report, trial) ? "<tr class=\"best\">" : "<tr>";
    const std::vector<std::string> cells = cells_of(report, trial);
    for (size_t c = 0; c < cells.size(); ++c) {
      html += "<td>" + escape_xml(cells[c]);
      const std::string mark = c == 1 ? mark_of(report, trial) : "";
      if (!mark.empty()) html += " " + mark;
      if (c == 1 && !trial.detail.empty()) {
        html += "<span class=\"note remark\">" + escape_xml(trial.detail) + "</span>";
      }
      html += "</td>";
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string section(const std::string& title, const std::string& plot, const std::string& legend) {
  if (plot.empty()) return "";
  return "<h2>" + title + "</h2>\n" + plot + (legend.empty() ? "" : "<p>" + legend + "</p>\n");
}

}  // namespace

std::string format_trials(const SearchReport& report, bool color) {
  std::vector<std::vector<std::string>> lines{titles(report)};
  for (const Trial& trial : report.trials) lines.push_back(cells_of(report, trial));
  std::vector<size_t> widths(lines[0].size(), 0);
  for (const auto& line : lines) {
    for (size_t c = 0; c < line.size(); ++c) widths[c] = std::max(widths[c], display_width(line[c]));
  }
  std::string text;
  for (size_t r = 0; r < lines.size(); ++r) {
    const std::string mark = r == 0 ? "" : mark_of(report, report.trials[r - 1]);
    const bool bold = color && mark == "▶";
    if (bold) text += "\033[1m";
    text += mark.empty() ? "  " : mark + " ";
    for (size_t c = 0; c < lines[r].size(); ++c) {
      if (c > 0) text += "  ";
      text += std::string(widths[c] - display_width(lines[r][c]), ' ') + lines[r][c];
    }
    text += bold ? "\033[0m\n" : "\n";
    if (r > 0) continue;
    text += "  ";
    size_t width = 2 * (widths.size() - 1);
    for (size_t w : widths) width += w;
    for (size_t i = 0; i < width; ++i) text += "─";
    text += '\n';
  }
  return text;
}

std::string search_report_html(const SearchReport& report) {
  std::string html = report_head(report.title, report.summary, kStyle);
  html +=
      section("Results by trial", history_plot_svg(report),
              "Dots are complete trials; hollow ones were pruned and stand at their last value; × failed. The line is "
              "the best so far, the ring the best of all.");
  html += section("Front", front_plot_svg(report), "Red trials are on the front: none is better in everything.");
  std::string slices;
  for (size_t i = 0; i < report.space.size(); ++i) slices += slice_plot_svg(report, i);
  html += section("Results by parameter", slices.empty() ? "" : "<div class=\"slices\">" + slices + "</div>", "");
  html +=
      section("Importance", importance_plot_svg(report),
              "The share of the variance over the whole space that a parameter explains alone (functional ANOVA on a "
              "random forest); what is missing to 100 % are interactions. Few trials say little.");
  html += section("Learning curves", learning_plot_svg(report), "Green is the best trial; grey ones were pruned.");
  html += "<h2>Trials</h2>\n" + html_table(report);
  return html + report_foot(report.facts);
}

}  // namespace fettle
