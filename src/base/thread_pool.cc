#include "base/thread_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"

namespace fettle {
namespace {

constexpr int kMaxThreads = 4096;
constexpr auto kSpinTime = std::chrono::microseconds(40);
constexpr auto kPauseTime = std::chrono::microseconds(15);  // first part of the spin; afterwards it yields the core
constexpr int kPausesPerLook = 16;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Fetches lines one by one.
class Fetching {
 public:
  Fetching() = default;
  explicit Fetching(const FetchAhead& what) : what_(what) {}

  bool is_done() const { return offset_ >= what_.size_bytes; }
  void step() {
    for (int i = 0; i < what_.n_streams; ++i) __builtin_prefetch(what_.streams[i] + offset_, 0, 2);
    offset_ += kLineBytes;
  }

 private:
  static constexpr int64_t kLineBytes = 64;
  FetchAhead what_;
  int64_t offset_ = 0;
};

// Waits a short while for `ready`, fetching meanwhile; returns whether it came true.
template <typename Ready>
bool spin_until(bool spins, Ready ready, Fetching* fetching = nullptr) {
  if (ready()) return true;
  if (!spins) return false;
  const auto start = std::chrono::steady_clock::now();
  while (true) {
    const auto elapsed = std::chrono::steady_clock::now() - start;
    if (elapsed > kSpinTime) return false;
    if (elapsed > kPauseTime) std::this_thread::yield();
    for (int i = 0; i < kPausesPerLook; ++i) {
      if (ready()) return true;
      if (fetching != nullptr && !fetching->is_done()) {
        fetching->step();
      } else {
        pause();
      }
    }
  }
}

// What the current thread is working on, so that a nested call is recognized.
struct Running {
  const void* pool = nullptr;
  int worker = 0;
};
thread_local Running running;

class RunningScope {
 public:
  RunningScope(const void* pool, int worker) : former_(running) { running = {pool, worker}; }
  ~RunningScope() { running = former_; }

 private:
  Running former_;
};

int resolve_threads(int n_threads) {
  if (n_threads == 0) return cpu_features().n_cores;
  if (n_threads < 0 || n_threads > kMaxThreads) {
    usage_error("threads", fmt::format("{} is not a number of threads", n_threads),
                fmt::format("use 1 to {}", kMaxThreads));
  }
  return n_threads;
}

}  // namespace

// One loop at a time is open. Its gate is a single word: number of the loop, open bit, sleeping-caller bit, workers
// inside. A worker enters only an open gate; the caller shuts it when no task is left and waits for those inside, so it
// never waits for a worker that has not woken up in time.
struct ThreadPool::State {
  static constexpr uint64_t kInsideMask = 0x3fff;
  static constexpr uint64_t kCallerSleeps = 0x4000;
  static constexpr uint64_t kOpen = 0x8000;
  static constexpr int kNumberShift = 16;

  explicit State(int n) : n_threads(n), spins(n <= cpu_features().n_cores) {}

  const int n_threads;
  const bool spins;  // spinning only hurts when there are more threads than cores
  std::vector<std::thread> workers;

  std::mutex one_caller;  // held for the length of a loop
  uint64_t n_loops = 0;
  int64_t n_tasks = 0;
  const FunctionRef<void(int64_t, int)>* fn = nullptr;
  std::span<const FetchAhead> ahead;  // by worker; read inside a loop only

  alignas(64) std::atomic<uint64_t> gate{0};
  alignas(64) std::atomic<int64_t> next_task{0};
  alignas(64) std::atomic<int> n_sleeping{0};
  std::atomic<bool> stopping{false};

  std::mutex sleep_mutex;
  std::condition_variable wake_workers;
  std::condition_variable wake_caller;

  std::mutex error_mutex;
  std::exception_ptr error;
  int64_t error_task = 0;

