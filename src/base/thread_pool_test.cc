#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace fettle {
namespace {

class ThreadPoolSizes : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, ThreadPoolSizes, ::testing::Values(1, 2, 3, 8));

TEST_P(ThreadPoolSizes, RunsEveryTaskOnceWithAValidWorker) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.n_threads(), GetParam());
  for (const int64_t n : {0, 1, 2, 7, 1000}) {
    std::vector<std::atomic<int>> runs(static_cast<size_t>(n));
    std::atomic<bool> bad_worker{false};
    pool.parallel_for(n, [&](int64_t task, int worker) {
      ++runs[static_cast<size_t>(task)];
      if (worker < 0 || worker >= GetParam()) bad_worker = true;
    });
    for (const auto& count : runs) ASSERT_EQ(count, 1);
    EXPECT_FALSE(bad_worker);
  }
}

// Plain (not atomic) writes: a thread sanitizer sees whether the loop's end orders them before the reads.
TEST_P(ThreadPoolSizes, WritesOfTasksAreVisibleAfterwards) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> values(64);
  for (int round = 0; round < 2000; ++round) {
    pool.parallel_for(64, [&](int64_t task, int) { values[static_cast<size_t>(task)] += task; });
  }
  for (int64_t i = 0; i < 64; ++i) EXPECT_EQ(values[static_cast<size_t>(i)], 2000 * i);
}

TEST_P(ThreadPoolSizes, TasksOfAWorkerRise) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> last(static_cast<size_t>(GetParam()), -1);
  std::atomic<bool> falling{false};
  pool.parallel_for(5000, [&](int64_t task, int worker) {
    if (task <= last[static_cast<size_t>(worker)]) falling = true;
    last[static_cast<size_t>(worker)] = task;
  });
  EXPECT_FALSE(falling);
}

TEST_P(ThreadPoolSizes, WakesUpAfterSleeping) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::atomic<int64_t> sum{0};
    pool.parallel_for(100, [&](int64_t task, int) { sum += task; });
    ASSERT_EQ(sum, 4950);
  }
}

TEST_P(ThreadPoolSizes, RethrowsTheExceptionOfTheLowestTask) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 200; ++round) {
    std::string message;
    try {
      pool.parallel_for(500, [](int64_t task, int) {
        if (task >= 37 && task % 2 == 1) throw std::runtime_error(std::to_string(task));
      });
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    ASSERT_EQ(message, "37");
  }
  std::atomic<int> runs{0};
  pool.parallel_for(10, [&](int64_t, int) { ++runs; });
  EXPECT_EQ(runs, 10);
}

TEST_P(ThreadPoolSizes, AnExceptionStopsTheRest) {
  ThreadPool pool(GetParam());
  std::atomic<int64_t> runs{0};
  EXPECT_THROW(pool.parallel_for(int64_t{1} << 40,
                                 [&](int64_t task, int) {
                                   ++runs;
                                   if (task == 5) bad_input("task", "five");
                                 }),
               Error);
  EXPECT_LT(runs, int64_t{1} << 30);
}

TEST_P(ThreadPoolSizes, NestedCallsRunSeriallyOnTheSameWorker) {
  ThreadPool pool(GetParam());
  std::atomic<int> wrong{0};
  std::atomic<int> runs{0};
  pool.parallel_for(20, [&](int64_t, int outer) {
    const auto thread = std::this_thread::get_id();
    int64_t expected = 0;
    pool.parallel_for(10, [&](int64_t task, int inner) {
      ++runs;
      if (inner != outer || task != expected++ || std::this_thread::get_id() != thread) ++wrong;
    });
  });
  EXPECT_EQ(runs, 200);
  EXPECT_EQ(wrong, 0);
}

TEST_P(ThreadPoolSizes, NestedExceptionsReachTheCaller) {
  ThreadPool pool(GetParam());
  EXPECT_THROW(
      pool.parallel_for(
          4, [&](int64_t, int) { pool.parallel_for(4, [](int64_t, int) { throw std::runtime_error("inner"); }); }),
      std::runtime_error);
}

