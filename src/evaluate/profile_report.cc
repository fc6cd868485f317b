#include "evaluate/profile_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "evaluate/columns.h"

namespace fettle {
namespace {

constexpr const char* kAnswer = "answer";
constexpr const char* kTokenize = "tokenize";

std::string name_of(const NodeTime& node, ProfileGroup group) {
  if (group == ProfileGroup::kNode) return node.node.empty() ? node.op : node.node;
  const std::string encoding = node.kernel.substr(0, node.kernel.find(' '));
  return encoding == "f32" || encoding == "reference" ? node.op : node.op + " " + encoding;
}

void add(ProfileRow& row, const NodeTime& node) {
  row.calls += node.calls;
  row.self_ms += node.self_ms;
  row.total_ms += node.self_ms;
  row.flops += node.flops;
  row.bytes += node.bytes;
  row.weight_bytes += node.weight_bytes;
  row.least_ms += node.least_ms;
  if (node.by_memory) row.by_memory_ms += node.least_ms;
}

std::string milliseconds(double ms) {
  if (ms >= 1000) return fmt::format("{:.0f}", ms);
  return ms >= 100 ? fmt::format("{:.1f}", ms) : fmt::format("{:.3f}", ms);
}

std::string percent(double part, double whole) {
  return whole > 0 ? fmt::format("{:.1f}", 100 * part / whole) : "–";
}

// 1.23 k, 45.6 M: three digits.
std::string scaled(double value) {
  if (value <= 0) return "–";
  constexpr const char* kUnits[] = {"", " k", " M", " G", " T"};
  size_t unit = 0;
  for (; value >= 999.5 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  const int digits = value >= 99.95 || unit == 0 ? 0 : value >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f}{}", value, digits, kUnits[unit]);
}

// Per nanosecond is G a second.
std::string rate(double amount, double ms) {
  if (amount <= 0 || ms <= 0) return "–";
  const double giga = amount / (ms * 1e6);
  return giga >= 99.95 ? fmt::format("{:.0f}", giga) : fmt::format("{:.1f}", giga);
}

// Columns and whether they also stand in narrow tables.
struct Column {
  const char* title;
  bool narrow;
};
constexpr Column kColumns[] = {
    {"name", true},    {"self %", true}, {"self ms", true}, {"total %", false}, {"total ms", true}, {"calls", true},
    {"avg ms", false}, {"FLOPs", false}, {"bytes", false},  {"GFLOP/s", true},  {"GB/s", true},     {"limit %", true},
};
constexpr int kWide = 118;

std::vector<std::string> cells(const ProfileRow& row, double whole_ms) {
  return {row.name,
          percent(row.self_ms, whole_ms),
          milliseconds(row.self_ms),
          percent(row.total_ms, whole_ms),
          milliseconds(row.total_ms),
          std::to_string(row.calls),
          milliseconds(row.total_ms / static_cast<double>(std::max<int64_t>(1, row.calls))),
          scaled(row.flops),
          scaled(row.bytes),
          rate(row.flops, row.total_ms),
          rate(row.bytes, row.total_ms),
          row.least_ms > 0 ? percent(row.least_ms, row.total_ms) : "–"};
}

TextTable table_of(const std::vector<ProfileRow>& rows, double whole_ms, int columns) {
  TextTable table;
  const auto line = [&](const std::vector<std::string>& all) {
    std::vector<std::string> shown;
    for (size_t c = 0; c < all.size(); ++c) {
      if (columns >= kWide || kColumns[c].narrow) shown.push_back(all[c]);
    }
    table.push_back(std::move(shown));
  };
  std::vector<std::string> titles;
  for (const Column& column : kColumns) titles.emplace_back(column.title);
  line(titles);
  for (const ProfileRow& row : rows) line(cells(row, whole_ms));
  return table;
}

std::string path_name(const PathProfile& path) {
  if (path.fast_path) return "fast path";
  return path.padded ? "slow path, padded" : "slow path";
}

std::string heading(const PathProfile& path) {
  std::string text = fmt::format("{}: {} sequence{}, {} tokens", path_name(path), path.n_sequences,
                                 path.n_sequences == 1 ? "" : "s", path.n_tokens);
  if (path.padded) text += fmt::format(" ({} with padding)", path.n_computed_tokens);
  return text + fmt::format("; kernels {}, {} thread{}\n", path.table, path.n_threads, path.n_threads == 1 ? "" : "s");
}

std::string total_line(const PathProfile& path) {
  const double overhead = path.run_ms - path.plain_run_ms;
  std::string text = fmt::format("total {} ms: ops {}, between them {}", milliseconds(path.total_ms()),
                                 milliseconds(path.nodes_ms()), milliseconds(path.run_ms - path.nodes_ms()));
  if (path.tokenize_ms > 0) text += fmt::format(", tokenizing {}", milliseconds(path.tokenize_ms));
  text += fmt::format("\nwithout the profiler's clocks a run takes {} ms: they cost {} ms ({:+.1f} %)\n",
                      milliseconds(path.plain_run_ms), milliseconds(overhead),
                      path.plain_run_ms > 0 ? 100 * overhead / path.plain_run_ms : 0);
  return text;
}

}  // namespace

std::vector<ProfileRow> profile_rows(const PathProfile& path, ProfileGroup group) {
  std::vector<ProfileRow> ops;
  ProfileRow answer{.name = kAnswer, .calls = 1, .self_ms = path.run_ms - path.nodes_ms(), .total_ms = path.total_ms()};
  for (const NodeTime& node : path.nodes) {
    const std::string name = name_of(node, group);
    auto row = std::ranges::find(ops, name, &ProfileRow::name);
    if (row == ops.end() || group == ProfileGroup::kNode) row = ops.insert(ops.end(), ProfileRow{.name = name});
    add(*row, node);
    answer.flops += node.flops;
    answer.bytes += node.bytes;
    answer.weight_bytes += node.weight_bytes;
    answer.least_ms += node.least_ms;
  }
  if (group == ProfileGroup::kOp) std::ranges::stable_sort(ops, std::ranges::greater(), &ProfileRow::self_ms);
  std::vector<ProfileRow> rows{std::move(answer)};
  if (path.tokenize_ms > 0) {
    rows.push_back({.name = kTokenize, .calls = 1, .self_ms = path.tokenize_ms, .total_ms = path.tokenize_ms});
  }
  rows.insert(rows.end(), std::make_move_iterator(ops.begin()), std::make_move_iterator(ops.end()));
  return rows;
}

std::string format_profile(const PathProfile& path, ProfileGroup group, const Roofline& limits, int columns) {
  std::string text = heading(path);
  text += format_columns(table_of(profile_rows(path, group), path.total_ms(), columns), columns);
  text += total_line(path);
  return text + wrap(dominant_part(path, limits), columns, 0);
}

std::string format_comparison(const PathProfile& slow, const PathProfile& fast, int columns) {
  const std::vector<ProfileRow> before = profile_rows(slow, ProfileGroup::kOp);
  const std::vector<ProfileRow> after = profile_rows(fast, ProfileGroup::kOp);
  TextTable table{{"name", "slow calls", "slow ms", "slow %", "fast calls", "fast ms", "fast %"}};
  const auto cells_of = [](const std::vector<ProfileRow>& rows, const std::string& name, double whole_ms,
                           std::vector<std::string>& line) {
    const auto row = std::ranges::find(rows, name, &ProfileRow::name);
    if (row == rows.end()) {
      line.insert(line.end(), {"–", "–", "–"});
    } else {
      line.insert(line.end(),
                  {std::to_string(row->calls), milliseconds(row->self_ms), percent(row->self_ms, whole_ms)});
    }
  };
  std::vector<std::string> names;
  for (const auto* rows : {&before, &after}) {
    for (const ProfileRow& row : *rows) {
      if (std::ranges::find(names, row.name) == names.end()) names.push_back(row.name);
    }
  }
  for (const std::string& name : names) {
    std::vector<std::string> line{name == kAnswer ? "between the ops" : name};
    cells_of(before, name, slow.total_ms(), line);
    cells_of(after, name, fast.total_ms(), line);
    table.push_back(std::move(line));
  }
  table.push_back({"total", "", milliseconds(slow.total_ms()), "100.0", "", milliseconds(fast.total_ms()), "100.0"});
  std::string text;
  const double ratio = (slow.tokenize_ms + slow.plain_run_ms) / (fast.tokenize_ms + fast.plain_run_ms);
  if (ratio >= 1) {
    text += fmt::format("The fast path is {:.2f} times as fast", ratio);
  } else {
    text += fmt::format("The fast path is no faster here ({:.2f} times the slow path's speed)", ratio);
  }
  text += fmt::format(" ({} instead of {} ms without the profiler's clocks).",
                      milliseconds(fast.tokenize_ms + fast.plain_run_ms),
                      milliseconds(slow.tokenize_ms + slow.plain_run_ms));
  return format_columns(table, columns) + wrap(text, columns, 0);
}

std::string dominant_part(const PathProfile& path, const Roofline& limits) {
  const std::vector<ProfileRow> rows = profile_rows(path, ProfileGroup::kOp);
  const auto longest = std::ranges::max_element(rows, {}, &ProfileRow::self_ms);
  std::string text =
      fmt::format("\"{}\" takes {:.0f} % of the time", longest->name, 100 * longest->self_ms / path.total_ms());
  if (longest->least_ms > 0 && longest->name != kAnswer) {
    const bool by_memory = longest->by_memory_ms > longest->least_ms / 2;
    text += fmt::format(", at {:.0f} % of the machine's limit: bound by {}", 100 * longest->least_ms / longest->self_ms,
                        by_memory ? "reading the weights" : "arithmetic");
  }
  if (path.least_ms() > 0) {
    text += fmt::format(". The run takes {:.2f} times its limit of {} ms", path.plain_run_ms / path.least_ms(),
                        milliseconds(path.least_ms()));
  }
  return text + fmt::format(" (memory {:.1f} GB/s; peaks int8 {:.0f}, bf16 {:.0f}, f32 {:.0f} GFLOP/s).",
                            limits.bandwidth_gb_s, limits.peak_int8_gops, limits.peak_bf16_gflops,
                            limits.peak_f32_gflops);
}

Json profile_json(const PathProfile& path) {
  const auto json_of = [&](const ProfileRow& row) {
    const double calls = static_cast<double>(std::max<int64_t>(1, row.calls));
    const auto ratio = [](double a, double b) { return b > 0 ? Json(a / b) : Json(nullptr); };
    return Json{{"name", row.name},
                {"calls", row.calls},
                {"self_percent", 100 * row.self_ms / path.total_ms()},
                {"self_ms", row.self_ms},
                {"total_percent", 100 * row.total_ms / path.total_ms()},
                {"total_ms", row.total_ms},
                {"average_ms", row.total_ms / calls},
                {"flops", row.flops},
                {"bytes", row.bytes},
                {"weight_bytes", row.weight_bytes},
                {"gflops_per_s", ratio(row.flops, row.total_ms * 1e6)},
                {"gb_per_s", ratio(row.bytes, row.total_ms * 1e6)},
                {"limit_ms", row.least_ms},
                {"roofline_share", ratio(row.least_ms, row.total_ms)}};
  };
  Json ops = Json::array();
  for (const ProfileRow& row : profile_rows(path, ProfileGroup::kOp)) ops.push_back(json_of(row));
  Json nodes = Json::array();
  for (size_t n = 0; n < path.nodes.size(); ++n) {
    ProfileRow row{.name = name_of(path.nodes[n], ProfileGroup::kNode)};
    add(row, path.nodes[n]);
    Json node = json_of(row);
    node["op"] = path.nodes[n].op;
    node["kernel"] = path.nodes[n].kernel;
    nodes.push_back(std::move(node));
  }
  return Json{{"fast_path", path.fast_path},
              {"padded", path.padded},
              {"table", path.table},
              {"threads", path.n_threads},
              {"sequences", path.n_sequences},
              {"tokens", path.n_tokens},
              {"computed_tokens", path.n_computed_tokens},
              {"runs", path.n_runs},
              {"total_ms", path.total_ms()},
              {"tokenize_ms", path.tokenize_ms},
              {"run_ms", path.run_ms},
              {"run_ms_without_profiler", path.plain_run_ms},
              {"overhead_ms", path.run_ms - path.plain_run_ms},
              {"limit_ms", path.least_ms()},
              {"ops", std::move(ops)},
              {"nodes", std::move(nodes)}};
}

}  // namespace fettle
