// int8 weights of which only the quads are stored that have a number: four neighbouring inputs of one output. What
// every instruction set shares: layout, checks, cutting of the work. An instruction set gives a QuadKernel.
//
// A product wants its inputs quad by quad: [16 rows][k] becomes [k / 4][16 rows][4], so that one quad of weights, in
// all lanes, is multiplied with the same four inputs of 16 rows at once. Inputs are taken in chunks of kChunkQuads
// quads, whose rows stay in the first-level cache while the outputs pass.
//
// Outputs with about as many quads in a chunk go together in bunches of four: their sums are independent chains, one
// loop serves all four, and only the shorter ones are filled up, with quads of zeros.
//
// Weights are in memory in the order of use: groups of 96 outputs, in each the chunks, in each the bunches, and of a
// bunch the first quads of its four outputs, then the second ones: i8 [n][4 outputs][4] in one stream, and the quads'
// numbers within their chunk, u8 [n][4 outputs], in another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/kernel_table.h"
#include "kernels/packed_panels.h"

namespace fettle {

inline constexpr int64_t kQuadInputs = 4;
inline constexpr int64_t kChunkQuads = 128;
inline constexpr int64_t kBlockRows = 16;  // rows that lie together

inline constexpr int64_t kBunch = 4;
inline constexpr int64_t kGroupBunches = kGroupWidth / kBunch;

// Four outputs of a group and how many quads each has in one chunk.
struct QuadBunch {
  uint16_t n_quads = 0;
  uint8_t outputs[kBunch] = {};
};
struct QuadChunk {
  int64_t begin = 0;  // its first quad in the streams
  QuadBunch bunches[kGroupBunches];
};

struct QuadWeights {
  int64_t out_features = 0;
  int64_t in_features = 0;
  int64_t n_groups = 0;
  int64_t n_chunks = 0;
  const QuadChunk* chunks = nullptr;  // [n_groups][n_chunks]
  const std::byte* quads = nullptr;
  const uint8_t* places = nullptr;
  const float* bias = nullptr;  // [96 · n_groups]; so are the next two
  const float* scales = nullptr;
  const int32_t* offsets = nullptr;  // 128 · Σ_k w

  const QuadChunk& chunk(int64_t group, int64_t i) const { return chunks[group * n_chunks + i]; }
};

struct QuadJob {
  const KernelTable* table = nullptr;  // for activate and add
  const QuadWeights* weights = nullptr;
  const std::byte* rows_data = nullptr;  // prepared: blocks of 16 rows, block_bytes each
  int64_t block_bytes = 0;
  const float* row_scales = nullptr;  // [rows, rounded up to 16]
  int64_t rows = 0;
  float* y = nullptr;
  uint16_t* y_bf16 = nullptr;  // in place of y, only where the kernel has prepare_bf16
  int64_t ldy = 0;
  Activation activation = Activation::kNone;
  const float* residual = nullptr;
};

struct QuadKernel {
  int64_t input_bytes = 1;  // of one prepared input
  int64_t max_blocks = 1;   // of rows that one pass over the weights serves
  // Up to 16 rows, as [k_padded / 4][16][4]; k_padded is a multiple of 64. row_block is 16.
  void (*prepare)(const PrepareRows& from, std::byte* to, float* scales) = nullptr;
  void (*prepare_bf16)(const PrepareRows& from, std::byte* to, float* scales) = nullptr;
  // At most max_blocks blocks of rows by groups [begin, end).
  void (*groups)(const QuadJob& job, int64_t begin, int64_t end) = nullptr;
};

// install puts `activate` and `add` of the instruction set into a table.
std::unique_ptr<PackedLinear> pack_int8_quads(const LinearWeights& weights, const QuadKernel& kernel,
                                              void (*install)(KernelTable&));

}  // namespace fettle
