// Strided views of a storage: whether they are contiguous, whether they fit, and copies of them that are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tensor/tensor.h"

namespace fettle {

// Whether the elements lie row-major without gaps; a stride of a dimension of size 1 does not matter.
bool is_contiguous(const Shape& shape, const Shape& strides);

// Elements from the first to one past the last (0 when the shape has none); strides are not negative. kBadInput on
// overflow, naming `where`.
int64_t strided_extent(const Shape& shape, const Shape& strides, std::string_view where);

// Writes the elements of element_bytes (1, 2, 4 or 8) each to `out` in row-major order; `in` need not be aligned. Shape
// and strides have the same rank, at most 8.
void strided_copy(const std::byte* in, const Shape& shape, const Shape& strides, int64_t element_bytes, std::byte* out);

}  // namespace fettle
