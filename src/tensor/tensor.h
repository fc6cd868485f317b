// Tensors: a shape, an element type and a contiguous row-major buffer that may be shared with others or mapped from a
// file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace fettle {

using Shape = std::vector<int64_t>;

// Product of the dimensions (1 for rank 0); kBadInput on overflow or a negative dimension.
int64_t element_count(const Shape& shape);
std::string shape_to_string(const Shape& shape);  // "[2, 768]"

// Copies are shallow: they share the buffer. Buffers made here are 64-byte aligned. Memory mapped from a file is
// read-only by convention: call clone() before writing (mutable access to a mapped tensor is a programmer's mistake and
// asserts).
class Tensor {
 public:
  Tensor() = default;
  // Zero-filled.
  Tensor(DType dtype, Shape shape);
  // Views memory that `owner` keeps alive (a MappedFile, another tensor's buffer).
  static Tensor view(DType dtype, Shape shape, const void* data, std::shared_ptr<const void> owner);
  static Tensor from(const std::vector<float>& values, Shape shape);
  static Tensor from_i32(const std::vector<int32_t>& values, Shape shape);

  // False for Tensor() only: a tensor of zero elements is defined.
  bool defined() const { return data_ != nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t rank() const { return static_cast<int64_t>(shape_.size()); }
  int64_t dim(int64_t axis) const { return shape_[axis < 0 ? axis + rank() : axis]; }
  int64_t size() const { return element_count_; }
  int64_t size_bytes() const { return element_count_ * dtype_size(dtype_); }
  bool writable() const { return writable_; }

  const void* raw() const { return data_; }
  void* raw_mutable();

  // Typed access, unchecked: the caller knows dtype(). uint16_t serves f16 and bf16, uint8_t also bool.
  template <typename T>
  const T* data() const {
    return static_cast<const T*>(raw());
  }
  template <typename T>
  T* mutable_data() {
    return static_cast<T*>(raw_mutable());
  }
  std::span<const float> floats() const { return {data<float>(), static_cast<size_t>(size())}; }

  // The same elements under another shape with the same count; shares the buffer.
  Tensor reshaped(Shape shape) const;
  // Rows [begin, end) of the first dimension; shares the buffer.
  Tensor rows(int64_t begin, int64_t end) const;
  Tensor clone() const;
  // Converted copy (float types among each other; integer types to f32); returns *this, shared, when nothing changes.
  Tensor to(DType dtype) const;

 private:
  DType dtype_ = DType::kF32;
  Shape shape_;
  int64_t element_count_ = 0;
  void* data_ = nullptr;
  bool writable_ = false;
  std::shared_ptr<const void> owner_;
};

}  // namespace fettle
