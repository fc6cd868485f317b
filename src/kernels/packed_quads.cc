#include "kernels/packed_quads.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/error.h"
#include "kernels/packed_block.h"

namespace fettle {
namespace {

constexpr int64_t kSerialProducts = int64_t{3} << 20;  // as with dense panels, of those that are done
constexpr int64_t kDepthMultiple = 64;
constexpr int64_t kIndexRange = 256;  // what a place can say

int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
int64_t round_up(int64_t a, int64_t b) {
  return divide_up(a, b) * b;
}

// At the beginning of the block: the rest follows in the order of `Parts`.
struct QuadHeader {
  int64_t out_features = 0;
  int64_t in_features = 0;
  int64_t n_quads = 0;
};

// Where everything lies in the block.
struct Parts {
  int64_t bias, scales, offsets, chunks, quads, places, size_bytes;

  Parts(int64_t n_groups, int64_t n_chunks, int64_t n_quads) {
    const int64_t column_bytes = round_up(n_groups * kGroupWidth * int64_t{sizeof(float)}, kLineBytes);
    bias = kLineBytes;
    scales = bias + column_bytes;
    offsets = scales + column_bytes;
    chunks = offsets + column_bytes;
    quads = chunks + round_up(n_groups * n_chunks * int64_t{sizeof(QuadChunk)}, kLineBytes);
    places = quads + round_up(n_quads * kQuadInputs, kLineBytes);
    size_bytes = places + round_up(n_quads, kLineBytes);
  }
};

int64_t groups_of(int64_t out_features) {
  return divide_up(out_features, kGroupWidth);
}
int64_t chunks_of(int64_t in_features) {
  return std::max<int64_t>(divide_up(divide_up(in_features, kQuadInputs), kChunkQuads), 1);
}

// A quad of a row-major matrix, with zeros behind the row's end.
uint32_t quad_at(const LinearWeights& w, int64_t row, int64_t quad) {
  const int64_t k = quad * kQuadInputs;
  uint32_t bytes = 0;
  std::memcpy(&bytes, static_cast<const int8_t*>(w.weight) + row * w.in_features + k,
              static_cast<size_t>(std::min(kQuadInputs, w.in_features - k)));
  return bytes;
}

// The numbers of one output's quads in a chunk that are not zeros.
struct OutputQuads {
  int64_t output = 0;  // of the group
  std::vector<uint8_t> places;
};

// All outputs of a group, those with few quads first.
std::vector<OutputQuads> sorted_outputs(const LinearWeights& w, int64_t group, int64_t chunk) {
  std::vector<OutputQuads> outputs(static_cast<size_t>(kGroupWidth));
  const int64_t first = chunk * kChunkQuads;
  const int64_t end = std::min(first + kChunkQuads, divide_up(w.in_features, kQuadInputs));
  for (int64_t o = 0; o < kGroupWidth; ++o) {
    OutputQuads& quads = outputs[static_cast<size_t>(o)];
    quads.output = o;
    const int64_t row = group * kGroupWidth + o;
    for (int64_t q = first; row < w.out_features && q < end; ++q) {
      if (quad_at(w, row, q) != 0) quads.places.push_back(static_cast<uint8_t>(q - first));
    }
  }
  std::ranges::stable_sort(outputs, {}, [](const OutputQuads& quads) { return quads.places.size(); });
  return outputs;
}

struct PlannedChunk {
  int64_t group = 0;
  int64_t chunk = 0;
  std::vector<OutputQuads> outputs;
};

// In the order of storage.
std::vector<PlannedChunk> plan_chunks(const LinearWeights& w) {
  std::vector<PlannedChunk> plan;
  for (int64_t g = 0; g < groups_of(w.out_features); ++g) {
    for (int64_t c = 0; c < chunks_of(w.in_features); ++c) plan.push_back({g, c, sorted_outputs(w, g, c)});
  }
  return plan;
}

// With those that fill bunches up.
int64_t count_quads(const std::vector<PlannedChunk>& plan) {
  int64_t n = 0;
  for (const PlannedChunk& chunk : plan) {
    for (size_t o = kBunch - 1; o < chunk.outputs.size(); o += kBunch)
      n += kBunch * std::ssize(chunk.outputs[o].places);
  }
  return n;
}

class QuadLinear : public PackedLinear {
 public:
  QuadLinear(const LinearWeights& weights, const QuadKernel& kernel, void (*install)(KernelTable&))
      : QuadLinear(weights, kernel, install,
                   weights.image == nullptr ? plan_chunks(weights) : std::vector<PlannedChunk>()) {}

  void run(const float* x, int64_t ldx, int64_t rows, float* y, int64_t ldy, Activation activation,
           const float* residual, ThreadPool& pool) const override {
    run_passes({.x = x, .ldx = ldx, .rows = rows, .y = y, .ldy = ldy, .activation = activation}, residual, pool);
  }
  bool takes_bf16() const override { return kernel_.prepare_bf16 != nullptr; }
  void run_rows(const LinearRows& rows, ThreadPool& pool) const override { run_passes(rows, nullptr, pool); }

