// Any sizes and any bits as operands: every kernel table stays within exactly sized buffers (the sanitizers watch), and
// where all results of the reference are ordinary numbers, the table's are near them.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/dispatch.h"

namespace {

using fettle::KernelTable;
using Floats = std::vector<float>;

// The input's bytes in turn, then from the start again.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  uint8_t next() { return size_ == 0 ? 0 : data_[at_++ % size_]; }
  int64_t size(int64_t most) { return next() % (most + 1); }
  // Small numbers, and now and then any bits at all.
  float value() {
    const uint8_t byte = next();
    if (byte < 0xf8) return (static_cast<float>(byte) - 124.0f) / 64.0f;
    uint32_t bits = 0;
    for (int i = 0; i < 4; ++i) bits = bits << 8 | next();
    float any;
    std::memcpy(&any, &bits, sizeof any);
    return any;
  }
  Floats values(int64_t n) {
    Floats result(static_cast<size_t>(n));
    std::generate(result.begin(), result.end(), [this] { return value(); });
    return result;
  }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

void require_near(const Floats& got, const Floats& expected) {
  const auto ordinary = [](float x) { return std::abs(x) < 1e4f; };
  if (!std::all_of(expected.begin(), expected.end(), ordinary)) return;
  for (size_t i = 0; i < got.size(); ++i) {
    if (!(std::abs(got[i] - expected[i]) <= 1e-3f * (1 + std::abs(expected[i])))) std::abort();
  }
}

// Runs function(table, output) with the table and with the reference on copies of `output`.
template <typename Function>
void compare(const KernelTable& table, const Floats& output, bool ordinary, Function function) {
  Floats got = output;
  Floats expected = output;
  function(table, got.data());
  function(fettle::table_named("reference"), expected.data());
  if (ordinary) require_near(got, expected);
}

bool all_small(const Floats& values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::abs(x) < 4; });
}

void fuzz_matmul(const KernelTable& table, Bytes& bytes, fettle::ThreadPool& pool) {
  fettle::Matmul p;
  p.m = bytes.size(70);
  p.n = bytes.size(70);
  p.k = bytes.size(70);
  const uint8_t form = bytes.next();
  p.transpose_a = (form & 1) != 0;
  p.transpose_b = (form & 2) != 0;
  p.accumulate = (form & 4) != 0;
  p.lda = p.transpose_a ? p.m : p.k;
  p.ldb = p.transpose_b ? p.k : p.n;
  p.ldc = p.n;
  const Floats a = bytes.values(p.m * p.k);
  const Floats b = bytes.values(p.k * p.n);
  const Floats bias = bytes.values(p.n);
  p.a = a.data();
  p.b = b.data();
  p.bias = (form & 8) != 0 ? bias.data() : nullptr;
  const auto kernel = (form & 16) != 0 ? &KernelTable::matmul_f32 : &KernelTable::matmul_bf16;
  compare(table, bytes.values(p.m * p.n), all_small(a) && all_small(b), [&](const KernelTable& t, float* c) {
    p.c = c;
    (t.*kernel)(p, pool);
  });
}

