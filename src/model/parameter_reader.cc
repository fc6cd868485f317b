#include "model/parameter_reader.h"

#include <fmt/format.h>

#include <array>
#include <utility>
#include <vector>

#include "base/error.h"

namespace fettle {
namespace {

// {suffix that parameters have here, suffix of the same in old or other checkpoints}
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kOtherSuffixes = {{
    {"LayerNorm.weight", "LayerNorm.gamma"},
    {"LayerNorm.bias", "LayerNorm.beta"},
    {"predictions.bias", "predictions.decoder.bias"},
    {"lm_head.bias", "lm_head.decoder.bias"},
    {"layer_norm.weight", "layer_norm.gamma"},
}};

// Buffers, copies of tied weights, and heads of pre-training that no graph here has.
constexpr std::array<std::string_view, 7> kExpectedLeftovers = {
    "position_ids",           "predictions.decoder.weight", "predictions.decoder.bias",
    "vocab_projector.weight", "lm_head.decoder.weight",     "lm_head.decoder.bias",
    "token_type_ids"};

}  // namespace

ParameterReader::ParameterReader(const TensorStore& store, std::string prefix, std::string where)
    : store_(store), prefix_(std::move(prefix)), where_(std::move(where)) {}

std::string ParameterReader::find(const std::string& name) const {
  std::vector<std::string> candidates = {name};
  for (const auto& [suffix, other] : kOtherSuffixes) {
    if (name.ends_with(suffix)) candidates.push_back(name.substr(0, name.size() - suffix.size()) + std::string(other));
  }
  for (const std::string& candidate : candidates) {
    if (store_.find(candidate) != nullptr) return candidate;
    if (!candidate.starts_with(prefix_)) continue;
    if (std::string bare = candidate.substr(prefix_.size()); store_.find(bare) != nullptr) return bare;
  }
  return "";
}

std::optional<EncodedTensor> ParameterReader::read(const std::string& name, const Shape& shape) {
  const std::string found = find(name);
  if (found.empty()) return std::nullopt;
  used_.insert(found);
  return encoded(found, shape);
}

Tensor ParameterReader::scales(const std::string& name, int64_t n_rows) {
  const std::string scale_name = name + "_scale";
  const Tensor* scale = store_.find(scale_name);
  if (scale == nullptr) bad_input(where_, fmt::format("tensor '{}' is int8 but there is no '{}'", name, scale_name));
  // [rows] or [rows, 1]; a single number has no rows, whatever its size.
  const bool has_rows = scale->rank() > 0 && scale->dim(0) == n_rows && scale->size() == n_rows;
  if (!has_rows || !dtype_is_float(scale->dtype())) {
    bad_input(where_, fmt::format("tensor '{}' is {} {}, not one scale for each of {} rows", scale_name,
                                  dtype_name(scale->dtype()), shape_to_string(scale->shape()), n_rows));
  }
  used_.insert(scale_name);
  return scale->to(DType::kF32).reshaped({n_rows});
}

EncodedTensor ParameterReader::encoded(const std::string& name, const Shape& shape) {
  const Tensor& tensor = store_.get(name);
  if (tensor.shape() != shape) {
    bad_input(where_, fmt::format("tensor '{}' has the shape {}, the config needs {}", name,
                                  shape_to_string(tensor.shape()), shape_to_string(shape)));
  }
  switch (tensor.dtype()) {
    case DType::kF32:
    case DType::kBF16:
    case DType::kF16:
      return EncodedTensor::dense(tensor);
    case DType::kF64:
      return EncodedTensor::dense(tensor.to(DType::kF32));
    case DType::kI8:
      if (shape.size() == 2) return {Encoding::int8_channel(), shape, tensor, scales(name, shape[0])};
      break;
    default:
      break;
  }
  bad_input(where_, fmt::format("tensor '{}' of element type {} is no parameter", name, dtype_name(tensor.dtype())));
}

std::vector<std::string> ParameterReader::unused() const {
  std::vector<std::string> names;
  for (const std::string& name : store_.names()) {
    bool expected = used_.contains(name);
    for (const std::string_view leftover : kExpectedLeftovers) expected = expected || name.ends_with(leftover);
    if (!expected) names.push_back(name);
  }
  return names;
}

}  // namespace fettle
