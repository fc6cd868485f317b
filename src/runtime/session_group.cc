#include "runtime/session_group.h"

#include <array>

#include "base/clock.h"
#include "base/cpu.h"

namespace fettle {
namespace {

// Tasks of one regime's turn for each thread, and turns of each regime that are measured.
constexpr int64_t kTurnTasks = 2;
constexpr int64_t kTurns = 2;
// Workers must win by this much: they need more memory.
constexpr double kLeastGain = 1.03;

}  // namespace

std::string_view regime_name(Regime regime) {
  return regime == Regime::kLatency ? "latency" : "throughput";
}

SessionGroup::SessionGroup(std::shared_ptr<const Model> model, const SessionOptions& options)
    : whole_(std::move(model), options),
      n_threads_(options.n_threads > 0 ? options.n_threads : cpu_features().n_cores) {}

int64_t SessionGroup::memory_bytes() {
  int64_t bytes = whole_.executor().packed_bytes() + whole_.executor().arena_bytes();
  for (const auto& worker : workers_) bytes += worker->executor().arena_bytes();
  return bytes;
}

void SessionGroup::make_workers() {
  if (pool_ != nullptr) return;
  for (int i = 0; i < n_threads_; ++i) workers_.push_back(whole_.share(1));
  pool_ = std::make_unique<ThreadPool>(n_threads_);
}

void SessionGroup::run_range(Regime regime, int64_t begin, int64_t end, Task fn) {
  if (regime == Regime::kLatency || n_threads_ == 1) {
    for (int64_t task = begin; task < end; ++task) fn(task, whole_);
    return;
  }
  make_workers();
  pool_->parallel_for(end - begin,
                      [&](int64_t task, int worker) { fn(begin + task, *workers_[static_cast<size_t>(worker)]); });
}

void SessionGroup::run(Regime regime, int64_t n_tasks, Task fn) {
  run_range(regime, 0, n_tasks, fn);
}

RegimeChoice SessionGroup::run_faster(int64_t n_tasks, FunctionRef<double(int64_t task)> work, Task fn) {
  constexpr std::array kRegimes = {Regime::kLatency, Regime::kThroughput};
  const int64_t turn = kTurnTasks * n_threads_;
  // A turn of each before, unmeasured: memory is planned for each session.
  const int64_t n_probed = turn * (kTurns + 1) * std::ssize(kRegimes);
  RegimeChoice choice;
  if (n_threads_ == 1 || n_tasks < 2 * n_probed) {
    run_range(Regime::kLatency, 0, n_tasks, fn);
    return choice;
  }
  std::array<double, kRegimes.size()> seconds{};
  std::array<double, kRegimes.size()> done{};
  int64_t begin = 0;
  for (int64_t t = 0; t <= kTurns; ++t) {
    for (size_t r = 0; r < kRegimes.size(); ++r, begin += turn) {
      if (t == 0) make_workers();
      const Stopwatch watch;
      run_range(kRegimes[r], begin, begin + turn, fn);
      if (t == 0) continue;
      seconds[r] += watch.seconds();
      for (int64_t task = begin; task < begin + turn; ++task) done[r] += work(task);
    }
  }
  choice.latency_per_s = done[0] / seconds[0];
  choice.throughput_per_s = done[1] / seconds[1];
  if (choice.throughput_per_s > kLeastGain * choice.latency_per_s) choice.regime = Regime::kThroughput;
  run_range(choice.regime, begin, n_tasks, fn);
  return choice;
}

}  // namespace fettle
