#include "tensor/tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/checked.h"
#include "base/error.h"
#include "base/memory.h"

namespace fettle {
namespace {

// Where tensors of zero elements point.
alignas(kBlockAlignment) std::byte empty_buffer[kBlockAlignment];

std::shared_ptr<std::byte> allocate(int64_t size_bytes) {
  auto block = allocate_block(size_bytes);
  if (block == nullptr) failed("tensor", fmt::format("not enough memory for {} bytes", size_bytes));
  return block;
}

// Calls fn with a reader of one element as the widest type that holds it: double for f64, else float.
template <typename Fn>
void with_reader(DType dtype, const void* data, Fn fn) {
  const auto typed = [&]<typename T>(std::type_identity<T>) { return static_cast<const T*>(data); };
  switch (dtype) {
    case DType::kF64:
      return fn([p = typed(std::type_identity<double>{})](int64_t i) { return p[i]; });
    case DType::kF32:
      return fn([p = typed(std::type_identity<float>{})](int64_t i) { return p[i]; });
    case DType::kF16:
      return fn([p = typed(std::type_identity<uint16_t>{})](int64_t i) { return f16_to_f32(p[i]); });
    case DType::kBF16:
      return fn([p = typed(std::type_identity<uint16_t>{})](int64_t i) { return bf16_to_f32(p[i]); });
    case DType::kI64:
      return fn([p = typed(std::type_identity<int64_t>{})](int64_t i) { return static_cast<float>(p[i]); });
    case DType::kI32:
      return fn([p = typed(std::type_identity<int32_t>{})](int64_t i) { return static_cast<float>(p[i]); });
    case DType::kI16:
      return fn([p = typed(std::type_identity<int16_t>{})](int64_t i) { return static_cast<float>(p[i]); });
    case DType::kI8:
      return fn([p = typed(std::type_identity<int8_t>{})](int64_t i) { return static_cast<float>(p[i]); });
    case DType::kU8:
      return fn([p = typed(std::type_identity<uint8_t>{})](int64_t i) { return static_cast<float>(p[i]); });
    case DType::kBool:
      return fn([p = typed(std::type_identity<uint8_t>{})](int64_t i) { return p[i] != 0 ? 1.0f : 0.0f; });
  }
}

// Rounded to odd: what is lost leaves a trace in the last bit, so that rounding once more to 16 bits gives the nearest
// even of the f64 itself (Boldo & Melquiond 2008).
float to_odd_f32(double value) {
  const auto nearest = static_cast<float>(value);
  if (std::isnan(value) || static_cast<double>(nearest) == value) return nearest;
  const auto bits = std::bit_cast<uint32_t>(nearest);
  return std::bit_cast<float>((bits - (std::fabs(nearest) > std::fabs(value) ? 1u : 0u)) | 1u);
}
float to_odd_f32(float value) {
  return value;
}

template <typename Out, typename Convert>
void convert_all(const Tensor& from, Tensor& to, Convert convert) {
  Out* out = to.mutable_data<Out>();
  const int64_t n = from.size();
  with_reader(from.dtype(), from.raw(), [&](auto read) {
    for (int64_t i = 0; i < n; ++i) out[i] = convert(read(i));
  });
}

}  // namespace

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t dim : shape) {
    if (dim < 0) bad_input("shape " + shape_to_string(shape), "negative dimension");
    if (__builtin_mul_overflow(count, dim, &count)) bad_input("shape " + shape_to_string(shape), "too many elements");
  }
  return count;
}

std::string shape_to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

Tensor::Tensor(DType dtype, Shape shape)
    : dtype_(dtype), shape_(std::move(shape)), element_count_(element_count(shape_)), writable_(true) {
  const int64_t size = checked_mul(element_count_, dtype_size(dtype_), "tensor " + shape_to_string(shape_));
  auto block = allocate(size);
  data_ = block.get();
  owner_ = std::move(block);
}

