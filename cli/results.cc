#include "cli/results.h"

#include <unistd.h>

#include "base/cpu.h"
#include "kernels/dispatch.h"

namespace fettle::cli {

ReportRow to_row(const BenchmarkResult& result) {
  ReportRow row;
  row.name = result.name;
  row.size_mb = result.size_mb;
  row.mean_ms = result.latency.mean_ms;
  row.std_ms = result.latency.std_ms;
  row.p50_ms = result.latency.p50_ms;
  row.p90_ms = result.latency.p90_ms;
  row.p99_ms = result.latency.p99_ms;
  row.tokenize_us = result.tokenize_us;
  row.samples_per_s = result.samples_per_s;
  if (result.has_quality) {
    row.accuracy = result.quality.accuracy;
    row.in_scope_accuracy = result.quality.in_scope_accuracy;
    row.oos_recall = result.quality.oos_recall;
  }
  return row;
}

ReportRow to_row(const CompressCandidate& candidate) {
  ReportRow row = to_row(candidate.measured);
  row.name = candidate.name;
  row.note = candidate.recipe;
  row.remark = candidate.remark;
  row.speedup = candidate.latency_ratio;
  row.shrink = candidate.size_ratio;
  row.p_value = candidate.against_baseline.mcnemar_p;
  row.accuracy_difference = candidate.against_baseline.accuracy_difference;
  row.ci95_low = candidate.against_baseline.ci95_low;
  row.ci95_high = candidate.against_baseline.ci95_high;
  row.on_front = candidate.on_front;
  return row;
}

std::vector<ReportRow> compared_rows(const std::vector<BenchmarkResult>& results, const Dataset* data) {
  std::vector<int32_t> truth;
  if (data != nullptr) {
    for (const Example& example : data->examples) truth.push_back(example.label);
  }
  std::vector<ReportRow> rows;
  for (const BenchmarkResult& result : results) {
    ReportRow row = to_row(result);
    row.speedup = results[0].latency.p50_ms / result.latency.p50_ms;
    row.shrink = results[0].size_mb / result.size_mb;
    if (data != nullptr && !rows.empty()) {
      const PairedTest test = compare_predictions(results[0].predictions.labels, result.predictions.labels, truth);
      row.p_value = test.mcnemar_p;
      row.accuracy_difference = test.accuracy_difference;
      row.ci95_low = test.ci95_low;
      row.ci95_high = test.ci95_high;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Json to_json(const BenchmarkResult& result) {
  Json json{{"name", result.name},
            {"size_mb", result.size_mb},
            {"time_avg_ms", result.latency.mean_ms},
            {"time_std_ms", result.latency.std_ms},
            {"p50_ms", result.latency.p50_ms},
            {"p90_ms", result.latency.p90_ms},
            {"p99_ms", result.latency.p99_ms},
            {"tokenize_us", result.tokenize_us},
            {"samples_per_s", result.samples_per_s},
            {"regime", std::string(regime_name(result.regime.regime))},
            {"peak_memory_mb", result.peak_memory_mb},
            {"roofline_ratio", result.roofline_ratio < 0 ? Json(nullptr) : Json(result.roofline_ratio)}};
  const Quality& quality = result.quality;
  const auto known = [&](double value) { return result.has_quality && value >= 0 ? Json(value) : Json(nullptr); };
  json["accuracy"] = known(quality.accuracy);
  json["in_scope_accuracy"] = known(quality.in_scope_accuracy);
  json["oos_recall"] = known(quality.oos_recall);
  json["oos_f1"] = known(quality.oos_f1);
  json["macro_f1"] = known(quality.macro_f1);
  json["ece"] = known(quality.ece);
  json["n"] = result.has_quality ? Json(quality.n) : Json(nullptr);
  return json;
}

Json to_json(const PairedTest& test) {
  return Json{{"accuracy_difference", test.accuracy_difference},
              {"ci95", {test.ci95_low, test.ci95_high}},
              {"mcnemar_p", test.mcnemar_p},
              {"only_a_right", test.only_a_right},
              {"only_b_right", test.only_b_right}};
}

std::vector<std::pair<std::string, std::string>> environment_facts(const Globals& globals) {
  const int threads = globals.threads > 0 ? globals.threads : cpu_features().n_cores;
  return {{"fettle", FETTLE_VERSION},
          {"processor", cpu_features().model_name},
          {"threads", std::to_string(threads)},
          {"kernels", std::string(table_named(globals.isa).name)},
          {"seed", std::to_string(globals.seed)},
          {"command", globals.command}};
}

void print_table(const std::vector<ReportRow>& rows) {
  print(format_table(rows, isatty(STDOUT_FILENO) == 1));
}

}  // namespace fettle::cli