  FetchAhead first_weights(int part, int n_parts) const override {
    constexpr int64_t kAheadBytes = int64_t{640} << 10;
    const int64_t begin = w_.n_groups * part / n_parts;
    if (part >= n_parts || begin >= w_.n_groups || n_quads_ == 0) return {};
    const int64_t first = w_.chunk(begin, 0).begin;
    FetchAhead ahead{.n_streams = 1};
    ahead.streams[0] = w_.quads + first * kQuadInputs;
    ahead.size_bytes = std::min((n_quads_ - first) * kQuadInputs / n_parts, kAheadBytes);
    return ahead;
  }
  int64_t size_bytes() const override { return std::ssize(block_.bytes()); }
  std::span<const std::byte> image() const override { return block_.bytes(); }

 private:
  QuadLinear(const LinearWeights& weights, const QuadKernel& kernel, void (*install)(KernelTable&),
             const std::vector<PlannedChunk>& plan)
      : kernel_(kernel),
        input_scale_(weights.input_scale),
        n_quads_(weights.image == nullptr ? count_quads(plan) : quads_of_image(weights)),
        parts_(groups_of(weights.out_features), chunks_of(weights.in_features), n_quads_),
        block_(parts_.size_bytes, weights.image) {
    install(table_);
    w_.out_features = weights.out_features;
    w_.in_features = weights.in_features;
    w_.n_groups = groups_of(weights.out_features);
    w_.n_chunks = chunks_of(weights.in_features);
    w_.bias = at<float>(parts_.bias);
    w_.scales = at<float>(parts_.scales);
    w_.offsets = at<int32_t>(parts_.offsets);
    w_.chunks = at<QuadChunk>(parts_.chunks);
    w_.quads = at<std::byte>(parts_.quads);
    w_.places = at<uint8_t>(parts_.places);
    if (weights.image == nullptr) {
      fill(weights, plan);
    } else {
      check_chunks();
    }
  }

  static int64_t quads_of_image(const LinearWeights& w) {
    if (w.image->bytes.size() < kLineBytes) bad_input("packed weights", "are too short");
    QuadHeader stored;
    std::memcpy(&stored, w.image->bytes.data(), sizeof stored);
    const bool fits = stored.out_features == w.out_features && stored.in_features == w.in_features;
    const int64_t most = groups_of(w.out_features) * chunks_of(w.in_features) * kGroupWidth * kChunkQuads;
    if (!fits || stored.n_quads < 0 || stored.n_quads > most) bad_input("packed weights", "are of another matrix");
    return stored.n_quads;
  }

  template <typename T>
  const T* at(int64_t offset) const {
    return reinterpret_cast<const T*>(block_.data() + offset);
  }
  template <typename T>
  T* own(const T* place) {
    return reinterpret_cast<T*>(block_.own() + (reinterpret_cast<const std::byte*>(place) - block_.data()));
  }

  // An image may come from a file: no count and no output may lead outside. Places need no check, see begin().
  void check_chunks() const {
    int64_t n = 0;
    for (int64_t i = 0; i < w_.n_groups * w_.n_chunks; ++i) {
      const QuadChunk& chunk = w_.chunks[i];
      if (chunk.begin != n) bad_input("packed weights", "have chunks that overlap");
      bool seen[kGroupWidth] = {};
      for (const QuadBunch& bunch : chunk.bunches) {
        n += kBunch * bunch.n_quads;
        for (const uint8_t output : bunch.outputs) {
          if (output >= kGroupWidth || std::exchange(seen[output], true)) bad_input("packed weights", "mix outputs up");
        }
      }
    }
    if (n != n_quads_) bad_input("packed weights", "have other counts than quads");
  }

  void fill(const LinearWeights& from, const std::vector<PlannedChunk>& plan) {
    const QuadHeader header{.out_features = from.out_features, .in_features = from.in_features, .n_quads = n_quads_};
    std::memcpy(block_.own(), &header, sizeof header);
    if (from.bias != nullptr) std::copy_n(from.bias, from.out_features, own(w_.bias));
    std::copy_n(from.scales, from.out_features, own(w_.scales));
    int64_t n = 0;
    for (const PlannedChunk& planned : plan) {
      QuadChunk& chunk = own(w_.chunks)[planned.group * w_.n_chunks + planned.chunk];
      chunk.begin = n;
      for (int64_t b = 0; b < kGroupBunches; ++b) {
        const OutputQuads* const outputs = planned.outputs.data() + b * kBunch;
        chunk.bunches[b].n_quads = static_cast<uint16_t>(outputs[kBunch - 1].places.size());
        for (int64_t i = 0; i < kBunch; ++i) {
          chunk.bunches[b].outputs[i] = static_cast<uint8_t>(outputs[i].output);
          fill_output(from, planned, outputs[i], n + i);
        }
        n += kBunch * chunk.bunches[b].n_quads;
      }
    }
  }
  // The quads of one output, every fourth from `n` on.
  void fill_output(const LinearWeights& from, const PlannedChunk& planned, const OutputQuads& quads, int64_t n) {
    const int64_t row = planned.group * kGroupWidth + quads.output;
    for (const uint8_t place : quads.places) {
      const uint32_t quad = quad_at(from, row, planned.chunk * kChunkQuads + place);
      std::memcpy(own(w_.quads) + n * kQuadInputs, &quad, sizeof quad);
      own(w_.places)[n] = place;
      for (int i = 0; i < kQuadInputs; ++i) own(w_.offsets)[row] += 128 * static_cast<int8_t>(quad >> (8 * i) & 0xff);
      n += kBunch;
    }
  }

