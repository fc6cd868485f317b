// Attention on AMX tiles: both products take bf16 and sum in f32; the softmax between them is f32.
//
// Heads are worked on one by one, 32 queries at a time. Scores lie as tiles, [key tile][query tile][16][16]; their
// powers, not yet divided by their sum, are written as the left operand of the product with the values.
#include <immintrin.h>

#include <utility>

#include "kernels/scratch.h"
#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/amx/pack_tiles.h"
#include "kernels/x86/amx/tile_ops.h"
#include "kernels/x86/amx/tiles.h"
#include "kernels/x86/avx512/kernels.h"

namespace fettle::amx {
namespace {

constexpr int64_t kTileValues = 512;  // bf16
constexpr int64_t kTileSums = 256;
constexpr int64_t kQueryTiles = 2;  // with two sums and two operands the processor has tile registers left for renaming

// Operands of one head in tiles, and room for 32 queries. [tiles] of 1 KB each.
struct Head {
  int64_t n_queries;
  int64_t length;
  int64_t head_dim;
  int64_t deep = tiles_deep(head_dim);  // tiles of a query or key
  int64_t query_tiles = tiles_across(n_queries);
  int64_t key_tiles = tiles_across(length);  // of 16
  int64_t value_deep = tiles_deep(length);   // tiles of 32 keys
  int64_t columns = tiles_across(head_dim);  // tiles of an output row
  uint16_t* queries = nullptr;               // [query tile][deep]
  uint16_t* keys = nullptr;                  // [key tile][deep]
  uint16_t* values = nullptr;                // [column tile][value_deep]
  uint16_t* powers = nullptr;                // [query tile of two][value_deep]
  float* scores = nullptr;                   // [key tile][query tile of two][16][16]
  float* sums = nullptr;                     // [query tile of two][16][16]

