// Sparse int8 weights against dense ones, in the same run and in turns: the four products of BERT-base layers, each
// layer's weights its own, by tokens, share of zeros and pattern, for one kernel table.
//
//   sparse_products [TABLE [THREADS [PATTERN]]]      PATTERN: 4x1, 32x32, single; default: all
//
// A line: table, pattern, share of zeros in percent, tokens, milliseconds of twelve dense layers and of twelve sparse
// ones (medians), and their ratio.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/philox.h"
#include "base/thread_pool.h"
#include "encoder_products.h"
#include "kernels/dispatch.h"

namespace fettle {
namespace {

using bench::kHidden;
using bench::kLayers;
using bench::kShapes;
using bench::LayerShape;

struct Pattern {
  const char* name;
  int64_t rows;
  int64_t cols;
};
constexpr Pattern kPatterns[] = {{"4x1", 1, 4}, {"32x32", 32, 32}, {"single", 1, 1}};

std::vector<int8_t> weights_of(const LayerShape& shape, const Pattern& pattern, double zeros) {
  Philox random(3, static_cast<uint64_t>(shape.in + shape.out));
  const int64_t grid_cols = shape.in / pattern.cols;
  std::vector<bool> kept(static_cast<size_t>(shape.out / pattern.rows * grid_cols));
  for (auto block : kept) block = random.uniform() >= zeros;
  std::vector<int8_t> values(static_cast<size_t>(shape.in * shape.out));
  for (int64_t r = 0; r < shape.out; ++r) {
    for (int64_t c = 0; c < shape.in; ++c) {
      if (!kept[static_cast<size_t>(r / pattern.rows * grid_cols + c / pattern.cols)]) continue;
      values[static_cast<size_t>(r * shape.in + c)] = static_cast<int8_t>(1 + static_cast<int>(random.below(127)));
    }
  }
  return values;
}

using Linears = std::vector<std::unique_ptr<PackedLinear>>;

double run_ms(const Linears& linears, const std::vector<float>& x, std::vector<float>& y, int64_t n_tokens,
              ThreadPool& pool) {
  const auto begin = std::chrono::steady_clock::now();
  for (size_t i = 0; i < linears.size(); ++i) {
    const LayerShape& shape = kShapes[i % std::size(kShapes)];
    linears[i]->run(x.data(), shape.in, n_tokens, y.data(), shape.out, shape.activation, nullptr, pool);
  }
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + std::ssize(values) / 2);
  return values[values.size() / 2];
}

void run(const KernelTable& table, int n_threads, const std::string& only) {
  constexpr int kRounds = 9;
  ThreadPool pool(n_threads);
  std::vector<float> x(static_cast<size_t>(512 * 4 * kHidden));
  std::vector<float> y(x.size());
  Philox random(2);
  for (float& value : x) value = random.normal();
  for (const Pattern& pattern : kPatterns) {
    if (!only.empty() && only != pattern.name) continue;
    for (const int percent : {50, 70, 80, 90, 95, 97}) {
      Linears dense;
      Linears sparse;
      for (int layer = 0; layer < kLayers; ++layer) {
        for (const LayerShape& shape : kShapes) {
          const std::vector<int8_t> values = weights_of(shape, pattern, percent / 100.0);
          const std::vector<float> scales(static_cast<size_t>(shape.out), 0.001f);
          const LinearWeights weights{.out_features = shape.out,
                                      .in_features = shape.in,
                                      .weight = values.data(),
                                      .scales = scales.data(),
                                      .bias = scales.data()};
          dense.push_back(table.pack_int8(weights));
          sparse.push_back(table.pack_sparse_int8(weights));
        }
      }
      for (const int64_t n_tokens : {1, 12, 32, 128, 512}) {
        std::vector<double> dense_ms;
        std::vector<double> sparse_ms;
        for (int i = 0; i <= kRounds; ++i) {
          const double d = run_ms(dense, x, y, n_tokens, pool);
          const double s = run_ms(sparse, x, y, n_tokens, pool);
          if (i == 0) continue;
          dense_ms.push_back(d);
          sparse_ms.push_back(s);
        }
        fmt::print("{:<8}{:<8}{:>4}{:>6}{:>10.2f}{:>10.2f}{:>8.2f}\n", table.name, pattern.name, percent, n_tokens,
                   median(dense_ms), median(sparse_ms), median(dense_ms) / median(sparse_ms));
        std::fflush(stdout);
      }
    }
  }
}

}  // namespace
}  // namespace fettle

int main(int argc, char** argv) {
  fettle::run(fettle::table_named(argc > 1 ? argv[1] : ""), argc > 2 ? std::atoi(argv[2]) : 1, argc > 3 ? argv[3] : "");
  return 0;
}
