// A pool of worker threads for loops whose result must not depend on how many threads there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/function_ref.h"

namespace fettle {

// Memory that a worker will read next: streams side by side, each from its beginning.
struct FetchAhead {
  static constexpr int kMaxStreams = 6;
  const std::byte* streams[kMaxStreams] = {};
  int n_streams = 0;
  int64_t size_bytes = 0;  // of each stream
};

// The pool runs numbered tasks; callers cut work into tasks by size alone, never by n_threads(), so that results are
// the same at any number of threads. Workers spin briefly before sleeping, because inference issues many short loops.
class ThreadPool {
 public:
  // n_threads >= 1 counts the calling thread; 0 means all cores that the process may use.
  explicit ThreadPool(int n_threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const;

  // Runs fn(task, worker) for every task in [0, n_tasks), worker in [0, n_threads()); returns when all are done. Tasks
  // are handed out in order, so a worker's tasks have rising numbers. The first exception is rethrown here after the
  // rest has stopped. Not reentrant: a nested call runs serially on the calling worker.
  void parallel_for(int64_t n_tasks, FunctionRef<void(int64_t task, int worker)> fn);

  // Cuts [0, n) into ranges of `grain` (the last may be shorter) and runs fn(begin, end, worker) on each.
  void parallel_ranges(int64_t n, int64_t grain, FunctionRef<void(int64_t begin, int64_t end, int worker)> fn);

  // From the next loop on, worker w fetches by_worker[w] into its second-level cache while it waits between loops;
  // workers beyond its end fetch nothing. The memory is not read, so it need not be there any more; by_worker itself
  // must live until the next call. Not to be called during a loop. Setting the same again goes on where it was.
  void set_ahead(std::span<const FetchAhead> by_worker);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fettle
