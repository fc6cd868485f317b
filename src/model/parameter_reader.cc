#include "model/parameter_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/sparse_tensors.h"
#include "tensor/int_group.h"
#include "tensor/sparse.h"

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

constexpr std::string_view kPackedSuffix = "_packed";

// Buffers, copies of tied weights, and heads of pre-training that no graph here has.
constexpr std::array<std::string_view, 7> kExpectedLeftovers = {
    "position_ids",           "predictions.decoder.weight", "predictions.decoder.bias",
    "vocab_projector.weight", "lm_head.decoder.weight",     "lm_head.decoder.bias",
    "token_type_ids"};

}  // namespace

ParameterReader::ParameterReader(const TensorStore& store, std::string prefix, std::vector<IntegerScheme> schemes,
                                 std::string where)
    : store_(store), prefix_(std::move(prefix)), schemes_(std::move(schemes)), where_(std::move(where)) {}

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
  if (found.empty()) {
    const std::string found_packed = find(name + std::string(kPackedSuffix));
    if (found_packed.empty()) return sparse(name, shape);
    return packed(found_packed.substr(0, found_packed.size() - kPackedSuffix.size()), shape);
  }
  used_.insert(found);
  return encoded(found, shape);
}

Tensor ParameterReader::scales(const std::string& name, const Encoding& encoding, int64_t n_rows) {
  const std::string scale_name = name + "_scale";
  const Tensor* scale = store_.find(scale_name);
  if (scale == nullptr) bad_input(where_, fmt::format("tensor '{}' is int8 but there is no '{}'", name, scale_name));
  used_.insert(scale_name);
  // [rows] or [rows, 1]; a single number has no rows, whatever its size. Of a tensor [1] or [].
  const bool has_rows = scale->rank() > 0 && scale->dim(0) == n_rows && scale->size() == n_rows;
  const bool fits = encoding.per_tensor ? scale->size() == 1 : has_rows;
  if (fits && dtype_is_float(scale->dtype())) {
    return scale->to(DType::kF32).reshaped({encoding.per_tensor ? 1 : n_rows});
  }
  const std::string wanted =
      encoding.per_tensor ? "one scale for all" : fmt::format("one scale for each of {} rows", n_rows);
  bad_input(where_, fmt::format("tensor '{}' is {} {}, not {}", scale_name, dtype_name(scale->dtype()),
                                shape_to_string(scale->shape()), wanted));
}

// `name` is that of the weight in the file.
void ParameterReader::read_input_scale(const std::string& name, EncodedTensor& value) {
  if (!value.encoding.static_input) return;
  const std::string scale_name = input_scale_name(name);
  const Tensor* scale = store_.find(scale_name);
  if (scale == nullptr) {
    bad_input(where_, fmt::format("there is no tensor '{}', which static inputs need", scale_name));
  }
  used_.insert(scale_name);
  const bool is_number = scale->size() == 1 && dtype_is_float(scale->dtype());
  if (is_number) value.input_scale = scale->to(DType::kF32).data<float>()[0];
  if (is_number && std::isfinite(value.input_scale) && value.input_scale > 0) return;
  bad_input(where_, fmt::format("tensor '{}' is no number above 0", scale_name));
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
      if (shape.size() == 2) {
        const Encoding encoding = channel_encoding(name);
        EncodedTensor value{encoding, shape, tensor, scales(name, encoding, shape[0])};
        read_input_scale(name, value);
        return value;
      }
      break;
    default:
      break;
  }
  bad_input(where_, fmt::format("tensor '{}' of element type {} is no parameter", name, dtype_name(tensor.dtype())));
}

std::optional<EncodedTensor> ParameterReader::sparse(const std::string& name, const Shape& shape) {
  const auto find_part = [this](const std::string& part_name) { return store_.find(find(part_name)); };
  const std::optional<SparseParts> parts = find_sparse(name, find_part, where_);
  if (!parts.has_value()) return std::nullopt;
  EncodedTensor value = read_sparse(*parts, shape, where_);
  for (const std::string& part_name : parts->names) used_.insert(find(part_name));
  if (value.encoding.bits != 8) return value;
  const std::string scale_name = find(name + "_scale");
  const std::string stored_name = scale_name.empty() ? name : scale_name.substr(0, scale_name.size() - 6);
  const Encoding encoding = channel_encoding(stored_name);
  value.encoding.input_bits = encoding.input_bits;
  value.encoding.static_input = encoding.static_input;
  value.scales = scales(stored_name, Encoding::int8_channel(), shape[0]);
  read_input_scale(stored_name, value);
  return value;
}

const Tensor& ParameterReader::part(const std::string& name, const std::string& suffix) {
  const Tensor* tensor = store_.find(name + suffix);
  if (tensor == nullptr) {
    bad_input(where_, fmt::format("tensor '{}{}' is there but no '{}{}'", name, kPackedSuffix, name, suffix));
  }
  used_.insert(name + suffix);
  return *tensor;
}

