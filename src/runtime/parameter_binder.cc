#include "runtime/parameter_binder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace fettle {
namespace {

constexpr int64_t kBlock = 1024;

// Bits that are all one in the exponent of infinities and NaNs.
template <typename T>
int64_t first_not_finite(const T* bits, int64_t n, T exponent) {
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = std::min(n, begin + kBlock);
    uint32_t bad = 0;
    for (int64_t i = begin; i < end; ++i) bad |= static_cast<uint32_t>((bits[i] & exponent) == exponent);
    if (bad == 0) continue;
    for (int64_t i = begin; i < end; ++i) {
      if ((bits[i] & exponent) == exponent) return i;
    }
  }
  return -1;
}

int64_t first_not_finite(const Tensor& tensor) {
  switch (tensor.dtype()) {
    case DType::kF32:
      return first_not_finite<uint32_t>(tensor.data<uint32_t>(), tensor.size(), 0x7f800000u);
    case DType::kBF16:
      return first_not_finite<uint16_t>(tensor.data<uint16_t>(), tensor.size(), 0x7f80u);
    case DType::kF16:
      return first_not_finite<uint16_t>(tensor.data<uint16_t>(), tensor.size(), 0x7c00u);
    default:
      return -1;
  }
}

}  // namespace

void check_scales(std::string_view name, const EncodedTensor& value) {
  if (!value.scales.defined()) return;
  if (const int64_t at = first_not_finite(value.scales); at >= 0) {
    bad_input(std::string(name), fmt::format("scale {} is not a finite number", at));
  }
  const Tensor scales = value.scales.to(DType::kF32);
  const auto negative = std::ranges::find_if(scales.floats(), [](float scale) { return scale < 0; });
  if (negative != scales.floats().end()) {
    bad_input(std::string(name), fmt::format("scale {} is negative", negative - scales.floats().begin()));
  }
  if (value.encoding.static_input && !(value.input_scale > 0 && std::isfinite(value.input_scale))) {
    bad_input(std::string(name), fmt::format("the scale of its inputs is {}, not above 0", value.input_scale));
  }
}

void check_values(std::string_view name, const EncodedTensor& value) {
  if (const int64_t at = first_not_finite(value.data); at >= 0) {
    bad_input(std::string(name), fmt::format("value {} is not a finite number", at));
  }
  check_scales(name, value);
  if (value.data.dtype() != DType::kI8) return;
  const int8_t* q = value.data.data<int8_t>();
  const int8_t* lowest = std::find(q, q + value.data.size(), int8_t{-128});
  if (lowest != q + value.data.size()) {
    bad_input(std::string(name), fmt::format("integer {} is -128, outside the symmetric range", lowest - q));
  }
}

ParameterBinder::ParameterBinder(const Graph& graph, const Executor::ParameterLookup& lookup,
                                 const ExecutorOptions& options)
    : graph_(graph), lookup_(lookup), options_(options), dense_(graph.values().size(), nullptr) {}

bool ParameterBinder::is_constant(ValueId id) const {
  const ValueKind kind = graph_.value(id).kind;
  return kind == ValueKind::kConstant || (kind == ValueKind::kParameter && options_.pack_parameters);
}

const EncodedTensor& ParameterBinder::stored(ValueId id) {
  const Value& value = graph_.value(id);
  if (value.kind == ValueKind::kConstant) {
    constant_ = EncodedTensor::dense(value.constant);
    return constant_;
  }
  const EncodedTensor& stored = lookup_(value.name);
  const Shape expected = bind_shape(value.type, SymbolBindings(graph_.symbols().size(), -1));
  if (stored.shape != expected) {
    bad_input(value.name, fmt::format("has the shape {}, the graph needs {}", shape_to_string(stored.shape),
                                      shape_to_string(expected)));
  }
  return stored;
}

ValueId ParameterBinder::dense_slot(ValueId id) {
  const Value& value = graph_.value(id);
  const auto index = static_cast<size_t>(id);
  if ((value.kind != ValueKind::kParameter && value.kind != ValueKind::kConstant) || dense_[index] != nullptr)
    return id;
  if (value.kind == ValueKind::kConstant) {
    dense_[index] = value.constant.raw();
    return id;
  }
  const EncodedTensor& encoded = stored(id);
  Tensor tensor = encoded.data;
  if (options_.pack_parameters) {
    check_values(value.name, encoded);
    tensor = encoded.decode();
    if (tensor.raw() == encoded.data.raw()) tensor = tensor.clone();
    dense_bytes_ += tensor.size_bytes();
  } else if (encoded.encoding != Encoding::dense(DType::kF32)) {
    failed(value.name, fmt::format("is stored as {}; only f32 can be trained", encoding_name(encoded.encoding)));
  }
  dense_[index] = tensor.raw();
  tensors_.push_back(std::move(tensor));
  return id;
}

}  // namespace fettle
