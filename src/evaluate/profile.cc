#include "evaluate/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/error.h"
#include "base/philox.h"
#include "base/progress.h"
#include "kernels/dispatch.h"

namespace fettle {
namespace {

constexpr int64_t kTurnRuns = 5;  // of one path before the other's

double mean(std::span<const double> values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Indices of the lower half by value: what a busy machine adds to a run does not count.
std::vector<size_t> lower_half(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return values[i]; });
  order.resize((values.size() + 1) / 2);
  return order;
}

double lower_mean(const std::vector<double>& values) {
  std::vector<double> kept;
  for (const size_t i : lower_half(values)) kept.push_back(values[i]);
  return mean(kept);
}

// One path and what was measured of it.
class ProfiledPath {
 public:
  ProfiledPath(const std::shared_ptr<const Model>& model, const ProfileInput& input, const ProfileOptions& options,
               bool fast_path)
      : input_(input),
        batch_(input.batch),
        session_(model, with_path(options.session, fast_path)),
        padded_(options.padded && !fast_path) {
    if (padded_) batch_ = padded_batch(input.batch, static_cast<int32_t>(model->config.pad_token_id));
  }

  void warm_up(int64_t runs) {
    for (int64_t i = 0; i < runs; ++i) session_.run(batch_);
  }

  // Runs with and without clocks in turns.
  void measure(int64_t runs) {
    Executor& executor = session_.executor();
    for (int64_t i = 0; i < runs; ++i) {
      executor.set_profiling(false);
      plain_ms_.push_back(run_ms());
      executor.set_profiling(true);
      const std::vector<double> before = node_totals();
      whole_ms_.push_back(run_ms());
      node_ms_.push_back(node_totals());
      for (size_t n = 0; n < before.size(); ++n) node_ms_.back()[n] -= before[n];
      if (!input_.texts.empty()) tokenize_ms_.push_back(tokenize_ms());
    }
    executor.set_profiling(false);
  }

  PathProfile result(const ProfileOptions& options, bool fast_path) {
    PathProfile path;
    path.fast_path = fast_path;
    path.padded = padded_;
    path.table = table_named(options.session.isa).name;
    path.n_threads = options.session.n_threads > 0 ? options.session.n_threads : cpu_features().n_cores;
    path.n_sequences = input_.batch.n_sequences();
    path.n_tokens = input_.batch.n_tokens();
    path.n_computed_tokens = batch_.n_tokens();
    const std::vector<size_t> kept = lower_half(whole_ms_);
    path.n_runs = static_cast<int64_t>(kept.size());
    for (const size_t i : kept) path.run_ms += whole_ms_[i] / static_cast<double>(kept.size());
    path.plain_run_ms = lower_mean(plain_ms_);
    path.tokenize_ms = lower_mean(tokenize_ms_);
    path.fusions = session_.fusions();
    path.kernels = session_.executor().kernels();
    add_nodes(kept, options.limits, path);
    return path;
  }

 private:
  static SessionOptions with_path(SessionOptions options, bool fast_path) {
    options.fast_path = fast_path;
    return options;
  }

  double run_ms() {
    const Stopwatch watch;
    session_.run(batch_);
    return watch.ms();
  }

  double tokenize_ms() {
    const Stopwatch watch;
    profile_texts(session_.model(), input_.texts);
    return watch.ms();
  }

  std::vector<double> node_totals() {
    std::vector<double> totals;
    for (const NodeProfile& node : session_.executor().profile()) totals.push_back(node.total_ms);
    return totals;
  }

  void add_nodes(const std::vector<size_t>& kept, const Roofline& limits, PathProfile& path) {
    const std::vector<NodeProfile>& nodes = session_.executor().profile();
    const auto runs = static_cast<double>(whole_ms_.size());
    for (size_t n = 0; n < nodes.size(); ++n) {
      NodeTime time{.op = nodes[n].op,
                    .node = nodes[n].name,
                    .kernel = path.kernels[n].kernel,
                    .arithmetic = path.kernels[n].arithmetic,
                    .calls = nodes[n].calls / std::ssize(whole_ms_),
                    .flops = nodes[n].flops / runs,
                    .bytes = nodes[n].bytes / runs,
                    .weight_bytes = nodes[n].weight_bytes / runs};
      for (const size_t i : kept) time.self_ms += node_ms_[i][n] / static_cast<double>(kept.size());
      const LeastTime least = least_time(time.weight_bytes, time.flops, time.arithmetic, limits);
      time.least_ms = least.ms();
      time.by_memory = least.reading_ms > least.computing_ms;
      path.nodes.push_back(std::move(time));
    }
  }

  const ProfileInput& input_;
  RaggedBatch batch_;
  Session session_;
  bool padded_;
  std::vector<double> plain_ms_;
  std::vector<double> whole_ms_;
  std::vector<double> tokenize_ms_;
  std::vector<std::vector<double>> node_ms_;  // by run, then node
};

}  // namespace