Encoding ParameterReader::channel_encoding(const std::string& name) const {
  // Files without a config are taken for fettle's own.
  if (schemes_.empty()) return Encoding::int8_channel();
  const IntegerScheme* scheme = find_scheme(schemes_, EncodingKind::kIntChannel, name);
  if (is_embedding(name)) {
    // What goes into a table are ids.
    Encoding table = Encoding::int8_channel();
    const Tensor* scale = store_.find(name + "_scale");
    table.per_tensor = scheme != nullptr && scheme->encoding.per_tensor && scale != nullptr && scale->size() == 1;
    return table;
  }
  if (scheme != nullptr) return scheme->encoding;
  bad_input(where_,
            fmt::format("tensor '{}': the \"quantization_config\" of config.json has no int8 group for it", name));
}

Encoding ParameterReader::packed_encoding(const std::string& name) const {
  const IntegerScheme* scheme = find_scheme(schemes_, EncodingKind::kIntGroup, name);
  if (scheme == nullptr) {
    bad_input(where_,
              fmt::format("tensor '{}{}': the \"quantization_config\" of config.json has no packed group for it", name,
                          kPackedSuffix));
  }
  Encoding encoding = scheme->encoding;
  if (!is_embedding(name)) return encoding;
  // What goes into a table are ids.
  encoding.input_bits = 16;
  encoding.static_input = false;
  return encoding;
}

void ParameterReader::require(const std::string& name, const Tensor& tensor, bool is_right,
                              const std::string& wanted) const {
  if (is_right) return;
  bad_input(where_, fmt::format("tensor '{}' is {} {}, not {}", name, dtype_name(tensor.dtype()),
                                shape_to_string(tensor.shape()), wanted));
}

// u8 [rows, groups]
Tensor ParameterReader::zero_points(const std::string& name, const Encoding& encoding, const Shape& groups) {
  const std::string zero_name = name + "_zero_point";
  const Tensor& packed = part(name, "_zero_point");
  // As other programs have written them: not packed.
  if (packed.dtype() == DType::kI8 && packed.shape() == groups) {
    Tensor zeros(DType::kU8, groups);
    const int offset = stored_offset(encoding.bits);
    for (int64_t i = 0; i < zeros.size(); ++i) {
      const int zero = packed.data<int8_t>()[i] + offset;
      if (zero < 0 || zero >= 2 * offset) {
        bad_input(where_, fmt::format("tensor '{}': number {} is {}, none of {} bits", zero_name, i, zero - offset,
                                      encoding.bits));
      }
      zeros.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(zero);
    }
    return zeros;
  }
  const Shape words = {words_of_row(groups[0], encoding.bits), groups[1]};
  require(zero_name, packed, packed.dtype() == DType::kI32 && packed.shape() == words,
          fmt::format("i32 {} for {} groups", shape_to_string(words), shape_to_string(groups)));
  return unpacked_zeros(packed, encoding.bits, groups[0]);
}

// `name` is that of the plain weight.
EncodedTensor ParameterReader::packed(const std::string& name, const Shape& shape) {
  const Tensor& values = part(name, std::string(kPackedSuffix));
  if (shape.size() != 2) bad_input(where_, fmt::format("tensor '{}' cannot be packed: it is no matrix", name));
  if (store_.find(name + "_g_idx") != nullptr) {
    bad_input(where_, fmt::format("tensor '{}_g_idx': only weights in their own order are supported", name));
  }
  const Encoding encoding = packed_encoding(name);
  if (!encoding.asymmetric && store_.find(name + "_zero_point") != nullptr) {
    bad_input(where_, fmt::format("tensor '{}_zero_point' is there, but its group of config.json is symmetric", name));
  }
  const Shape words = {shape[0], words_of_row(shape[1], encoding.bits)};
  require(
      name + "_packed", values, values.dtype() == DType::kI32 && values.shape() == words,
      fmt::format("i32 {} for {} bits of a matrix {}", shape_to_string(words), encoding.bits, shape_to_string(shape)));

  const Tensor& scale = part(name, "_scale");
  const Shape groups = {shape[0], groups_of_row(encoding, shape[1])};
  require(name + "_scale", scale, dtype_is_float(scale.dtype()) && scale.shape() == groups,
          fmt::format("numbers {}, one for each {} columns", shape_to_string(groups), group_width(encoding, shape[1])));

  const Tensor& sizes = part(name, "_shape");
  require(name + "_shape", sizes, sizes.dtype() == DType::kI64 && sizes.shape() == Shape{2}, "two i64 numbers");
  if (!std::ranges::equal(shape, std::span(sizes.data<int64_t>(), 2))) {
    bad_input(where_, fmt::format("tensor '{}' has the shape [{}, {}], the config needs {}", name,
                                  sizes.data<int64_t>()[0], sizes.data<int64_t>()[1], shape_to_string(shape)));
  }
  EncodedTensor value{encoding, shape, values, scale.dtype() == DType::kF64 ? scale.to(DType::kF32) : scale};
  if (encoding.asymmetric) value.zeros = zero_points(name, encoding, groups);
  read_input_scale(name, value);
  return value;
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