  void work(int worker);
  void record_error(int64_t task);
  void worker_main(int worker);
  bool wait_for_loop(uint64_t last_loop, Fetching& fetching);
  bool enter(uint64_t& last_loop);
  void leave();
  void open_gate(int64_t n);
  void shut_gate();
  void run(int64_t n, const FunctionRef<void(int64_t, int)>& task_fn);
  void stop();
};

// Keeps the exception of the lowest task. Tasks are handed out in order, so every lower task has at least begun and the
// lowest failing one is found whatever the number of threads.
void ThreadPool::State::record_error(int64_t task) {
  const std::lock_guard lock(error_mutex);
  if (!error || task < error_task) {
    error = std::current_exception();
    error_task = task;
  }
  next_task.store(n_tasks, std::memory_order_relaxed);
}

void ThreadPool::State::work(int worker) {
  const RunningScope scope(this, worker);
  while (true) {
    const int64_t task = next_task.fetch_add(1, std::memory_order_relaxed);
    if (task >= n_tasks) return;
    try {
      (*fn)(task, worker);
    } catch (...) {
      record_error(task);
    }
  }
}

// True when inside; false when no new loop is open.
bool ThreadPool::State::enter(uint64_t& last_loop) {
  uint64_t word = gate.load(std::memory_order_seq_cst);
  while ((word & kOpen) != 0 && word >> kNumberShift != last_loop) {
    if (gate.compare_exchange_weak(word, word + 1, std::memory_order_acq_rel)) {
      last_loop = word >> kNumberShift;
      return true;
    }
  }
  return false;
}

void ThreadPool::State::leave() {
  const uint64_t before = gate.fetch_sub(1, std::memory_order_acq_rel);
  if ((before & kInsideMask) != 1 || (before & kCallerSleeps) == 0) return;
  const std::lock_guard lock(sleep_mutex);
  wake_caller.notify_one();
}

// True when a loop that this worker has not seen is open, false when the pool stops.
bool ThreadPool::State::wait_for_loop(uint64_t last_loop, Fetching& fetching) {
  const auto ready = [&] {
    const uint64_t word = gate.load(std::memory_order_seq_cst);
    return ((word & kOpen) != 0 && word >> kNumberShift != last_loop) || stopping.load(std::memory_order_relaxed);
  };
  if (!spin_until(spins, ready, &fetching)) {
    std::unique_lock lock(sleep_mutex);
    n_sleeping.fetch_add(1, std::memory_order_seq_cst);
    wake_workers.wait(lock, ready);
    n_sleeping.fetch_sub(1, std::memory_order_seq_cst);
  }
  return !stopping.load(std::memory_order_relaxed);
}

void ThreadPool::State::worker_main(int worker) {
  uint64_t last_loop = 0;
  const FetchAhead* last_ahead = nullptr;
  Fetching fetching;
  while (wait_for_loop(last_loop, fetching)) {
    if (!enter(last_loop)) continue;
    work(worker);
    if (std::exchange(last_ahead, ahead.data()) != ahead.data()) {
      const auto index = static_cast<size_t>(worker);
      fetching = index < ahead.size() ? Fetching(ahead[index]) : Fetching();
    }
    leave();
  }
}

void ThreadPool::State::open_gate(int64_t n) {
  // Sequentially consistent with wait_for_loop: either the worker sees the open gate or this thread sees the sleeper.
  gate.store(++n_loops << kNumberShift | kOpen, std::memory_order_seq_cst);
  if (n_sleeping.load(std::memory_order_seq_cst) == 0) return;
  { const std::lock_guard lock(sleep_mutex); }
  if (n >= n_threads) {
    wake_workers.notify_all();
  } else {
    for (int64_t i = 1; i < n; ++i) wake_workers.notify_one();
  }
}

void ThreadPool::State::shut_gate() {
  gate.fetch_and(~kOpen, std::memory_order_acq_rel);
  const auto empty = [&] { return (gate.load(std::memory_order_acquire) & kInsideMask) == 0; };
  if (spin_until(spins, empty)) return;
  std::unique_lock lock(sleep_mutex);
  gate.fetch_or(kCallerSleeps, std::memory_order_acq_rel);
  wake_caller.wait(lock, empty);
}

void ThreadPool::State::run(int64_t n, const FunctionRef<void(int64_t, int)>& task_fn) {
  const std::lock_guard lock(one_caller);
  fn = &task_fn;
  n_tasks = n;
  next_task.store(0, std::memory_order_relaxed);
  open_gate(n);
  work(0);
  shut_gate();
  if (error) std::rethrow_exception(std::exchange(error, nullptr));
}

void ThreadPool::State::stop() {
  {
    const std::lock_guard lock(sleep_mutex);
    stopping.store(true);
  }
  wake_workers.notify_all();
  for (std::thread& worker : workers) worker.join();
}

ThreadPool::ThreadPool(int n_threads) : state_(std::make_unique<State>(resolve_threads(n_threads))) {
  State& state = *state_;
  try {
    for (int worker = 1; worker < state.n_threads; ++worker) {
      state.workers.emplace_back([&state, worker] { state.worker_main(worker); });
    }
  } catch (const std::system_error& error) {
    state.stop();
    failed("threads", fmt::format("cannot start {} threads: {}", state.n_threads, error.what()), "use fewer --threads");
  }
}

ThreadPool::~ThreadPool() {
  state_->stop();
}

void ThreadPool::set_ahead(std::span<const FetchAhead> by_worker) {
  const std::lock_guard lock(state_->one_caller);
  state_->ahead = by_worker;
}

int ThreadPool::n_threads() const {
  return state_->n_threads;
}

void ThreadPool::parallel_for(int64_t n_tasks, FunctionRef<void(int64_t task, int worker)> fn) {
  const bool nested = running.pool != nullptr;
  if (state_->n_threads > 1 && n_tasks > 1 && !nested) {
    state_->run(n_tasks, fn);
    return;
  }
  const int worker = running.pool == state_.get() ? running.worker : 0;
  for (int64_t task = 0; task < n_tasks; ++task) fn(task, worker);
}

void ThreadPool::parallel_ranges(int64_t n, int64_t grain,
                                 FunctionRef<void(int64_t begin, int64_t end, int worker)> fn) {
  const int64_t step = std::max<int64_t>(grain, 1);
  const int64_t n_ranges = n <= 0 ? 0 : (n - 1) / step + 1;
  parallel_for(n_ranges, [&](int64_t range, int worker) {
    const int64_t begin = range * step;
    fn(begin, step < n - begin ? begin + step : n, worker);
  });
}

}  // namespace fettle
