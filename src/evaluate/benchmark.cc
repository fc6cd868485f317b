// Interleaved latency measurements and, with data, quality.
#include "evaluate/benchmark.h"

#include <algorithm>
#include <atomic>
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

// One query, answered end to end: text to label and score.
class Query {
 public:
  Query(const std::string& text, int64_t n_copies) : texts_(static_cast<size_t>(n_copies), text) {}

  // May be called from several threads for different sessions.
  double answer_ms(Session& session) const {
    const Stopwatch watch;
    const Tensor logits = session.classify_texts(texts_);
    const int64_t n_labels = session.model().config.n_labels();
    float score = 0;
    for (size_t row = 0; row < texts_.size(); ++row) {
      const float* values = logits.data<float>() + static_cast<int64_t>(row) * n_labels;
      const float best = *std::max_element(values, values + n_labels);
      float sum = 0;
      for (int64_t c = 0; c < n_labels; ++c) sum += std::exp(values[c] - best);
      score += 1 / sum;
    }
    score_ = score;
    return watch.ms();
  }

  double tokenize_us(const Session& session) const {
    constexpr int kRepeats = 200;
    std::vector<int32_t> ids;
    const Stopwatch watch;
    for (int i = 0; i < kRepeats; ++i) {
      ids.clear();
      session.model().tokenizer->encode(texts_[0], static_cast<int>(session.model().config.max_positions), ids);
    }
    return watch.seconds() * 1e6 / kRepeats;
  }

  const std::vector<std::string>& texts() const { return texts_; }

 private:
  std::vector<std::string> texts_;
  // Kept, so that nothing of the work can be left out by the compiler.
  mutable std::atomic<float> score_ = 0;
};

// Times of a candidate's queries.
class QueryTimes {
 public:
  QueryTimes(const Candidate& candidate, const BenchmarkOptions& options)
      : group_(candidate.model, candidate.session), regime_(options.regime.value_or(Regime::kLatency)) {}

  SessionGroup& group() { return group_; }
  // Workers answer at once, so that each gets a turn's runs.
  void answer(const Query& query, int64_t unmeasured, int64_t measured) {
    const int64_t n_at_once = regime_ == Regime::kLatency ? 1 : group_.n_threads();
    group_.run(regime_, unmeasured * n_at_once, [&](int64_t, Session& session) { query.answer_ms(session); });
    std::vector<double> times_ms(static_cast<size_t>(measured * n_at_once));
    const Stopwatch watch;
    group_.run(regime_, std::ssize(times_ms),
               [&](int64_t run, Session& session) { times_ms[static_cast<size_t>(run)] = query.answer_ms(session); });
    wall_ms_ += watch.ms();
    times_ms_.insert(times_ms_.end(), times_ms.begin(), times_ms.end());
  }

  const std::vector<double>& times_ms() const { return times_ms_; }
  // Queries a second: of the median where they come one by one.
  double queries_per_s(const LatencyStats& latency) const {
    if (regime_ == Regime::kLatency) return 1e3 / latency.p50_ms;
    return static_cast<double>(times_ms_.size()) * 1e3 / wall_ms_;
  }

 private:
  SessionGroup group_;
  Regime regime_;
  std::vector<double> times_ms_;
  double wall_ms_ = 0;
};

void measure_data(const Candidate& candidate, const Dataset& data, const BenchmarkOptions& options, SessionGroup& group,
                  BenchmarkResult& result) {
  const Stopwatch watch;
  result.predictions = predict(group, data, options.regime, &result.regime, kEvaluationBatch);
  result.samples_per_s = static_cast<double>(data.examples.size()) / watch.seconds();
  result.predictions = apply_threshold(result.predictions, candidate.model->oos_threshold, data.oos_label);
  result.quality = measure_quality(result.predictions, data);
  result.has_quality = true;
}

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
  const Query query(options.query, options.batch_size);
  std::vector<std::unique_ptr<QueryTimes>> times;
  for (const Candidate& candidate : candidates) times.push_back(std::make_unique<QueryTimes>(candidate, options));
  const int64_t n_turns = (options.runs + kTurnRuns - 1) / kTurnRuns;
  Progress progress("benchmark", n_turns, "turns");
  for (int64_t turn = 0; turn < n_turns; ++turn) {
    const int64_t unmeasured = turn == 0 ? options.warmup : std::min(options.warmup, kTurnWarmup);
    const int64_t measured = std::min(kTurnRuns, options.runs - turn * kTurnRuns);
    for (const auto& candidate : times) {
      throw_if_cancelled();
      candidate->answer(query, unmeasured, measured);
    }
    progress.advance();
  }
  progress.finish();

  std::vector<BenchmarkResult> results(candidates.size());
  for (size_t c = 0; c < candidates.size(); ++c) {
    BenchmarkResult& result = results[c];
    SessionGroup& group = times[c]->group();
    result.name = candidates[c].name;
    result.size_mb = candidates[c].size_mb;
    result.latency = summarize_latency(times[c]->times_ms());
    result.tokenize_us = query.tokenize_us(group.whole());
    result.samples_per_s = static_cast<double>(options.batch_size) * times[c]->queries_per_s(result.latency);
    result.regime.regime = options.regime.value_or(Regime::kLatency);
    if (data != nullptr) measure_data(candidates[c], *data, options, group, result);
    if (options.limits.bandwidth_gb_s > 0) {
      const double query_ms = 1e3 / times[c]->queries_per_s(result.latency);
      result.roofline_ratio = query_ms / least_ms_of(group.whole(), query.texts(), options.limits);
    }
    result.peak_memory_mb = static_cast<double>(group.memory_bytes()) / kMiB;
  }
  return results;
}

}  // namespace fettle
