#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/reference/kernels.h"

namespace fettle::reference {

void softmax(float* x, int64_t rows, int64_t width) {
  for (float* row = x; row != x + rows * width; row += width) {
    const double maximum = *std::max_element(row, row + width);
    double sum = 0;
    for (int64_t c = 0; c < width; ++c) sum += std::exp(row[c] - maximum);
    for (int64_t c = 0; c < width; ++c) row[c] = static_cast<float>(std::exp(row[c] - maximum) / sum);
  }
}

void log_softmax(float* x, int64_t rows, int64_t width) {
  for (float* row = x; row != x + rows * width; row += width) {
    const double maximum = *std::max_element(row, row + width);
    double sum = 0;
    for (int64_t c = 0; c < width; ++c) sum += std::exp(row[c] - maximum);
    const double log_sum = maximum + std::log(sum);
    for (int64_t c = 0; c < width; ++c) row[c] = static_cast<float>(row[c] - log_sum);
  }
}

}  // namespace fettle::reference
