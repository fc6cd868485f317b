#include "kernels/roofline.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "kernels/platform.h"

namespace fettle {
namespace {

// Results go here, so that no compiler drops the loops.
thread_local volatile float float_sink;
thread_local volatile int32_t int_sink;

int64_t portable_f32(int64_t rounds) {
  constexpr int kChains = 16;
  std::array<float, kChains> sums{};
  float factor = 0.5f;
  for (int64_t i = 0; i < rounds; ++i) {
    for (float& sum : sums) sum = sum * factor + 1.0f;
  }
  float_sink = sums[static_cast<size_t>(rounds % kChains)];
  return rounds * kChains * 2;
}

int64_t portable_int8(int64_t rounds) {
  constexpr int kChains = 16;
  std::array<int32_t, kChains> sums{};
  std::array<int8_t, kChains> a{};
  a.fill(static_cast<int8_t>(rounds % 100));
  for (int64_t i = 0; i < rounds; ++i) {
    for (int c = 0; c < kChains; ++c) sums[c] += a[c] * static_cast<int8_t>(i);
  }
  int_sink = sums[static_cast<size_t>(rounds % kChains)];
  return rounds * kChains * 2;
}

// Operations per nanosecond of a loop on all threads; the best of a few slices, as neighbours come and go.
double measure_peak(int64_t (*loop)(int64_t), ThreadPool& pool, double ms) {
  constexpr int kSlices = 5;
  int64_t rounds = 64;
  for (;;) {  // find what takes a slice
    const Stopwatch watch;
    loop(rounds);
    if (watch.ms() > ms / kSlices / 4) break;
    rounds *= 2;
  }
  rounds *= 4;
  double best = 0;
  for (int slice = 0; slice < kSlices; ++slice) {
    std::vector<int64_t> operations(static_cast<size_t>(pool.n_threads()));
    const Stopwatch watch;
    pool.parallel_for(pool.n_threads(), [&](int64_t task, int) { operations[task] = loop(rounds); });
    const double ns = watch.ms() * 1e6;
    int64_t total = 0;
    for (const int64_t n : operations) total += n;
    best = std::max(best, static_cast<double>(total) / ns);
  }
  return best;
}

// Sum of n_lines cache lines of each of kStreams consecutive regions, read side by side with prefetches ahead in each.
constexpr int kStreams = 6;
constexpr int64_t kLineWords = 8;

uint64_t read_streams(const uint64_t* data, int64_t n_lines) {
  constexpr int64_t kAheadWords = 128;
  std::array<uint64_t, kLineWords> sums{};
  for (int64_t line = 0; line < n_lines; ++line) {
    for (int stream = 0; stream < kStreams; ++stream) {
      const uint64_t* p = data + (stream * n_lines + line) * kLineWords;
      __builtin_prefetch(p + kAheadWords);
      for (int64_t w = 0; w < kLineWords; ++w) sums[w] += p[w];
    }
  }
  uint64_t total = 0;
  for (const uint64_t sum : sums) total += sum;
  return total;
}

double measure_bandwidth(ThreadPool& pool) {
  constexpr int64_t kSizeBytes = 128 << 20;
  constexpr int kPasses = 4;
  const int64_t n_threads = pool.n_threads();
  const int64_t n_lines = kSizeBytes / 64 / kStreams / n_threads;  // of one stream
  const int64_t words = n_lines * kStreams * kLineWords;           // of one thread
  const auto data = std::make_unique_for_overwrite<uint64_t[]>(words * n_threads);
  pool.parallel_for(n_threads, [&](int64_t task, int) { std::fill_n(data.get() + task * words, words, 1); });
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const Stopwatch watch;
    pool.parallel_for(n_threads, [&](int64_t task, int) {
      int_sink = static_cast<int32_t>(read_streams(data.get() + task * words, n_lines));
    });
    best = std::max(best, static_cast<double>(words * n_threads) * 8 / (watch.ms() * 1e6));
  }
  return best;
}

}  // namespace

Roofline measure_peaks(const KernelTable& table, ThreadPool& pool, double ms_each) {
  const PeakLoops portable = {portable_f32, portable_f32, portable_int8};
  const PeakLoops* own = platform_peaks(table.name);
  const PeakLoops& loops = own != nullptr ? *own : portable;
  Roofline result;
  result.peak_f32_gflops = measure_peak(loops.f32, pool, ms_each);
  result.peak_bf16_gflops = measure_peak(loops.bf16, pool, ms_each);
  result.peak_int8_gops = measure_peak(loops.int8, pool, ms_each);
  return result;
}

Roofline measure_roofline(const KernelTable& table, ThreadPool& pool) {
  Roofline result = measure_peaks(table, pool, 50);
  result.bandwidth_gb_s = measure_bandwidth(pool);
  return result;
}

}  // namespace fettle