TEST_P(ThreadPoolSizes, RangesCoverExactly) {
  ThreadPool pool(GetParam());
  for (const int64_t n : {0, 1, 9, 10, 11, 1003}) {
    std::vector<int> seen(static_cast<size_t>(n));
    std::atomic<int> wrong{0};
    pool.parallel_ranges(n, 10, [&](int64_t begin, int64_t end, int) {
      if (begin % 10 != 0 || end <= begin || end - begin > 10 || (end - begin < 10 && end != n)) ++wrong;
      for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
    });
    EXPECT_EQ(wrong, 0);
    for (const int count : seen) ASSERT_EQ(count, 1);
  }
  std::atomic<int> calls{0};
  pool.parallel_ranges(INT64_MAX, INT64_MAX, [&](int64_t begin, int64_t end, int) {
    if (begin == 0 && end == INT64_MAX) ++calls;
  });
  EXPECT_EQ(calls, 1);
}

// Sums of floats depend on their order; with blocks cut by size the bytes are the same for every pool.
TEST(ThreadPool, ResultsDoNotDependOnThreadCount) {
  const auto blocked_sum = [](int n_threads) {
    ThreadPool pool(n_threads);
    std::vector<float> partial(101);
    pool.parallel_ranges(10007, 100, [&](int64_t begin, int64_t end, int) {
      float sum = 0;
      for (int64_t i = begin; i < end; ++i) sum += 1.0f / static_cast<float>(i + 1);
      partial[static_cast<size_t>(begin / 100)] = sum;
    });
    float total = 0;
    for (const float value : partial) total += value;
    return total;
  };
  const float one = blocked_sum(1);
  EXPECT_EQ(blocked_sum(2), one);
  EXPECT_EQ(blocked_sum(8), one);
}

TEST(ThreadPool, SeveralThreadsUseWorkers) {
  ThreadPool pool(4);
  std::atomic<int> inside{0};
  std::atomic<bool> met{false};
  // Two tasks that each wait for the other: they end only when two threads run at once.
  pool.parallel_for(2, [&](int64_t, int) {
    ++inside;
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (inside < 2 && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
    if (inside == 2) met = true;
  });
  EXPECT_TRUE(met);
}

TEST(ThreadPool, SeveralCallersTakeTurns) {
  ThreadPool pool(3);
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) pool.parallel_for(10, [&](int64_t task, int) { sum += task; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 4 * 200 * 45);
}

TEST(ThreadPool, APoolInsideAnotherRunsSerially) {
  ThreadPool outer(4);
  ThreadPool inner(4);
  std::atomic<int> wrong{0};
  outer.parallel_for(16, [&](int64_t, int) {
    const auto thread = std::this_thread::get_id();
    inner.parallel_for(8, [&](int64_t, int worker) {
      if (worker != 0 || std::this_thread::get_id() != thread) ++wrong;
    });
  });
  EXPECT_EQ(wrong, 0);
}

TEST(ThreadPool, WorkersThatWaitMayFetchAnything) {
  ThreadPool pool(3);
  const std::vector<std::byte> memory(1 << 16);
  FetchAhead there{.n_streams = 2, .size_bytes = 1 << 15};
  there.streams[0] = memory.data();
  there.streams[1] = memory.data() + there.size_bytes;
  FetchAhead nowhere{.n_streams = 1, .size_bytes = 1 << 20};
  nowhere.streams[0] = reinterpret_cast<const std::byte*>(uintptr_t{64});
  const std::vector<FetchAhead> some{{}, there};  // nothing for the third worker
  const std::vector<FetchAhead> none{{}, nowhere, there};
  int64_t sum = 0;
  for (int round = 0; round < 300; ++round) {
    pool.set_ahead(round % 3 == 0 ? std::span<const FetchAhead>() : round % 3 == 1 ? some : none);
    std::atomic<int64_t> added{0};
    pool.parallel_for(7, [&](int64_t task, int) { added += task; });
    sum += added;
  }
  EXPECT_EQ(sum, 300 * 21);
}

TEST(ThreadPool, ZeroMeansAllCoresAndNonsenseIsRefused) {
  EXPECT_GE(ThreadPool(0).n_threads(), 1);
  EXPECT_THROW(ThreadPool(-1), Error);
  EXPECT_THROW(ThreadPool(1000000), Error);
}

TEST(ThreadPool, StartsAndStopsWithoutWork) {
  for (int i = 0; i < 10; ++i) ThreadPool pool(4);
}

}  // namespace
}  // namespace fettle