  int64_t k_padded() const { return round_up(std::max<int64_t>(w_.in_features, 1), kDepthMultiple); }
  int64_t block_bytes() const { return k_padded() * kBlockRows * kernel_.input_bytes; }

  bool is_serial(int64_t rows, const ThreadPool& pool) const {
    return pool.n_threads() == 1 || rows * n_quads_ * kQuadInputs < kSerialProducts;
  }

  // Room for the rows, and behind them for what the largest place could lead to.
  void begin(int64_t n_rows, PreparedRows& prepared) const {
    const int64_t n_blocks = divide_up(n_rows, kBlockRows);
    const int64_t slack = kIndexRange * kQuadInputs * kBlockRows * kernel_.input_bytes;
    prepared.reserve(n_blocks * block_bytes() + slack, n_blocks * kBlockRows);
  }

  void prepare(const LinearRows& args, PreparedRows& to, ThreadPool& pool) const {
    std::byte* const data = to.data.get();  // of this thread, whichever prepares
    float* const scales = to.scales.data();
    const auto block = [&](int64_t b, int) {
      const int64_t row = b * kBlockRows;
      const int64_t at = row * args.ldx;
      const PrepareRows from{.x = args.x_is_bf16 ? nullptr : static_cast<const float*>(args.x) + at,
                             .x_bf16 = args.x_is_bf16 ? static_cast<const uint16_t*>(args.x) + at : nullptr,
                             .ldx = args.ldx,
                             .rows = std::min(kBlockRows, args.rows - row),
                             .in_features = w_.in_features,
                             .k_padded = k_padded(),
                             .row_block = kBlockRows,
                             .input_scale = input_scale_};
      (args.x_is_bf16 ? kernel_.prepare_bf16 : kernel_.prepare)(from, data + b * block_bytes(), scales + row);
    };
    const int64_t n_blocks = divide_up(args.rows, kBlockRows);
    if (!is_serial(args.rows, pool)) return pool.parallel_for(n_blocks, block);
    for (int64_t b = 0; b < n_blocks; ++b) block(b, 0);
  }

  void run_passes(const LinearRows& args, const float* residual, ThreadPool& pool) const {
    thread_local PreparedRows prepared;
    begin(args.rows, prepared);
    prepare(args, prepared, pool);
    const std::byte* const data = prepared.data.get();
    const float* const scales = prepared.scales.data();
    const auto groups = [&](int64_t begin, int64_t end) {
      for (int64_t row = 0; row < args.rows; row += kernel_.max_blocks * kBlockRows) {
        kernel_.groups({.table = &table_,
                        .weights = &w_,
                        .rows_data = data + row / kBlockRows * block_bytes(),
                        .block_bytes = block_bytes(),
                        .row_scales = scales + row,
                        .rows = std::min(kernel_.max_blocks * kBlockRows, args.rows - row),
                        .y = args.y_is_bf16 ? nullptr : static_cast<float*>(args.y) + row * args.ldy,
                        .y_bf16 = args.y_is_bf16 ? static_cast<uint16_t*>(args.y) + row * args.ldy : nullptr,
                        .ldy = args.ldy,
                        .activation = args.activation,
                        .residual = residual == nullptr ? nullptr : residual + row * args.ldy},
                       begin, end);
      }
    };
    if (is_serial(args.rows, pool)) return groups(0, w_.n_groups);
    const int64_t n_parts = std::min<int64_t>(pool.n_threads(), w_.n_groups);
    pool.parallel_for(
        n_parts, [&](int64_t part, int) { groups(w_.n_groups * part / n_parts, w_.n_groups * (part + 1) / n_parts); });
  }

  QuadKernel kernel_;
  float input_scale_;
  KernelTable table_;
  int64_t n_quads_;
  Parts parts_;
  PackedBlock block_;
  QuadWeights w_;
};

}  // namespace

std::unique_ptr<PackedLinear> pack_int8_quads(const LinearWeights& weights, const QuadKernel& kernel,
                                              void (*install)(KernelTable&)) {
  check_int8_weights(weights);
  return std::make_unique<QuadLinear>(weights, kernel, install);
}

}  // namespace fettle
