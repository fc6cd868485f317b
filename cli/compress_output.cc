#include "cli/compress_output.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "cli/results.h"
#include "compress/manifest.h"

namespace fettle::cli {

namespace {

Json candidate_json(const CompressCandidate& candidate) {
  Json json = to_json(candidate.measured);
  json["name"] = candidate.name;
  json["recipe"] = candidate.recipe;
  json["latency_ratio"] = candidate.latency_ratio;
  json["size_ratio"] = candidate.size_ratio;
  json["against_baseline"] = to_json(candidate.against_baseline);
  json["meets_limits"] = candidate.meets_limits;
  json["remark"] = candidate.remark.empty() ? Json(nullptr) : Json(candidate.remark);
  return json;
}

std::string verdict(const PairedTest& test) {
  const char* words = test.mcnemar_p >= 0.05         ? "no significant difference"
                      : test.accuracy_difference < 0 ? "a significant loss"
                                                     : "a significant gain";
  return fmt::format(
      "its accuracy differs by {:+.2f} points (95 % interval {:+.2f} to {:+.2f}, exact McNemar p = {:.3f}): {}",
      100 * test.accuracy_difference, 100 * test.ci95_low, 100 * test.ci95_high, test.mcnemar_p, words);
}

std::string summary(const CompressResult& result) {
  std::string text;
  if (result.best < 0) {
    text = "No candidate meets the limits.";
  } else if (result.best == 0) {
    text = "Nothing helped: no candidate that meets the limits is faster than the model as given.";
  } else {
    const CompressCandidate& best = result.candidates[static_cast<size_t>(result.best)];
    text = fmt::format("{} is {:.1f} times faster and {:.1f} times smaller than the baseline; {}.", best.name,
                       best.latency_ratio, best.size_ratio, verdict(best.against_baseline));
  }
  if (result.skipped.empty()) return text;
  text += " The budget left no time for:";
  for (const std::string& rule : result.skipped) text += " \"" + rule + "\"";
  return text + ".";
}

std::vector<ReportRow> rows_of(const CompressResult& result) {
  std::vector<ReportRow> rows;
  for (const CompressCandidate& candidate : result.candidates) rows.push_back(to_row(candidate));
  if (!rows.empty()) rows[0].p_value = -1;
  if (result.best >= 0) rows[static_cast<size_t>(result.best)].best = true;
  return rows;
}

Json result_json(const CompressResult& result, const std::string& report_path) {
  Json json{
      {"baseline", candidate_json(result.candidates[0])}, {"candidates", Json::array()}, {"pareto", Json::array()}};
  for (const CompressCandidate& candidate : result.candidates) {
    json["candidates"].push_back(candidate_json(candidate));
    if (candidate.on_front) json["pareto"].push_back(candidate.name);
  }
  json["best"] = nullptr;
  if (result.best >= 0) json["best"] = candidate_json(result.candidates[static_cast<size_t>(result.best)]);
  json["met"] = result.best >= 0;
  json["skipped"] = result.skipped;
  json["report"] = report_path;
  return json;
}

Report make_report(const CompressResult& result, const CompressOutput& output, const Globals& globals) {
  Report report;
  report.title = output.title;
  report.summary = summary(result);
  report.facts = environment_facts(globals);
  report.facts.emplace_back("data", output.data);
  report.rows = rows_of(result);
  report.curves = output.curves;
  return report;
}

}  // namespace

void write_compress(const CompressResult& result, const CompressOutput& output, const Globals& globals,
                    const std::filesystem::path& folder) {
  const std::string html = report_html(make_report(result, output, globals));
  if (result.best < 0) {
    AtomicFolder report_only(folder, globals.force);
    write_file(report_only.path() / "report.html", html);
    report_only.commit();
    return;
  }
  const CompressCandidate& best = result.candidates[static_cast<size_t>(result.best)];
  Model model = *best.model;
  record_measurements(model, candidate_json(best));
  save_model(model, folder, globals.force, {{"report.html", html}});
}

void print_compress(const CompressResult& result, const CompressOutput& output, const Globals& globals) {
  const std::string report_path = (std::filesystem::path(output.out) / "report.html").string();
  if (globals.json) {
    print_json(result_json(result, report_path));
  } else {
    print_table(rows_of(result));
    print("\n" + summary(result) + "\nreport: " + report_path + "\n");
    if (result.best >= 0) print("model:  " + output.out + "\n");
  }
  if (result.best >= 0) return;
  const CompressCandidate& nearest = result.candidates[static_cast<size_t>(result.nearest)];
  throw Error(ErrorCode::kConstraints, "compress",
              fmt::format("no candidate meets the limits; the nearest is \"{}\" with {:.2f} MiB, {:.3f} ms and {:+.2f} "
                          "points of accuracy",
                          nearest.name, nearest.measured.size_mb, nearest.measured.latency.p50_ms,
                          100 * nearest.against_baseline.accuracy_difference),
              "relax --max-ms, --max-mb or --max-drop, or name --student rules");
}

}  // namespace fettle::cli
