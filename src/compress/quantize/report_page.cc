#include "compress/quantize/report_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "evaluate/report.h"
#include "evaluate/svg.h"

namespace fettle {
namespace {

constexpr double kBarWidth = 3;
constexpr double kBarHeight = 34;
constexpr std::string_view kStyle = R"css(
svg.histogram { width: 11.5rem; height: 2.2rem; display: block; }
svg .bar { fill: var(--mark); }
p.note { color: var(--soft); font-size: .9rem; max-width: 48rem; }
td.picture { text-align: left; }
)css";

std::string picture(const std::vector<int64_t>& counts, double largest, const std::string& title) {
  return fmt::format("<td class=\"picture\">{}<span class=\"note\">±{:.3g}</span></td>",
                     histogram_svg(counts, largest, title), largest);
}

std::string layer_row(const LayerQuantization& layer, bool has_inputs) {
  const std::string inputs = layer.input_bits == 0 ? "" : fmt::format(", {}-bit inputs", layer.input_bits);
  std::string html = fmt::format(
      "<tr><td>{}</td><td>{}<span class=\"note\">{}{}</span></td><td>{:.2f}</td><td>{:.2e}</td><td>{:.6f}</td>"
      "<td>{:.4f} %</td>",
      shape_to_string(layer.shape), escape_xml(layer.name), layer.encoding, inputs, layer.bits_per_weight, layer.rmse,
      layer.cosine, 100 * layer.outlier_ratio);
  html += picture(layer.histogram, layer.largest, "weights of " + layer.name);
  if (has_inputs && layer.input_histogram.empty()) html += "<td></td>";
  if (!layer.input_histogram.empty()) {
    html += picture(layer.input_histogram, layer.largest_input, "inputs of " + layer.name);
  }
  return html + "</tr>\n";
}

}  // namespace

std::string histogram_svg(const std::vector<int64_t>& counts, double largest, const std::string& title) {
  if (counts.empty()) return "";
  const auto n = static_cast<double>(counts.size());
  const double most = std::log1p(static_cast<double>(std::max<int64_t>(1, std::ranges::max(counts))));
  std::string svg = fmt::format(
      "<svg class=\"histogram\" viewBox=\"0 0 {:.0f} {:.0f}\" preserveAspectRatio=\"none\" role=\"img\" "
      "aria-label=\"{}\" xmlns=\"http://www.w3.org/2000/svg\">",
      kBarWidth * n, kBarHeight, escape_xml(title));
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    const double height = kBarHeight * std::log1p(static_cast<double>(counts[i])) / most;
    const double low = -largest + 2 * largest * static_cast<double>(i) / n;
    svg += fmt::format(
        "<rect class=\"bar\" x=\"{:.0f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"><title>{:.3g} … {:.3g}: "
        "{}</title></rect>",
        kBarWidth * static_cast<double>(i), kBarHeight - height, kBarWidth - 0.4, height, low, low + 2 * largest / n,
        counts[i]);
  }
  return svg + "</svg>";
}

std::string quantize_page_html(const QuantizePage& page) {
  const std::vector<LayerQuantization>& layers = page.report.layers;
  const bool has_inputs =
      std::ranges::any_of(layers, [](const LayerQuantization& layer) { return !layer.input_histogram.empty(); });
  std::string html = report_head(page.title, page.summary, kStyle);
  html += fmt::format(
      "<h2>Layers</h2>\n<table>\n<tr><th>shape</th><th>weight</th><th>bits</th><th>rmse</th><th>cosine</th>"
      "<th>outliers</th><th>weights</th>{}</tr>\n",
      has_inputs ? "<th>inputs</th>" : "");
  for (const LayerQuantization& layer : layers) html += layer_row(layer, has_inputs);
  html +=
      "</table>\n<p class=\"note\">bits: stored ones of a weight, with its share of scales and zero points. rmse and "
      "cosine: of the weights as stored against the original ones. outliers: share of the original weights more than "
      "six "
      "standard deviations from zero. Heights of the pictures are logarithms.</p>\n";
  return html + report_foot(page.facts, "How it was made");
}

}  // namespace fettle
