// Sessions of one model with shared weights, for both ways to use several cores: all of them on one batch after the
// other, or one on each of several batches at once.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "base/thread_pool.h"
#include "runtime/session.h"

namespace fettle {

enum class Regime : uint8_t {
  kLatency,     // all threads on one batch
  kThroughput,  // one worker for each thread, each with batches of its own
};
std::string_view regime_name(Regime regime);  // "latency", "throughput"

// What was measured of both, in units of work a second; zeros when there was too little to do to tell.
struct RegimeChoice {
  Regime regime = Regime::kLatency;
  double latency_per_s = 0;
  double throughput_per_s = 0;
};

// The answers are the same bytes in both regimes. Not thread safe itself.
class SessionGroup {
 public:
  SessionGroup(std::shared_ptr<const Model> model, const SessionOptions& options);

  // The session that has all threads.
  Session& whole() { return whole_; }
  int n_threads() const { return n_threads_; }
  // Packed parameters, once, and the values of all sessions.
  int64_t memory_bytes();

  // fn(task, session) for every task in [0, n): in order on the whole session, or on several workers at once, in which
  // case fn is called from several threads, but for each session from one. The first exception is rethrown.
  using Task = FunctionRef<void(int64_t task, Session& session)>;
  void run(Regime regime, int64_t n_tasks, Task fn);
  // The first tasks are run in turns of both regimes, the rest in the faster. `work` weighs tasks against each other.
  RegimeChoice run_faster(int64_t n_tasks, FunctionRef<double(int64_t task)> work, Task fn);

 private:
  void run_range(Regime regime, int64_t begin, int64_t end, Task fn);
  void make_workers();

  Session whole_;
  int n_threads_;
  std::vector<std::unique_ptr<Session>> workers_;  // made when first needed
  std::unique_ptr<ThreadPool> pool_;
};

}  // namespace fettle
