// Interleaved latency measurements and, with data, quality.
#include "evaluate/benchmark.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/progress.h"
#include "evaluate/profile.h"

namespace fettle {

namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr int64_t kEvaluationBatch = 64;
constexpr int64_t kTurnRuns = 10;  // measured runs of one candidate before the next one's
constexpr int64_t kTurnWarmup = 2;

double percentile(const std::vector<double>& sorted, double p) {
  const double place = p * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(place);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (place - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

// One measured answer, end to end: text to label and score.
struct Query {
  std::vector<std::string> texts;
  std::vector<int32_t> ids;
  float score = 0;  // kept, so that nothing of the work can be left out by the compiler

  double answer_ms(Session& session) {
    Stopwatch watch;
    const Tensor logits = session.classify_texts(texts);
    const int64_t n_labels = session.model().config.n_labels();
    score = 0;
    for (size_t row = 0; row < texts.size(); ++row) {
      const float* values = logits.data<float>() + static_cast<int64_t>(row) * n_labels;
      const float best = *std::max_element(values, values + n_labels);
      float sum = 0;
      for (int64_t c = 0; c < n_labels; ++c) sum += std::exp(values[c] - best);
      score += 1 / sum;
    }
    return watch.ms();
  }

  double tokenize_us(const Session& session) {
    constexpr int kRepeats = 200;
    const ModelConfig& config = session.model().config;
    Stopwatch watch;
    for (int i = 0; i < kRepeats; ++i) {
      ids.clear();
      session.model().tokenizer->encode(texts[0], static_cast<int>(config.max_positions), ids);
    }
    return watch.seconds() * 1e6 / kRepeats;
  }
};

}  // namespace

LatencyStats summarize_latency(std::vector<double> times_ms) {
  LatencyStats stats;
  stats.n_runs = std::ssize(times_ms);
  if (times_ms.empty()) return stats;
  const auto n = static_cast<double>(times_ms.size());
  stats.mean_ms = std::accumulate(times_ms.begin(), times_ms.end(), 0.0) / n;
  double squares = 0;
  for (double t : times_ms) squares += (t - stats.mean_ms) * (t - stats.mean_ms);
  stats.std_ms = std::sqrt(squares / n);
  std::sort(times_ms.begin(), times_ms.end());
  stats.p50_ms = percentile(times_ms, 0.50);
  stats.p90_ms = percentile(times_ms, 0.90);
  stats.p99_ms = percentile(times_ms, 0.99);
  return stats;
}

std::vector<BenchmarkResult> benchmark(const std::vector<Candidate>& candidates, const Dataset* data,
                                       const BenchmarkOptions& options) {
  if (options.runs < 1 || options.warmup < 0) usage_error("benchmark", "needs at least one run");
  if (data != nullptr) require_labels(*data);
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<BenchmarkResult> results(candidates.size());
  for (size_t c = 0; c < candidates.size(); ++c) {
    sessions.push_back(std::make_unique<Session>(candidates[c].model, candidates[c].session));
    results[c].name = candidates[c].name;
    results[c].size_mb = candidates[c].size_mb;
  }

  Query query{std::vector<std::string>(static_cast<size_t>(options.batch_size), options.query), {}, 0};
  std::vector<std::vector<double>> times(candidates.size());
  const int64_t n_turns = (options.runs + kTurnRuns - 1) / kTurnRuns;
  Progress progress("benchmark", n_turns, "turns");
  for (int64_t turn = 0; turn < n_turns; ++turn) {
    const int64_t unmeasured = turn == 0 ? options.warmup : std::min(options.warmup, kTurnWarmup);
    const int64_t measured = std::min(kTurnRuns, options.runs - turn * kTurnRuns);
    for (size_t c = 0; c < candidates.size(); ++c) {
      throw_if_cancelled();
      for (int64_t run = 0; run < unmeasured; ++run) query.answer_ms(*sessions[c]);
      for (int64_t run = 0; run < measured; ++run) times[c].push_back(query.answer_ms(*sessions[c]));
    }
    progress.advance();
  }
  progress.finish();

  for (size_t c = 0; c < candidates.size(); ++c) {
    BenchmarkResult& result = results[c];
    result.latency = summarize_latency(times[c]);
    result.tokenize_us = query.tokenize_us(*sessions[c]);
    result.samples_per_s = static_cast<double>(options.batch_size) * 1e3 / result.latency.p50_ms;
    if (data != nullptr) {
      Stopwatch watch;
      result.predictions = predict(*sessions[c], *data, kEvaluationBatch);
      result.samples_per_s = static_cast<double>(data->examples.size()) / watch.seconds();
      result.predictions = apply_threshold(result.predictions, candidates[c].model->oos_threshold, data->oos_label);
      result.quality = measure_quality(result.predictions, *data);
      result.has_quality = true;
    }
    if (options.limits.bandwidth_gb_s > 0) {
      result.roofline_ratio = result.latency.p50_ms / least_ms_of(*sessions[c], query.texts, options.limits);
    }
    Executor& executor = sessions[c]->executor();
    result.peak_memory_mb = static_cast<double>(executor.packed_bytes() + executor.arena_bytes()) / kMiB;
  }
  return results;
}

}  // namespace fettle
