#include "compress/prune/importance_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "evaluate/heat_map.h"
#include "evaluate/report.h"
#include "evaluate/svg.h"

namespace fettle {
namespace {

constexpr size_t kMostCells = 64;
constexpr std::string_view kStyle = R"css(
svg.heat { width: 100%; height: auto; display: block; margin: .4rem 0; }
svg .cell { fill: var(--mark); } svg .cross { fill: none; stroke: var(--warn); stroke-width: 2; }
p.note { color: var(--soft); font-size: .9rem; max-width: 48rem; }
)css";

bool is_single(PartKind kind) {
  return kind == PartKind::kHeads || kind == PartKind::kLayers;
}

// Descending, the means of as many neighbours as make 64 cells.
std::vector<double> sorted_cells(std::vector<double> scores) {
  std::ranges::sort(scores, std::greater<>());
  if (scores.size() <= kMostCells) return scores;
  std::vector<double> cells;
  for (size_t c = 0; c < kMostCells; ++c) {
    const size_t begin = c * scores.size() / kMostCells;
    const size_t end = (c + 1) * scores.size() / kMostCells;
    cells.push_back(std::accumulate(scores.begin() + static_cast<std::ptrdiff_t>(begin),
                                    scores.begin() + static_cast<std::ptrdiff_t>(end), 0.0) /
                    static_cast<double>(end - begin));
  }
  return cells;
}

bool is_gone(const KeptParts& kept, PartKind kind, size_t layer, size_t part) {
  if (kept.layers.empty()) return false;
  const bool layer_stays = std::ranges::count(kept.layers, static_cast<int64_t>(layer)) > 0;
  if (kind == PartKind::kLayers) return !layer_stays;
  return !layer_stays || std::ranges::count(kept.in_layers[layer].heads, static_cast<int64_t>(part)) == 0;
}

HeatMap map_of(const PartScores& scores, const KeptParts& kept) {
  HeatMap map;
  map.title = fmt::format("importance of {}", part_name(scores.kind));
  map.column_title = scores.kind == PartKind::kHeads ? "head" : scores.kind == PartKind::kLayers ? "whole layer" : "";
  map.label_columns = scores.kind == PartKind::kHeads;
  if (!is_single(scores.kind)) {
    map.column_title = fmt::format("{}, from the most to the least important", part_name(scores.kind));
  }
  for (size_t layer = 0; layer < scores.by_layer.size(); ++layer) {
    const std::vector<double>& mine = scores.by_layer[layer];
    map.rows.push_back(is_single(scores.kind) ? mine : sorted_cells(mine));
    if (!is_single(scores.kind)) continue;
    map.crossed.emplace_back();
    for (size_t i = 0; i < mine.size(); ++i) map.crossed.back().push_back(is_gone(kept, scores.kind, layer, i));
  }
  return map;
}

std::string section(const PartScores& scores, const KeptParts& kept, const std::string& data) {
  std::string html = fmt::format("<h2>Importance of {}{}</h2>\n", part_name(scores.kind),
                                 data.empty() ? "" : " on " + escape_xml(data));
  return html + heat_map_svg(map_of(scores, kept));
}

}  // namespace

std::string importance_report_html(const ImportanceReport& report) {
  std::string html = report_head(report.title, report.summary, kStyle);
  html +=
      "<p class=\"note\">The darker, the more the model needs the part: the scale is that of the largest of each map. "
      "What is struck out was removed.</p>\n";
  for (size_t i = 0; i < report.scores.size(); ++i) {
    html += section(report.scores[i], report.kept, report.data_name);
    if (i >= report.other.size()) continue;
    html += section(report.other[i], {}, report.other_name);
    html += fmt::format("<p class=\"note\">Rank correlation of both (Spearman): {:.3f}.</p>\n",
                        rank_correlation(report.scores[i], report.other[i]));
  }
  return html + report_foot(report.facts);
}

Json importance_to_json(const std::vector<PartScores>& scores) {
  Json list = Json::array();
  for (const PartScores& of_kind : scores) {
    for (size_t layer = 0; layer < of_kind.by_layer.size(); ++layer) {
      const std::vector<double>& mine = of_kind.by_layer[layer];
      if (mine.empty()) continue;
      Json item{{"part", std::string(part_name(of_kind.kind))}, {"layer", layer}};
      if (mine.size() <= kMostCells) {
        item["scores"] = mine;
      } else {
        const auto [least, most] = std::ranges::minmax_element(mine);
        item["n"] = mine.size();
        item["min"] = *least;
        item["mean"] = std::accumulate(mine.begin(), mine.end(), 0.0) / static_cast<double>(mine.size());
        item["max"] = *most;
      }
      list.push_back(std::move(item));
    }
  }
  return list;
}

}  // namespace fettle