ProfileInput profile_texts(const Model& model, const std::vector<std::string>& texts) {
  if (model.tokenizer == nullptr) {
    bad_input(model.source.string(), "the model has no tokenizer", "--sequence makes up tokens");
  }
  const auto max_length = static_cast<int>(std::min<int64_t>(model.config.max_positions, INT32_MAX));
  ProfileInput input{{}, texts};
  std::vector<int32_t> ids;
  for (const std::string& text : texts) {
    ids.clear();
    model.tokenizer->encode(text, max_length, ids);
    input.batch.append(ids.data(), static_cast<int64_t>(ids.size()));
  }
  return input;
}

ProfileInput profile_random(const Model& model, int64_t n_sequences, int64_t length, uint64_t seed) {
  if (length > model.config.max_positions) {
    usage_error("--sequence", fmt::format("is more than the model's {} positions", model.config.max_positions));
  }
  Philox random(seed);
  ProfileInput input;
  std::vector<int32_t> ids(static_cast<size_t>(length));
  for (int64_t s = 0; s < n_sequences; ++s) {
    for (int32_t& id : ids) id = static_cast<int32_t>(random.below(static_cast<uint64_t>(model.config.vocab_size)));
    input.batch.append(ids.data(), length);
  }
  return input;
}

RaggedBatch padded_batch(const RaggedBatch& batch, int32_t pad_token_id) {
  int64_t longest = 0;
  for (int64_t s = 0; s < batch.n_sequences(); ++s) {
    longest =
        std::max<int64_t>(longest, batch.offsets[static_cast<size_t>(s) + 1] - batch.offsets[static_cast<size_t>(s)]);
  }
  const std::vector<int32_t> padding(static_cast<size_t>(longest), pad_token_id);
  RaggedBatch padded;
  for (int64_t s = 0; s < batch.n_sequences(); ++s) {
    const int32_t begin = batch.offsets[static_cast<size_t>(s)];
    const int64_t length = batch.offsets[static_cast<size_t>(s) + 1] - begin;
    padded.append(batch.token_ids.data() + begin, length);
    std::copy_n(batch.type_ids.begin() + begin, length, padded.type_ids.end() - length);
    if (length < longest) padded.append(padding.data(), longest - length);
  }
  return padded;
}

LeastTime least_time(double weight_bytes, double flops, Arithmetic arithmetic, const Roofline& limits) {
  double peak = limits.peak_f32_gflops;
  if (arithmetic == Arithmetic::kBF16) peak = limits.peak_bf16_gflops;
  if (arithmetic == Arithmetic::kInt8) peak = limits.peak_int8_gops;
  return {.reading_ms = limits.bandwidth_gb_s > 0 ? weight_bytes / limits.bandwidth_gb_s / 1e6 : 0,
          .computing_ms = peak > 0 ? flops / peak / 1e6 : 0};
}

double least_ms_of(Session& session, std::span<const std::string> texts, const Roofline& limits) {
  Executor& executor = session.executor();
  executor.set_profiling(true);
  session.classify_texts(texts);
  executor.set_profiling(false);
  const std::vector<NodeProfile>& nodes = executor.profile();
  double sum_ms = 0;
  for (size_t n = 0; n < nodes.size(); ++n) {
    sum_ms += least_time(nodes[n].weight_bytes, nodes[n].flops, executor.kernels()[n].arithmetic, limits).ms();
  }
  return sum_ms;
}

double PathProfile::nodes_ms() const {
  double sum = 0;
  for (const NodeTime& node : nodes) sum += node.self_ms;
  return sum;
}

double PathProfile::least_ms() const {
  double sum = 0;
  for (const NodeTime& node : nodes) sum += node.least_ms;
  return sum;
}

std::vector<PathProfile> profile_model(const std::shared_ptr<const Model>& model, const ProfileInput& input,
                                       const ProfileOptions& options) {
  if (options.runs < 1 || options.warmup < 0) usage_error("profile", "needs at least one run");
  if (input.batch.n_tokens() == 0) usage_error("profile", "there is nothing to run");
  std::vector<bool> modes;
  if (options.slow_path) modes.push_back(false);
  if (options.fast_path) modes.push_back(true);
  std::vector<std::unique_ptr<ProfiledPath>> paths;
  for (const bool fast : modes) {
    paths.push_back(std::make_unique<ProfiledPath>(model, input, options, fast));
    paths.back()->warm_up(options.warmup);
  }
  Progress progress("profile", options.runs, "runs");
  for (int64_t done = 0; done < options.runs; done += kTurnRuns) {
    const int64_t n = std::min(kTurnRuns, options.runs - done);
    for (const auto& path : paths) {
      throw_if_cancelled();
      path->warm_up(std::min<int64_t>(1, options.warmup));
      path->measure(n);
    }
    progress.advance(n);
  }
  progress.finish();
  std::vector<PathProfile> results;
  for (size_t i = 0; i < paths.size(); ++i) results.push_back(paths[i]->result(options, modes[i]));
  return results;
}

}  // namespace fettle
