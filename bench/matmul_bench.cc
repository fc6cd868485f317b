// Matrix products of a training step in its three forms (forward x Wᵀ, input gradient dY W, weight gradient dYᵀ X), for
// every kernel table. of_peak is the share of the instruction set's peak, measured between the rounds of the same
// benchmark.
//
//   matmul_bench --benchmark_filter='amx/bf16'
#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/philox.h"
#include "kernels/dispatch.h"
#include "kernels/roofline.h"

namespace fettle {
namespace {

struct Layer {
  int64_t rows;
  int64_t in;
  int64_t out;
};
// BERT-base at 512 tokens, then a small encoder at 4096.
constexpr Layer kLayers[] = {{512, 768, 768}, {512, 768, 3072}, {512, 3072, 768}, {4096, 384, 384}, {4096, 384, 1536}};

enum class Form { kForward, kInputGradient, kWeightGradient };
constexpr const char* kFormNames[] = {"forward", "input_gradient", "weight_gradient"};

// Operands of products that take turns, so that none finds its own in the caches.
constexpr int64_t kBytes = 64 << 20;

struct Operands {
  std::vector<float> a, b, c;

  Operands(const Layer& layer, uint64_t seed)
      : a(static_cast<size_t>(layer.rows * std::max(layer.in, layer.out))),
        b(static_cast<size_t>(std::max(layer.rows, layer.out) * layer.in)),
        c(static_cast<size_t>(std::max(layer.rows, layer.in) * layer.out + layer.rows * layer.in)) {
    Philox random(seed);
    for (float& value : a) value = random.uniform() - 0.5f;
    for (float& value : b) value = random.uniform() - 0.5f;
  }
};

Matmul make_product(const Layer& layer, Form form, Operands& x) {
  Matmul p{.a = x.a.data(), .b = x.b.data(), .c = x.c.data()};
  switch (form) {
    case Form::kForward:
      p.m = layer.rows, p.n = layer.out, p.k = layer.in;
      p.transpose_b = true;
      break;
    case Form::kInputGradient:
      p.m = layer.rows, p.n = layer.in, p.k = layer.out;
      break;
    case Form::kWeightGradient:
      p.m = layer.out, p.n = layer.in, p.k = layer.rows;
      p.transpose_a = true;
      break;
  }
  p.lda = p.transpose_a ? p.m : p.k;
  p.ldb = p.transpose_b ? p.k : p.n;
  p.ldc = p.n;
  return p;
}

void run(benchmark::State& state, const KernelTable& table, bool bf16, const Layer& layer, Form form, int n_threads) {
  ThreadPool pool(n_threads);
  const int64_t size_bytes = 4 * (layer.rows * (layer.in + layer.out) + layer.in * layer.out);
  std::vector<Operands> operands;
  for (int64_t i = 0; i <= kBytes / size_bytes; ++i) operands.emplace_back(layer, static_cast<uint64_t>(i));
  const auto peak = [&] {
    const Roofline peaks = measure_peaks(table, pool, 2);
    return bf16 ? peaks.peak_bf16_gflops : peaks.peak_f32_gflops;
  };
  const double flops = 2.0 * static_cast<double>(layer.rows * layer.in * layer.out);
  double best_peak = peak();
  size_t turn = 0;
  for (auto _ : state) {
    const Matmul product = make_product(layer, form, operands[turn++ % operands.size()]);
    (bf16 ? table.matmul_bf16 : table.matmul_f32)(product, pool);
  }
  best_peak = std::max(best_peak, peak());
  state.counters["gflops"] = benchmark::Counter(flops / 1e9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["of_peak"] =
      benchmark::Counter(flops / 1e9 / best_peak, benchmark::Counter::kIsIterationInvariantRate);
}

void register_all() {
  for (const KernelTable* table : supported_tables()) {
    if (table->name == "reference") continue;  // it would take minutes
    for (const bool bf16 : {false, true}) {
      for (const Layer& layer : kLayers) {
        for (const Form form : {Form::kForward, Form::kInputGradient, Form::kWeightGradient}) {
          for (const int n_threads : {1, 2}) {
            const std::string name = std::string(table->name) + (bf16 ? "/bf16/" : "/f32/") +
                                     kFormNames[static_cast<int>(form)] + "/" + std::to_string(layer.rows) + "x" +
                                     std::to_string(layer.in) + "x" + std::to_string(layer.out) +
                                     "/threads:" + std::to_string(n_threads);
            benchmark::RegisterBenchmark(
                name.c_str(), [=](benchmark::State& state) { run(state, *table, bf16, layer, form, n_threads); })
                ->UseRealTime()
                ->Unit(benchmark::kMicrosecond);
          }
        }
      }
    }
  }
}

const bool registered = (register_all(), true);

}  // namespace
}  // namespace fettle
