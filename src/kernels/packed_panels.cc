#include "kernels/packed_panels.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/error.h"
#include "base/function_ref.h"
#include "base/memory.h"
#include "kernels/int4_panels.h"
#include "kernels/packed_block.h"
#include "kernels/packed_int4.h"

namespace fettle {
namespace {

// |q w| <= 127 · 128, and vector units add 128 · Σ w for inputs shifted to unsigned.
constexpr int64_t kMaxInt8Features = 130000;

// One pass over the weights serves this many bytes of prepared rows, which stay in the second-level cache.
constexpr int64_t kRowsBytes = int64_t{1} << 20;
// Products with fewer multiplications are not worth waking another thread.
constexpr int64_t kSerialProducts = int64_t{3} << 20;
// Of the next product's weights, fetched into a second-level cache while its thread waits.
constexpr int64_t kAheadBytes = int64_t{768} << 10;
constexpr int64_t kPrepareGrain = int64_t{64} << 10;  // inputs prepared by one task

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

std::shared_ptr<std::byte> aligned_bytes(int64_t size) {
  auto block = allocate_block(size);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

// Hands out groups: each thread has a stretch of its own, whose memory it reads from one end to the other, and when
// that is done helps with the others'.
class GroupStretches {
 public:
  GroupStretches(int64_t n_groups, int n_threads) : n_groups_(n_groups), n_stretches_(n_threads) {
    for (int s = 0; s < n_threads; ++s) next_[s].store(begin(s), std::memory_order_relaxed);
  }
  static constexpr int kMaxStretches = 64;

  void run(int64_t stretch, FunctionRef<void(int64_t begin, int64_t end)> columns) {
    for (int64_t i = 0; i < n_stretches_; ++i) {
      const int64_t s = (stretch + i) % n_stretches_;
      const int64_t end = begin(s + 1);
      int64_t group = next_[s].load(std::memory_order_relaxed);
      while (group < end) {
        const int64_t after = group + (end - group + 1) / 2;
        if (!next_[s].compare_exchange_weak(group, after, std::memory_order_relaxed)) continue;
        columns(group, after);
        group = next_[s].load(std::memory_order_relaxed);
      }
    }
  }

  int64_t begin(int64_t s) const { return n_groups_ * s / n_stretches_; }

 private:
  int64_t n_groups_;
  int64_t n_stretches_;
  std::atomic<int64_t> next_[kMaxStretches];
};

// Lays a panel out as packed_panels.h tells; kStep bytes are the k_group weights that lie together. Sixteen steps of
// every column at once: as much as a line of a row holds, and of the panel what stays in the first-level cache.
template <size_t kStep>
void fill_panel(const LinearWeights& from, int64_t first_column, int64_t weight_bytes, std::byte* panel) {
  constexpr size_t kSteps = 16;
  const size_t row_bytes = static_cast<size_t>(from.in_features * weight_bytes);
  const std::byte* const rows =
      static_cast<const std::byte*>(from.weight) + first_column * from.in_features * weight_bytes;
  const auto n_columns = static_cast<size_t>(std::min(kPanelWidth, from.out_features - first_column));
  const size_t n_steps = row_bytes / kStep;
  for (size_t begin = 0; begin < n_steps; begin += kSteps) {
    const size_t end = std::min(n_steps, begin + kSteps);
    for (size_t c = 0; c < n_columns; ++c) {
      const std::byte* const row = rows + c * row_bytes;
      for (size_t s = begin; s < end; ++s) {
        std::memcpy(panel + (s * kPanelWidth + c) * kStep, row + s * kStep, kStep);
      }
    }
  }
  const size_t done = n_steps * kStep;
  for (size_t c = 0; done < row_bytes && c < n_columns; ++c) {
    std::memcpy(panel + (n_steps * kPanelWidth + c) * kStep, rows + c * row_bytes + done, row_bytes - done);
  }
}

// 128 · Σ of a column's weights as 8-bit numbers.
int32_t int4_offset(const Int4Weights& w, const Int4Codes& codes, int64_t row) {
  const uint8_t* multiples = codes.multiples.data() + row * codes.n_groups;
  int32_t sum = 0;
  for (int64_t k = 0; k < w.in_features; k += 8) {
    const uint32_t eight = int4_eight(w, row, k);
    const int multiple = multiples[k / w.group_size];
    for (int i = 0; i < 8; ++i) sum += int4_as_int8(int4_of_eight(eight, i), multiple);
  }
  return 128 * sum;
}
int32_t int8_offset(const LinearWeights& w, int64_t row) {
  const int8_t* weight = static_cast<const int8_t*>(w.weight) + row * w.in_features;
  int32_t sum = 0;
  for (int64_t k = 0; k < w.in_features; ++k) sum += weight[k];
  return 128 * sum;
}

int64_t padded_depth(int64_t in_features, const PanelKernel& kernel) {
  return round_up(std::max<int64_t>(in_features, 1), kernel.k_multiple);
}

struct PanelSizes {
  int64_t out_features = 0;
  int64_t in_features = 0;
  int64_t panel_bytes = 0;
  bool has_scales = false;  // and offsets
  float input_scale = 0;
};

// Its block has the panels, then bias, scales and offsets of all their columns.
class PanelLinear : public PackedLinear {
 public:
  // With an image, there is nothing to fill.
  PanelLinear(const PanelSizes& sizes, const PanelKernel& kernel, void (*install)(KernelTable&),
              const PackedImage* image)
      : kernel_(kernel),
        input_scale_(sizes.input_scale),
        w_(weights_of(sizes, kernel)),
        block_(block_bytes(w_, sizes.has_scales), image) {
    install(table_);
    w_.data = block_.data();
    w_.bias = reinterpret_cast<const float*>(block_.data() + panels_bytes());
    if (!sizes.has_scales) return;
    w_.scales = w_.bias + n_columns();
    w_.offsets = reinterpret_cast<const int32_t*>(w_.scales + n_columns());
  }

  // fill(first column, panel) writes a panel, whose memory is zero before.
  template <typename Fill>
  void fill(const float* bias, Fill fill) {
    for (int64_t p = 0; p < w_.n_panels; ++p) fill(p * kPanelWidth, own(w_.panel(p / kGroupPanels, p % kGroupPanels)));
    if (bias != nullptr) std::copy_n(bias, w_.out_features, own(w_.bias));
  }
  template <typename Offset>
  void fill_scales(const float* scales, Offset offset) {
    std::copy_n(scales, w_.out_features, own(w_.scales));
    for (int64_t o = 0; o < w_.out_features; ++o) own(w_.offsets)[o] = offset(o);
  }

  void run(const float* x, int64_t ldx, int64_t rows, float* y, int64_t ldy, Activation activation,
           const float* residual, ThreadPool& pool) const override {
    run_chunks({.x = x, .ldx = ldx, .rows = rows, .y = y, .ldy = ldy, .activation = activation}, residual, pool);
  }

  bool takes_bf16() const override { return kernel_.prepare_bf16 != nullptr; }
  void run_rows(const LinearRows& rows, ThreadPool& pool) const override { run_chunks(rows, nullptr, pool); }

  bool prepares_rows() const override { return true; }
  void begin_rows(int64_t n_rows, PreparedRows& prepared) const override {
    const int64_t padded_rows = round_up(n_rows, kernel_.row_block);
    prepared.reserve(padded_rows * row_bytes(), padded_rows);
  }
  void prepare_rows(const float* x, int64_t ldx, int64_t begin, int64_t end, PreparedRows& prepared) const override {
    const int64_t block_rows = kernel_.row_block;
    for (int64_t row = begin; row < end;) {
      const int64_t at = row % block_rows;
      const int64_t n = std::min(block_rows - at, end - row);
      prepare_block({.x = x + row * ldx, .ldx = ldx, .rows = n}, at, false,
                    prepared.data.get() + (row - at) * row_bytes(), prepared.scales.data() + row);
      row += n;
    }
  }
  void run_prepared(const PreparedRows& prepared, const LinearRows& rows, ThreadPool& pool) const override {
    for (int64_t row = 0; row < rows.rows; row += chunk_rows()) {
      PanelJob job = job_of(rows, row);
      multiply(prepared, row, job, pool);
    }
  }

  FetchAhead first_weights(int part, int n_parts) const override {
    const int n_stretches = n_stretches_of(n_parts);
    if (part >= n_stretches) return {};
    const GroupStretches stretches(w_.n_groups, n_stretches);
    const int64_t begin = stretches.begin(part);
    const int64_t n_groups = stretches.begin(part + 1) - begin;
    FetchAhead ahead{.n_streams = static_cast<int>(w_.panels_in_group(begin))};
    for (int i = 0; i < ahead.n_streams; ++i) ahead.streams[i] = w_.panel(begin, i);
    ahead.size_bytes = std::min(n_groups * w_.panel_bytes, kAheadBytes / kGroupPanels);
    return ahead;
  }

  int64_t size_bytes() const override { return std::ssize(block_.bytes()); }
  std::span<const std::byte> image() const override { return block_.bytes(); }

 private:
  static PanelWeights weights_of(const PanelSizes& sizes, const PanelKernel& kernel) {
    PanelWeights w{.out_features = sizes.out_features,
                   .in_features = sizes.in_features,
                   .k_padded = padded_depth(sizes.in_features, kernel),
                   .n_panels = (sizes.out_features + kPanelWidth - 1) / kPanelWidth,
                   .panel_bytes = sizes.panel_bytes};
    w.n_groups = (w.n_panels + kGroupPanels - 1) / kGroupPanels;
    return w;
  }
  static int64_t block_bytes(const PanelWeights& w, bool has_scales) {
    constexpr int64_t kColumnBytes = kPanelWidth * static_cast<int64_t>(sizeof(float));
    return checked_mul(checked_add(w.panel_bytes, kColumnBytes * (has_scales ? 3 : 1), "linear"), w.n_panels, "linear");
  }
  int64_t panels_bytes() const { return w_.panel_bytes * w_.n_panels; }
  int64_t n_columns() const { return w_.n_panels * kPanelWidth; }

  // Where it is to be written to.
  template <typename T>
  T* own(const T* place) {
    return reinterpret_cast<T*>(block_.own() + (reinterpret_cast<const std::byte*>(place) - block_.data()));
  }

  int64_t row_bytes() const { return w_.k_padded * kernel_.input_bytes; }

  // Rows that one pass over the weights serves, whole blocks of them.
  int64_t chunk_rows() const {
    const int64_t two_blocks = 2 * kernel_.row_block;
    return std::max(kRowsBytes / std::max<int64_t>(row_bytes(), 1) / two_blocks, int64_t{1}) * two_blocks;
  }

  PanelJob job_of(const LinearRows& args, int64_t row) const {
    return {.table = &table_,
            .weights = &w_,
            .rows = std::min(chunk_rows(), args.rows - row),
            .y = args.y_is_bf16 ? nullptr : static_cast<float*>(args.y) + row * args.ldy,
            .y_bf16 = args.y_is_bf16 ? static_cast<uint16_t*>(args.y) + row * args.ldy : nullptr,
            .ldy = args.ldy,
            .activation = args.activation};
  }

  void run_chunks(const LinearRows& args, const float* residual, ThreadPool& pool) const {
    thread_local PreparedRows prepared;
    for (int64_t row = 0; row < args.rows; row += chunk_rows()) {
      PanelJob job = job_of(args, row);
      if (residual != nullptr) job.residual = residual + row * args.ldy;
      begin_rows(job.rows, prepared);
      prepare_chunk(args, row, job.rows, prepared, pool);
      multiply(prepared, 0, job, pool);
    }
  }

  // Up to a block of rows, which begins with row `at` of it.
  void prepare_block(PrepareRows from, int64_t at, bool is_bf16, std::byte* block, float* scales) const {
    from.in_features = w_.in_features;
    from.k_padded = w_.k_padded;
    from.row_block = kernel_.row_block;
    from.input_scale = input_scale_;
    (is_bf16 ? kernel_.prepare_bf16 : kernel_.prepare)(from, block + at * kLineBytes, scales);
  }

  // Whether a product is worth waking threads. Every output is computed alike wherever the cuts are.
  bool is_serial(int64_t rows, const ThreadPool& pool) const {
    return pool.n_threads() == 1 || rows * w_.in_features * w_.out_features < kSerialProducts;
  }

  void prepare_chunk(const LinearRows& args, int64_t first_row, int64_t rows, PreparedRows& to,
                     ThreadPool& pool) const {
    const int64_t block_rows = kernel_.row_block;
    std::byte* const data = to.data.get();  // of this thread, whichever prepares
    float* const scales = to.scales.data();
    const auto prepare = [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin * block_rows; row < std::min(end * block_rows, rows); row += block_rows) {
        const int64_t at = (first_row + row) * args.ldx;
        prepare_block({.x = args.x_is_bf16 ? nullptr : static_cast<const float*>(args.x) + at,
                       .x_bf16 = args.x_is_bf16 ? static_cast<const uint16_t*>(args.x) + at : nullptr,
                       .ldx = args.ldx,
                       .rows = std::min(block_rows, rows - row)},
                      0, args.x_is_bf16, data + row * row_bytes(), scales + row);
      }
    };
    const int64_t n_blocks = (rows + block_rows - 1) / block_rows;
    if (is_serial(rows, pool)) return prepare(0, n_blocks, 0);
    pool.parallel_ranges(n_blocks, kPrepareGrain / (block_rows * w_.k_padded) + 1, prepare);
  }

  // The job's rows are those from first_row on, the beginning of a block.
  void multiply(const PreparedRows& prepared, int64_t first_row, PanelJob& job, ThreadPool& pool) const {
    job.rows_data = prepared.data.get() + first_row * row_bytes();
    job.row_scales = prepared.scales.data() + first_row;
    const auto columns = [&](int64_t begin, int64_t end) { kernel_.columns(job, begin, end); };
    if (is_serial(job.rows, pool)) return columns(0, w_.n_groups);
    const int n_stretches = n_stretches_of(pool.n_threads());
    GroupStretches stretches(w_.n_groups, n_stretches);
    pool.parallel_for(n_stretches, [&](int64_t stretch, int) { stretches.run(stretch, columns); });
  }

  int n_stretches_of(int n_threads) const {
    return static_cast<int>(
        std::min<int64_t>({n_threads, GroupStretches::kMaxStretches, std::max<int64_t>(w_.n_groups, 1)}));
  }

  PanelKernel kernel_;
  float input_scale_;
  KernelTable table_;
  PanelWeights w_;
  PackedBlock block_;
};

std::unique_ptr<PanelLinear> pack_plain(const LinearWeights& weights, const PanelKernel& kernel,
                                        void (*install)(KernelTable&), bool has_scales) {
  const PanelSizes sizes{.out_features = weights.out_features,
                         .in_features = weights.in_features,
                         .panel_bytes = checked_mul(padded_depth(weights.in_features, kernel),
                                                    kPanelWidth * kernel.weight_bytes, "linear"),
                         .has_scales = has_scales,
                         .input_scale = weights.input_scale};
  auto linear = std::make_unique<PanelLinear>(sizes, kernel, install, weights.image);
  if (weights.image != nullptr) return linear;
  linear->fill(weights.bias, [&](int64_t column, std::byte* panel) {
    const bool in_pairs = kernel.k_group * kernel.weight_bytes == 2;
    const auto fill = in_pairs ? fill_panel<2> : fill_panel<4>;
    fill(weights, column, kernel.weight_bytes, panel);
  });
  return linear;
}

// Form is that of int4_panels.h.
template <typename Form>
PanelSizes int4_sizes(const Int4Weights& weights, const PanelKernel& kernel, bool has_scales) {
  const int64_t k_padded = padded_depth(weights.in_features, kernel);
  checked_mul(k_padded, kPanelWidth, "linear");
  return {.out_features = weights.out_features,
          .in_features = weights.in_features,
          .panel_bytes = Form::panel_bytes(k_padded / Form::kTileInputs),
          .has_scales = has_scales,
          .input_scale = has_scales ? weights.input_scale : 0};
}

}  // namespace

float quantize_factor(float absmax) {
  return absmax < kMinAbsmax ? 0.0f : 127.0f / absmax;
}
float quantize_scale(float absmax) {
  return absmax < kMinAbsmax ? 0.0f : absmax / 127.0f;
}

void PreparedRows::reserve(int64_t n_bytes, int64_t n_rows) {
  if (n_bytes > size_bytes) {
    data = aligned_bytes(n_bytes);
    size_bytes = n_bytes;
  }
  if (std::ssize(scales) < n_rows) scales.resize(static_cast<size_t>(n_rows));
}

void PackedLinear::run_rows(const LinearRows&, ThreadPool&) const {
  failed("linear", "this kernel takes f32 rows only");
}
void PackedLinear::begin_rows(int64_t, PreparedRows&) const {
  failed("linear", "this kernel prepares its rows itself");
}
void PackedLinear::prepare_rows(const float*, int64_t, int64_t, int64_t, PreparedRows&) const {
  failed("linear", "this kernel prepares its rows itself");
}
void PackedLinear::run_prepared(const PreparedRows&, const LinearRows&, ThreadPool&) const {
  failed("linear", "this kernel prepares its rows itself");
}

void finish_block(const PanelJob& job, float* block, int64_t row, int64_t rows, int64_t column, int64_t n_columns) {
  for (int64_t r = 0; r < rows; ++r) {
    float* values = block + r * kGroupWidth;
    const int64_t at = (row + r) * job.ldy + column;
    if (job.residual != nullptr) {
      if (job.activation != Activation::kNone) job.table->activate(job.activation, values, values, n_columns);
      job.table->add(values, job.residual + at, job.y + at, n_columns);
    } else if (job.activation != Activation::kNone) {
      job.table->activate(job.activation, values, job.y + at, n_columns);
    } else {
      std::memcpy(job.y + at, values, static_cast<size_t>(n_columns) * sizeof(float));
    }
  }
}

void check_linear_weights(const LinearWeights& weights) {
  const int64_t n = checked_mul(weights.out_features, weights.in_features, "linear");
  checked_mul(n, 2 * static_cast<int64_t>(sizeof(float)), "linear");
  if (weights.image == nullptr && weights.weight == nullptr && n > 0) bad_input("linear", "weights without data");
}

void check_int8_features(int64_t in_features) {
  if (in_features > kMaxInt8Features) {
    bad_input("linear", fmt::format("{} input features are too many for int8", in_features),
              fmt::format("int32 sums are exact up to {}; keep this layer in f32 or bf16", kMaxInt8Features));
  }
}

void check_input_scale(float input_scale) {
  constexpr float kLargest = 1 / kMinAbsmax;
  if (input_scale == 0 || (input_scale >= kMinAbsmax && input_scale <= kLargest)) return;
  bad_input("linear", fmt::format("{} is no scale of inputs", input_scale));
}

void check_int8_weights(const LinearWeights& weights) {
  check_linear_weights(weights);
  check_int8_features(weights.in_features);
  check_input_scale(weights.input_scale);
  if (weights.image == nullptr && weights.scales == nullptr && weights.out_features > 0) {
    bad_input("linear", "int8 weights without scales");
  }
}

std::unique_ptr<PackedLinear> pack_panels(const LinearWeights& weights, const PanelKernel& kernel,
                                          void (*install)(KernelTable&)) {
  check_linear_weights(weights);
  return pack_plain(weights, kernel, install, false);
}

std::unique_ptr<PackedLinear> pack_int8_panels(const LinearWeights& weights, const PanelKernel& kernel,
                                               void (*install)(KernelTable&)) {
  check_int8_weights(weights);
  auto linear = pack_plain(weights, kernel, install, true);
  if (weights.image == nullptr) {
    linear->fill_scales(weights.scales, [&](int64_t o) { return int8_offset(weights, o); });
  }
  return linear;
}

std::unique_ptr<PackedLinear> pack_int4_panels(const Int4Weights& weights, const PanelKernel& kernel,
                                               void (*install)(KernelTable&)) {
  check_int4_weights(weights);
  check_int8_features(weights.in_features);
  check_input_scale(weights.input_scale);
  auto linear =
      std::make_unique<PanelLinear>(int4_sizes<Int4AsInt8>(weights, kernel, true), kernel, install, weights.image);
  if (weights.image != nullptr) return linear;
  const Int4Codes codes = int4_codes(weights);
  linear->fill(weights.bias, [&](int64_t column, std::byte* panel) { fill_int4_panel(weights, codes, column, panel); });
  linear->fill_scales(codes.scales.data(), [&](int64_t o) { return int4_offset(weights, codes, o); });
  return linear;
}

std::unique_ptr<PackedLinear> pack_int4_bf16_panels(const Int4Weights& weights, const PanelKernel& kernel,
                                                    void (*install)(KernelTable&)) {
  check_int4_weights(weights);
  auto linear =
      std::make_unique<PanelLinear>(int4_sizes<Int4AsBf16>(weights, kernel, false), kernel, install, weights.image);
  if (weights.image != nullptr) return linear;
  linear->fill(weights.bias, [&](int64_t column, std::byte* panel) { fill_int4_bf16_panel(weights, column, panel); });
  return linear;
}

}  // namespace fettle
