#include "compress/prune/latency.h"

#include <fettle/error.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "evaluate/benchmark.h"

namespace fettle {
namespace {

constexpr int64_t kAttempts = 5;
// Chosen by the table a little below the limit, since medians of one model differ by about this from run to run.
constexpr double kMargin = 0.98;

// The first `share` of the heads and neurons of each layer.
Model narrowed(const Model& model, bool few_heads, bool few_neurons, int64_t step) {
  KeptParts kept = everything(model.config);
  for (KeptLayer& layer : kept.in_layers) {
    if (few_heads) layer.heads.resize(1);
    if (few_neurons) layer.neurons.resize(std::min(layer.neurons.size(), static_cast<size_t>(step)));
  }
  return cut(model, kept);
}

std::vector<double> medians(const std::vector<std::shared_ptr<const Model>>& models, const LatencyTarget& target) {
  std::vector<Candidate> candidates;
  for (const auto& model : models) candidates.push_back({"", model, 0, target.session});
  BenchmarkOptions options;
  if (!target.query.empty()) options.query = target.query;
  options.runs = target.runs;
  options.session = target.session;
  options.regime = Regime::kLatency;
  std::vector<double> times;
  for (const BenchmarkResult& result : benchmark(candidates, nullptr, options)) times.push_back(result.latency.p50_ms);
  return times;
}

int64_t count(const ModelConfig& config, int64_t LayerConfig::*member) {
  int64_t n = 0;
  for (const LayerConfig& layer : config.layers) n += layer.*member;
  return n;
}

double slope(double whole_ms, double narrow_ms, int64_t n_gone) {
  return n_gone > 0 ? std::max(1e-9, (whole_ms - narrow_ms) / static_cast<double>(n_gone)) : 1e-9;
}

}  // namespace

TimeTable measure_times(const Model& model, int64_t neuron_step, const LatencyTarget& target) {
  const auto whole = std::make_shared<const Model>(model);
  const auto few_heads = std::make_shared<const Model>(narrowed(model, true, false, neuron_step));
  const auto few_neurons = std::make_shared<const Model>(narrowed(model, false, true, neuron_step));
  const auto least = std::make_shared<const Model>(narrowed(model, true, true, neuron_step));
  const std::vector<double> ms = medians({whole, few_heads, few_neurons, least}, target);
  const auto gone = [&](const Model& narrow, int64_t LayerConfig::*member) {
    return count(model.config, member) - count(narrow.config, member);
  };
  return {.whole_ms = ms[0],
          .head_ms = slope(ms[0], ms[1], gone(*few_heads, &LayerConfig::n_heads)),
          .neuron_ms = slope(ms[0], ms[2], gone(*few_neurons, &LayerConfig::intermediate_size)),
          .least_ms = ms[3]};
}

LatencyResult prune_to_latency(const Model& model, const Dataset& data, const StructureOptions& given,
                               const LatencyTarget& target) {
  LatencyResult result;
  result.times = measure_times(model, given.choice.neuron_step, target);
  const TimeTable& times = result.times;
  if (times.least_ms > target.max_ms) {
    throw Error(ErrorCode::kConstraints, "--max-ms",
                fmt::format("with one head and {} neurons in each layer the model still takes {:.3f} ms",
                            given.choice.neuron_step, times.least_ms),
                "remove layers first: --method layers");
  }
  StructureOptions options = given;
  options.choice.cost = {{PartKind::kHeads, times.head_ms}, {PartKind::kNeurons, times.neuron_ms}};
  std::vector<PartScores> scores = measure_importance(model, data, options.parts, options.importance);
  const double removable_ms = total_cost(scores, options.choice);
  double to_remove_ms = std::max(0.0, times.whole_ms - kMargin * target.max_ms);
  double least_seen_ms = times.whole_ms;
  for (result.attempts = 1; result.attempts <= kAttempts; ++result.attempts) {
    options.share = std::min(1.0, to_remove_ms / removable_ms);
    result.structure = choose_structure(model, data, options, scores);
    const auto candidate = std::make_shared<const Model>(cut(model, result.structure.kept));
    result.reached_ms = medians({candidate}, target)[0];
    log_info(fmt::format("{:.1f} % of the removable time gone: {:.3f} ms", 100 * options.share, result.reached_ms));
    if (result.reached_ms <= target.max_ms) return result;
    least_seen_ms = std::min(least_seen_ms, result.reached_ms);
    to_remove_ms += std::max(result.reached_ms - kMargin * target.max_ms, 0.02 * target.max_ms);
  }
  throw Error(ErrorCode::kConstraints, "--max-ms",
              fmt::format("{:.3f} ms was the best of {} attempts", least_seen_ms, kAttempts),
              "a quieter machine, or remove layers too: --method layers");
}

}  // namespace fettle
