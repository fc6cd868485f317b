// All matrix products of a BERT-base encoder with packed weights, each weight read once from memory, for every kernel
// table, against the machine's reading speed: the lower limit of a query is the time to read its weights.
//
//   linear_bench --benchmark_enable_random_interleaving=true --benchmark_repetitions=5 --benchmark_filter=int8
#include <benchmark/benchmark.h>

#include <cstring>
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

enum class Stored { kF32, kBf16, kInt8 };

std::unique_ptr<PackedLinear> pack(const KernelTable& table, Stored stored, const LayerShape& shape, uint64_t stream) {
  // Any bytes do, as long as floats made of them are small numbers: exponent bits 0x3c…
  std::vector<uint32_t> bits(static_cast<size_t>(shape.in * shape.out));
  Philox random(1, stream);
  for (uint32_t& word : bits) word = (random.next_u32() & 0x807f807fu) | 0x3c003c00u;
  const std::vector<float> scales(static_cast<size_t>(shape.out), 0.001f);
  const LinearWeights weights{.out_features = shape.out,
                              .in_features = shape.in,
                              .weight = bits.data(),
                              .scales = scales.data(),
                              .bias = scales.data()};
  switch (stored) {
    case Stored::kF32:
      return table.pack_f32(weights);
    case Stored::kBf16:
      return table.pack_bf16(weights);
    case Stored::kInt8:
      return table.pack_int8(weights);
  }
  return nullptr;
}

struct Encoder {
  Encoder(const KernelTable& table, Stored stored) {
    uint64_t stream = 0;
    for (int layer = 0; layer < kLayers; ++layer) {
      for (const LayerShape& shape : kShapes) {
        linears.push_back(pack(table, stored, shape, stream++));
        size_bytes += linears.back()->size_bytes();
        products += shape.in * shape.out;
      }
    }
  }
  std::vector<std::unique_ptr<PackedLinear>> linears;
  int64_t size_bytes = 0;
  int64_t products = 0;  // for each token
};

void run_encoder(benchmark::State& state, const KernelTable& table, Stored stored) {
  const int64_t n_tokens = state.range(0);
  const Encoder encoder(table, stored);
  ThreadPool pool(static_cast<int>(state.range(1)));
  std::vector<float> x(static_cast<size_t>(n_tokens * 4 * kHidden));
  std::vector<float> y(x.size());
  Philox random(2);
  for (float& value : x) value = random.normal();
  for (auto _ : state) {
    for (size_t i = 0; i < encoder.linears.size(); ++i) {
      const LayerShape& shape = kShapes[i % std::size(kShapes)];
      encoder.linears[i]->run(x.data(), shape.in, n_tokens, y.data(), shape.out, shape.activation, nullptr, pool);
    }
    benchmark::DoNotOptimize(y.data());
  }
  const auto runs = static_cast<double>(state.iterations());
  state.counters["GB/s"] =
      benchmark::Counter(static_cast<double>(encoder.size_bytes) * runs * 1e-9, benchmark::Counter::kIsRate);
  state.counters["GOP/s"] =
      benchmark::Counter(2e-9 * static_cast<double>(encoder.products * n_tokens) * runs, benchmark::Counter::kIsRate);
}

// One small product over and over, its weights in the nearest cache: what a call costs.
void run_small(benchmark::State& state, const KernelTable& table, Stored stored) {
  const int64_t width = state.range(0);
  const int64_t n_tokens = state.range(1);
  const auto linear = pack(table, stored, {width, width, Activation::kNone}, 1);
  ThreadPool pool(1);
  std::vector<float> x(static_cast<size_t>(n_tokens * width), 0.5f);
  std::vector<float> y(x.size());
  for (auto _ : state) {
    linear->run(x.data(), width, n_tokens, y.data(), width, Activation::kNone, nullptr, pool);
    benchmark::DoNotOptimize(y.data());
  }
  state.counters["GOP/s"] = benchmark::Counter(
      2e-9 * static_cast<double>(width * width * n_tokens * state.iterations()), benchmark::Counter::kIsRate);
}

// Reads 85 MB as the int8 kernels do: n streams side by side, fetched 1 KB ahead.
void read_memory(benchmark::State& state) {
  const int64_t n_streams = state.range(0);
  const int64_t stream_words = (int64_t{85} << 20) / 8 / n_streams / 8 * 8;
  const std::vector<uint64_t> data(static_cast<size_t>(stream_words * n_streams), 1);
  for (auto _ : state) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < stream_words; i += 8) {
      for (int64_t s = 0; s < n_streams; ++s) {
        const uint64_t* line = data.data() + s * stream_words + i;
        __builtin_prefetch(line + 128);
        sum += line[0] ^ line[4];
      }
    }
    benchmark::DoNotOptimize(sum);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * stream_words * n_streams * 8);
}

const bool kRegistered = [] {
  benchmark::RegisterBenchmark("read_memory/streams", read_memory)->Arg(1)->Arg(6)->Unit(benchmark::kMillisecond);
  const std::pair<Stored, const char*> kinds[] = {
      {Stored::kInt8, "int8"}, {Stored::kBf16, "bf16"}, {Stored::kF32, "f32"}};
  for (const auto& [stored, kind] : kinds) {
    for (const KernelTable* table : supported_tables()) {
      if (table->name == "reference") continue;
      const std::string name = std::string(kind) + "/" + std::string(table->name);
      benchmark::RegisterBenchmark(("encoder/" + name).c_str(), run_encoder, *table, stored)
          ->ArgNames({"tokens", "threads"})
          ->ArgsProduct({{12, 32, 128}, {1, 2}})
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
      benchmark::RegisterBenchmark(("small/" + name).c_str(), run_small, *table, stored)
          ->ArgNames({"width", "tokens"})
          ->ArgsProduct({{256, 384}, {1, 12, 32, 128}})
          ->Unit(benchmark::kMicrosecond)
          ->UseRealTime();
    }
  }
  return true;
}();

}  // namespace
}  // namespace fettle