void fuzz_attention(const KernelTable& table, Bytes& bytes, fettle::ThreadPool&) {
  fettle::RaggedAttention args;
  std::vector<int32_t> offsets = {0};
  std::vector<int64_t> pairs = {0};
  for (int64_t left = bytes.size(4); left > 0; --left) {
    const int64_t length = bytes.size(40);
    offsets.push_back(offsets.back() + static_cast<int32_t>(length));
    pairs.push_back(pairs.back() + length * length);
  }
  args.n_heads = bytes.size(3);
  args.head_dim = bytes.size(40);
  const int64_t width = args.n_heads * args.head_dim;
  const int64_t n = offsets.back() * width;
  const int64_t n_pairs = args.n_heads * pairs.back();
  const Floats x = bytes.values(4 * n);
  args.q = x.data();
  args.k = x.data() + n;
  args.v = x.data() + 2 * n;
  args.stride = args.out_stride = width;
  args.offsets = offsets.data();
  args.pair_offsets = pairs.data();
  args.scale = 0.25f;
  args.dropout = bytes.next() % 2 == 0 ? 0.0f : 0.25f;
  const auto batch = static_cast<int64_t>(pairs.size()) - 1;
  compare(table, Floats(static_cast<size_t>(4 * n + n_pairs)), all_small(x), [&](const KernelTable& t, float* out) {
    args.out = out;
    args.probabilities = out + 4 * n;
    t.attention(args, 0, batch);
    t.attention_grad({args, x.data() + 3 * n, out + n, out + 2 * n, out + 3 * n}, 0, batch);
  });
  std::vector<int32_t> sequences;
  for (int32_t s = 0; s < batch; ++s) {
    if (offsets[static_cast<size_t>(s)] < offsets[static_cast<size_t>(s) + 1]) sequences.push_back(s);
  }
  const auto n_rows = static_cast<int64_t>(sequences.size());
  compare(table, Floats(static_cast<size_t>(n_rows * width)), all_small(x), [&](const KernelTable& t, float* out) {
    t.attention_rows({.q = args.q,
                      .q_stride = width,
                      .k = args.k,
                      .v = args.v,
                      .stride = width,
                      .offsets = args.offsets,
                      .sequences = sequences.data(),
                      .n_heads = args.n_heads,
                      .head_dim = args.head_dim,
                      .scale = args.scale,
                      .out = out,
                      .out_stride = width},
                     0, n_rows);
  });
}

void fuzz_rows(const KernelTable& table, Bytes& bytes, fettle::ThreadPool& pool) {
  const int64_t rows = bytes.size(40);
  const int64_t width = 1 + bytes.size(80);
  const int64_t n = rows * width;
  const Floats x = bytes.values(2 * n + 2 * width);
  const float* gamma = x.data() + 2 * n;
  const bool ordinary = all_small(x);
  const uint8_t which = bytes.next();
  compare(table, x, ordinary, [&](const KernelTable& t, float* y) {
    (which % 2 == 0 ? t.softmax : t.log_softmax)(y, rows, width);
    t.sum_rows(x.data(), rows, width, y + n, 0, width * (rows > 0));
    t.add_bias(x.data(), gamma, y + n, rows, width);
  });
  // A large eps: rows without variance would only compare rounding errors.
  const Floats output(static_cast<size_t>(2 * n + 2 * rows + 2 * width));
  compare(table, output, ordinary, [&](const KernelTable& t, float* y) {
    float* mean = y + 2 * n;
    fettle::LayerNorm norm{.x = x.data(), .residual = x.data() + n, .gamma = gamma, .beta = gamma + width};
    norm.eps = 0.1f;
    norm.width = width;
    norm.y = y;
    norm.mean = mean;
    norm.rstd = mean + rows;
    t.layer_norm(norm, 0, rows);
    t.layer_norm_grad({x.data(), x.data() + n, gamma, mean, mean + rows, rows, width, y + n, mean + 2 * rows,
                       mean + 2 * rows + width},
                      pool);
  });
}

void fuzz_elements(const KernelTable& table, Bytes& bytes, fettle::ThreadPool&) {
  const int64_t n = bytes.size(255);
  const auto kind = static_cast<fettle::Activation>(bytes.next() % 5);
  const float p = static_cast<float>(bytes.next()) / 256.0f;
  const uint64_t first = bytes.next();
  const Floats x = bytes.values(2 * n);
  compare(table, Floats(static_cast<size_t>(4 * n)), all_small(x), [&](const KernelTable& t, float* y) {
    t.activate(kind, x.data(), y, n);
    t.activate_grad(kind, x.data(), x.data() + n, y + n, n);
    t.add(x.data(), x.data() + n, y + 2 * n, n);
    t.scale(y + 2 * n, p, y + 2 * n, n);
    t.dropout(x.data(), y + 3 * n, n, p / 2, first, first * 3, first);
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static fettle::ThreadPool pool(1);
  constexpr void (*kFuzzers[])(const KernelTable&, Bytes&, fettle::ThreadPool&) = {fuzz_matmul, fuzz_attention,
                                                                                   fuzz_rows, fuzz_elements};
  Bytes bytes(data, size);
  const auto tables = fettle::supported_tables();
  const KernelTable& table = *tables[bytes.next() % tables.size()];
  kFuzzers[bytes.next() % 4](table, bytes, pool);
  return 0;
}
