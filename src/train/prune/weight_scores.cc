#include "train/prune/weight_scores.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace fettle {

void magnitude_scores(const MaskBlocks& blocks, std::span<const float> weight, std::span<float> scores) {
  if (blocks.n_blocks() == std::ssize(weight)) {
    std::ranges::transform(weight, scores.begin(), [](float w) { return std::fabs(w); });
    return;
  }
  std::vector<double> sums(scores.size(), 0);
  for (int64_t r = 0; r < blocks.rows; ++r) {
    const float* row = weight.data() + r * blocks.columns;
    double* sum = sums.data() + r / blocks.block_rows * blocks.mask_columns();
    for (int64_t c = 0; c < blocks.columns; ++c) {
      sum[c / blocks.block_columns] += static_cast<double>(row[c]) * static_cast<double>(row[c]);
    }
  }
  for (size_t b = 0; b < sums.size(); ++b) {
    scores[b] = static_cast<float>(sums[b] / static_cast<double>(blocks.size_of(static_cast<int64_t>(b))));
  }
}

void mask_in_place(const MaskBlocks& blocks, std::span<const float> mask, std::span<float> weight) {
  for (int64_t r = 0; r < blocks.rows; ++r) {
    float* row = weight.data() + r * blocks.columns;
    const float* factors = mask.data() + r / blocks.block_rows * blocks.mask_columns();
    for (int64_t c = 0; c < blocks.columns; ++c) {
      const float factor = factors[c / blocks.block_columns];
      row[c] = factor == 0 ? 0.0f : row[c] * factor;
    }
  }
}

int64_t n_removed(int64_t n, double share) {
  return std::clamp<int64_t>(std::llround(share * static_cast<double>(n)), 0, n);
}

}  // namespace fettle
