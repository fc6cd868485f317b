#include <cstdint>

#include "kernels/reference/kernels.h"

namespace fettle::reference {

void gather_int8(const int8_t* table, const float* scales, const int32_t* ids, int64_t rows, int64_t width, float* y) {
  for (int64_t r = 0; r < rows; ++r) {
    const int8_t* row = table + ids[r] * width;
    const float scale = scales[ids[r]];
    for (int64_t i = 0; i < width; ++i) y[r * width + i] = static_cast<float>(row[i]) * scale;
  }
}

}  // namespace fettle::reference
