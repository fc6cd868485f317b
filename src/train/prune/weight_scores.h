// What weights are ranked by, and how masks are put on them.
#pragma once

#include <span>

#include "graph/mask_blocks.h"

namespace fettle {

// scores[b] = the mean square of block b's weights; of single weights the magnitude.
void magnitude_scores(const MaskBlocks& blocks, std::span<const float> weight, std::span<float> scores);
// weight *= mask, by blocks.
void mask_in_place(const MaskBlocks& blocks, std::span<const float> mask, std::span<float> weight);
// How many of n_blocks blocks, or groups of four, a sparsity removes: to the nearest.
int64_t n_removed(int64_t n, double share);

}  // namespace fettle
