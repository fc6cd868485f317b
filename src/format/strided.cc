#include "format/strided.h"

#include <cstring>

#include "base/checked.h"

namespace fettle {
namespace {

template <size_t kBytes>
void copy_run(const std::byte* in, int64_t n, int64_t stride, std::byte* out) {
  for (int64_t i = 0; i < n; ++i) std::memcpy(out + i * kBytes, in + i * stride * static_cast<int64_t>(kBytes), kBytes);
}

using CopyRun = void (*)(const std::byte* in, int64_t n, int64_t stride, std::byte* out);

CopyRun copy_run_for(int64_t element_bytes) {
  switch (element_bytes) {
    case 1:
      return copy_run<1>;
    case 2:
      return copy_run<2>;
    case 4:
      return copy_run<4>;
    default:
      return copy_run<8>;
  }
}

}  // namespace

bool is_contiguous(const Shape& shape, const Shape& strides) {
  for (const int64_t dimension : shape) {
    if (dimension == 0) return true;
  }
  int64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1) continue;
    if (strides[i] != expected || __builtin_mul_overflow(expected, shape[i], &expected)) return false;
  }
  return true;
}

int64_t strided_extent(const Shape& shape, const Shape& strides, std::string_view where) {
  int64_t last = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return 0;
    last = checked_add(last, checked_mul(shape[i] - 1, strides[i], where), where);
  }
  return checked_add(last, 1, where);
}

void strided_copy(const std::byte* in, const Shape& shape, const Shape& strides, int64_t element_bytes,
                  std::byte* out) {
  if (element_count(shape) == 0) return;
  const CopyRun copy = copy_run_for(element_bytes);
  if (shape.empty()) return copy(in, 1, 1, out);
  const size_t inner = shape.size() - 1;
  Shape at(shape.size(), 0);
  while (true) {
    copy(in, shape[inner], strides[inner], out);
    out += shape[inner] * element_bytes;
    size_t axis = inner;
    while (axis > 0) {
      --axis;
      in += strides[axis] * element_bytes;
      if (++at[axis] < shape[axis]) break;
      in -= shape[axis] * strides[axis] * element_bytes;
      at[axis] = 0;
      if (axis == 0) return;
    }
    if (inner == 0) return;
  }
}

}  // namespace fettle