  Head(int64_t n_rows, int64_t n, int64_t dim) : n_queries(n_rows), length(n), head_dim(dim) {
    const int64_t n_tiles =
        (query_tiles + key_tiles) * deep + columns * value_deep + kQueryTiles * (value_deep + key_tiles + 1);
    auto* at = thread_scratch_of<uint16_t>(ScratchUse::kBlock, static_cast<size_t>(n_tiles * kTileValues));
    const auto take = [&](int64_t tiles) { return std::exchange(at, at + tiles * kTileValues); };
    queries = take(query_tiles * deep);
    keys = take(key_tiles * deep);
    values = take(columns * value_deep);
    powers = take(kQueryTiles * value_deep);
    scores = reinterpret_cast<float*>(take(kQueryTiles * key_tiles));
    sums = reinterpret_cast<float*>(take(kQueryTiles));
  }
};

// sums[i] = Σ left[i] · right over n tiles of depth; left[1] lies left_stride values behind left[0].
template <int... kRow>
void multiply_tiles(const uint16_t* left, int64_t left_stride, const uint16_t* right, int64_t n, float* sums,
                    std::integer_sequence<int, kRow...>) {
  (clear_sums<kRow>(), ...);
  for (int64_t t = 0; t < n; ++t) {
    load_tile<7>(right + t * kTileValues);
    ((load_tile<6>(left + kRow * left_stride + t * kTileValues), Bf16Dot::add<kRow>()), ...);
  }
  (store_sums<kRow>(sums + kRow * kTileSums, kTileRowBytes), ...);
}

void multiply_tiles(const uint16_t* left, int64_t left_stride, const uint16_t* right, int64_t n, float* sums,
                    int64_t n_rows) {
  asm volatile("" : : : "memory");  // gcc 12 does not know what tile loads read
  if (n_rows == 1) {
    multiply_tiles(left, left_stride, right, n, sums, std::make_integer_sequence<int, 1>());
  } else {
    multiply_tiles(left, left_stride, right, n, sums, std::make_integer_sequence<int, 2>());
  }
}

// 2^x for x <= 0, to a relative error of 1e-4: the result is rounded to bf16. NaN stays NaN.
inline __m512 power_of_two(__m512 x) {
  const __m512 clamped = _mm512_max_ps(_mm512_set1_ps(-126.0f), x);
  const __m512 n = _mm512_roundscale_ps(clamped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_sub_ps(clamped, n);
  __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0.05500858f), r, _mm512_set1_ps(0.24221037f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.6932829f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

// Powers of one row's scores; returns their sum. `scores` and `powers` are the row's first ones.
float softmax_row(const float* scores, int64_t length, float factor, uint16_t* powers) {
  constexpr int64_t kStride = kQueryTiles * kTileSums;
  const int64_t n = tiles_across(length);
  const int64_t left = length - (n - 1) * 16;
  const auto last = static_cast<__mmask16>((1u << left) - 1);
  const __m512 lowest = _mm512_set1_ps(-__builtin_inff());
  __m512 largest = lowest;
  for (int64_t t = 0; t + 1 < n; ++t) largest = _mm512_max_ps(largest, _mm512_load_ps(scores + t * kStride));
  largest = _mm512_mask_max_ps(largest, last, largest, _mm512_load_ps(scores + (n - 1) * kStride));
  const __m512 scale = _mm512_set1_ps(factor);
  const __m512 shift = _mm512_set1_ps(-factor * _mm512_reduce_max_ps(largest));
  __m512 sum = _mm512_setzero_ps();
  const auto power = [&](int64_t t) {
    if (t >= n) return _mm512_setzero_ps();
    const __m512 value = power_of_two(_mm512_fmadd_ps(_mm512_load_ps(scores + t * kStride), scale, shift));
    return _mm512_maskz_mov_ps(t + 1 < n ? __mmask16{0xffff} : last, value);
  };
  for (int64_t t = 0; t < n; t += 2, powers += kTileValues) {
    const __m512 low = power(t);
    const __m512 high = power(t + 1);
    sum = _mm512_add_ps(sum, _mm512_add_ps(low, high));
    _mm512_store_si512(powers, (__m512i)_mm512_cvtne2ps_pbh(high, low));
  }
  return _mm512_reduce_add_ps(sum);
}

// out [rows, head_dim] = sums of one column tile, divided by the rows' sums of powers.
void write_columns(const Head& head, int64_t column, int64_t rows, const float* inverse, float* out, int64_t stride) {
  const int64_t left = head.head_dim - column * 16;
  const __mmask16 mask = left >= 16 ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
  for (int64_t r = 0; r < rows; ++r) {
    const __m512 value = _mm512_mul_ps(_mm512_load_ps(head.sums + r * 16), _mm512_set1_ps(inverse[r]));
    _mm512_mask_storeu_ps(out + r * stride + column * 16, mask, value);
  }
}

// Where a head's queries, keys, values and outputs begin.
struct HeadRows {
  TileSource q;  // with data and stride
  TileSource k;
  TileSource v;
  float* out;
  int64_t out_stride;
};

// Queries [16 · tile, …) of a head, up to 32.
void attend(const Head& head, int64_t tile, float scale, float* out, int64_t out_stride) {
  constexpr float kLog2E = 1.44269504f;
  const int64_t n_tiles = head.query_tiles - tile < kQueryTiles ? head.query_tiles - tile : kQueryTiles;
  const int64_t left_rows = head.n_queries - tile * kTileRows;
  const int64_t rows = left_rows < n_tiles * kTileRows ? left_rows : n_tiles * kTileRows;
  const uint16_t* queries = head.queries + tile * head.deep * kTileValues;
  for (int64_t t = 0; t < head.key_tiles; ++t) {
    multiply_tiles(queries, head.deep * kTileValues, head.keys + t * head.deep * kTileValues, head.deep,
                   head.scores + t * kQueryTiles * kTileSums, n_tiles);
  }
  float inverse[kQueryTiles * kTileRows];
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t query_tile = r / kTileRows;
    const int64_t row = r % kTileRows;
    inverse[r] = 1.0f / softmax_row(head.scores + query_tile * kTileSums + row * 16, head.length, scale * kLog2E,
                                    head.powers + query_tile * head.value_deep * kTileValues + row * kDepth);
  }
  for (int64_t c = 0; c < head.columns; ++c) {
    multiply_tiles(head.powers, head.value_deep * kTileValues, head.values + c * head.value_deep * kTileValues,
                   head.value_deep, head.sums, n_tiles);
    write_columns(head, c, rows, inverse, out + tile * kTileRows * out_stride, out_stride);
  }
}

void run_head(const HeadRows& rows, int64_t n_queries, int64_t length, int64_t head_dim, float scale) {
  const Head head(n_queries, length, head_dim);
  const auto pack = [&](const TileSource& source, TileForm form, uint16_t* to) {
    const int64_t deep = tiles_deep(source.depth);
    pack_tiles(source, form, {0, tiles_across(source.lines), 0, deep}, deep, to);
  };
  TileSource q = rows.q;
  q.lines = n_queries;
  q.depth = head_dim;
  pack(q, TileForm::kLeft, head.queries);
  TileSource k = rows.k;
  k.lines = length;
  k.depth = head_dim;
  pack(k, TileForm::kRight, head.keys);
  TileSource v = rows.v;
  v.lines_are_rows = false;
  v.lines = head_dim;
  v.depth = length;
  pack(v, TileForm::kRight, head.values);
  for (int64_t tile = 0; tile < head.query_tiles; tile += kQueryTiles) {
    attend(head, tile, scale, rows.out, rows.out_stride);
  }
}

// Of whichever of the two is there.
TileSource source(const float* data, const uint16_t* data_bf16, int64_t at, int64_t stride) {
  TileSource from{.stride = stride};
  if (data_bf16 != nullptr) {
    from.data_bf16 = data_bf16 + at;
  } else {
    from.data = data + at;
  }
  return from;
}

void begin_tiles() {
  configure_tiles();
  clear_sums<2>();
  clear_sums<3>();
  clear_sums<4>();
  clear_sums<5>();
}

}  // namespace

void attention_bf16(const RaggedAttention& args, int64_t begin, int64_t end) {
  begin_tiles();
  for (int64_t s = begin; s < end; ++s) {
    const int64_t first = args.offsets[s];
    const int64_t length = args.offsets[s + 1] - first;
    if (length == 0) continue;
    for (int64_t h = 0; h < args.n_heads; ++h) {
      const int64_t at = first * args.stride + h * args.head_dim;
      run_head({.q = source(args.q, args.q_bf16, at, args.stride),
                .k = source(args.k, args.k_bf16, at, args.stride),
                .v = source(args.v, args.v_bf16, at, args.stride),
                .out = args.out + first * args.out_stride + h * args.head_dim,
                .out_stride = args.out_stride},
               length, length, args.head_dim, args.scale);
    }
  }
}

void attention_rows_bf16(const AttentionRows& args, int64_t begin, int64_t end) {
  begin_tiles();
  for (int64_t r = begin; r < end; ++r) {
    const int64_t first = args.offsets[args.sequences[r]];
    const int64_t length = args.offsets[args.sequences[r] + 1] - first;
    for (int64_t h = 0; h < args.n_heads; ++h) {
      const int64_t column = h * args.head_dim;
      const int64_t at = first * args.stride + column;
      run_head({.q = source(args.q, nullptr, r * args.q_stride + column, args.q_stride),
                .k = source(args.k, nullptr, at, args.stride),
                .v = source(args.v, nullptr, at, args.stride),
                .out = args.out + r * args.out_stride + column,
                .out_stride = args.out_stride},
               1, length, args.head_dim, args.scale);
    }
  }
}

}  // namespace fettle::amx