Tensor Tensor::view(DType dtype, Shape shape, const void* data, std::shared_ptr<const void> owner) {
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.shape_ = std::move(shape);
  tensor.element_count_ = element_count(tensor.shape_);
  checked_mul(tensor.element_count_, dtype_size(dtype), "tensor " + shape_to_string(tensor.shape_));
  if (tensor.element_count_ == 0) {
    tensor.data_ = empty_buffer;
    return tensor;
  }
  if (data == nullptr) failed("tensor", "a view of no memory");
  if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(dtype_size(dtype)) != 0) {
    Tensor copy(dtype, tensor.shape_);
    std::memcpy(copy.data_, data, static_cast<size_t>(copy.size_bytes()));
    copy.writable_ = false;
    return copy;
  }
  tensor.data_ = const_cast<void*>(data);
  tensor.owner_ = std::move(owner);
  return tensor;
}

namespace {

template <typename T>
Tensor copied(DType dtype, const std::vector<T>& values, Shape shape) {
  const int64_t n = element_count(shape);
  if (n != static_cast<int64_t>(values.size())) {
    bad_input("tensor", fmt::format("{} values do not fill the shape {}", values.size(), shape_to_string(shape)));
  }
  Tensor tensor(dtype, std::move(shape));
  if (n > 0) std::memcpy(tensor.raw_mutable(), values.data(), values.size() * sizeof(T));
  return tensor;
}

}  // namespace

Tensor Tensor::from(const std::vector<float>& values, Shape shape) {
  return copied(DType::kF32, values, std::move(shape));
}

Tensor Tensor::from_i32(const std::vector<int32_t>& values, Shape shape) {
  return copied(DType::kI32, values, std::move(shape));
}

void* Tensor::raw_mutable() {
  if (!writable_) failed("tensor", "written to although it is a read-only view");
  return data_;
}

Tensor Tensor::reshaped(Shape shape) const {
  if (element_count(shape) != element_count_) {
    bad_input("tensor", fmt::format("{} cannot be reshaped to {}", shape_to_string(shape_), shape_to_string(shape)));
  }
  Tensor tensor = *this;
  tensor.shape_ = std::move(shape);
  return tensor;
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  if (rank() == 0 || begin < 0 || begin > end || end > shape_[0]) {
    bad_input("tensor", fmt::format("no rows {} to {} in the shape {}", begin, end, shape_to_string(shape_)));
  }
  Tensor tensor = *this;
  tensor.shape_[0] = end - begin;
  tensor.element_count_ = element_count(tensor.shape_);
  const int64_t row_bytes = shape_[0] == 0 ? 0 : size_bytes() / shape_[0];
  tensor.data_ = static_cast<std::byte*>(data_) + begin * row_bytes;
  return tensor;
}

Tensor Tensor::clone() const {
  if (!defined()) return {};
  Tensor tensor(dtype_, shape_);
  if (element_count_ > 0) std::memcpy(tensor.data_, data_, static_cast<size_t>(size_bytes()));
  return tensor;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_ || !defined()) return *this;
  if (!dtype_is_float(dtype) || (!dtype_is_float(dtype_) && dtype != DType::kF32)) {
    failed("tensor", fmt::format("no conversion from {} to {}", dtype_name(dtype_), dtype_name(dtype)));
  }
  Tensor out(dtype, shape_);
  switch (dtype) {
    case DType::kF64:
      convert_all<double>(*this, out, [](auto x) { return static_cast<double>(x); });
      break;
    case DType::kF32:
      convert_all<float>(*this, out, [](auto x) { return static_cast<float>(x); });
      break;
    case DType::kF16:
      convert_all<uint16_t>(*this, out, [](auto x) { return f32_to_f16(to_odd_f32(x)); });
      break;
    default:
      convert_all<uint16_t>(*this, out, [](auto x) { return f32_to_bf16(to_odd_f32(x)); });
      break;
  }
  return out;
}

}  // namespace fettle
