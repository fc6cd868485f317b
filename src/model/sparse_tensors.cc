#include "model/sparse_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <span>
#include <string_view>

#include "base/error.h"

namespace fettle {
namespace {

constexpr std::string_view kWeightSuffix = ".weight";
constexpr const char* kRowOffsets = ".row_offsets";

struct SparseNames {
  SparsePattern pattern;
  const char* values;
  const char* index;
  const char* shape;
};
// Behind the module's name.
constexpr SparseNames kOfModule = {SparsePattern::kBitmask, ".compressed", ".bitmask", ".shape"};
// Behind the parameter's.
constexpr SparseNames kOfParameter[] = {
    {SparsePattern::kTwoOfFour, "_2of4_values", "_2of4_index", "_shape"},
    {SparsePattern::kBlock4x1, "_4x1_values", "_4x1_mask", "_shape"},
    {SparsePattern::kBlock32x32, "_32x32_values", "_32x32_mask", "_shape"},
};

std::string module_of(std::string name) {
  if (name.ends_with(kWeightSuffix)) name.resize(name.size() - kWeightSuffix.size());
  return name;
}

Tensor shape_tensor(const Shape& shape, const Shape& form) {
  Tensor tensor(DType::kI64, form);
  std::ranges::copy(shape, tensor.mutable_data<int64_t>());
  return tensor;
}

// Where each row's values begin: i64 [rows].
Tensor row_offsets(const Tensor& bitmask) {
  const int64_t n_rows = bitmask.dim(0);
  const int64_t row_bytes = bitmask.dim(1);
  Tensor offsets(DType::kI64, {n_rows});
  int64_t n = 0;
  for (int64_t r = 0; r < n_rows; ++r) {
    offsets.mutable_data<int64_t>()[r] = n;
    for (int64_t i = 0; i < row_bytes; ++i) n += std::popcount(bitmask.data<uint8_t>()[r * row_bytes + i]);
  }
  return offsets;
}

std::optional<SparseParts> find_parts(const std::string& base, const SparseNames& names, FindTensor find,
                                      const std::string& where) {
  SparseParts parts{.pattern = names.pattern};
  const auto take = [&](const char* suffix, Tensor& to) {
    const Tensor* tensor = find(base + suffix);
    if (tensor == nullptr) {
      bad_input(where, fmt::format("tensor '{}{}' is there but no '{}{}'", base, names.values, base, suffix));
    }
    parts.names.push_back(base + suffix);
    to = *tensor;
  };
  if (find(base + names.values) == nullptr) return std::nullopt;
  take(names.values, parts.values);
  take(names.index, parts.index);
  take(names.shape, parts.shape);
  return parts;
}

DType type_of_values(const SparseParts& parts, const std::string& where) {
  const DType type = parts.values.dtype();
  for (const DType allowed : {DType::kF32, DType::kBF16, DType::kF16, DType::kI8}) {
    if (type == allowed) return type;
  }
  bad_input(where, fmt::format("tensor '{}' of element type {} is no parameter", parts.names[0], dtype_name(type)));
}

void check_shape(const SparseParts& parts, const Shape& shape, const std::string& where) {
  const Tensor& stored = parts.shape;
  if (stored.dtype() != DType::kI64 || stored.size() != 2) {
    bad_input(where, fmt::format("tensor '{}' is {} {}, not two i64 numbers", parts.names[2],
                                 dtype_name(stored.dtype()), shape_to_string(stored.shape())));
  }
  const int64_t* sizes = stored.data<int64_t>();
  if (std::ranges::equal(shape, std::span(sizes, 2))) return;
  bad_input(where, fmt::format("tensor '{}' has the shape [{}, {}], the config needs {}", parts.names[0], sizes[0],
                               sizes[1], shape_to_string(shape)));
}

void check_row_offsets(const SparseParts& parts, const std::string& where) {
  const Tensor& stored = parts.row_offsets;
  const Tensor right = row_offsets(parts.index);
  if (stored.dtype() != DType::kI64 || stored.size() != right.size()) {
    bad_input(where, fmt::format("tensor '{}' is {} {}, not one i64 number for each of {} rows", parts.names.back(),
                                 dtype_name(stored.dtype()), shape_to_string(stored.shape()), right.size()));
  }
  const int64_t* const begins = right.data<int64_t>();
  const auto [at, _] = std::mismatch(begins, begins + right.size(), stored.data<int64_t>());
  if (at == begins + right.size()) return;
  const int64_t row = at - begins;
  bad_input(where, fmt::format("tensor '{}' says that row {} begins at {}; by the mask it is {}", parts.names.back(),
                               row, stored.data<int64_t>()[row], *at));
}

}  // namespace

void add_sparse(const std::string& name, const EncodedTensor& value, std::vector<NamedTensor>& tensors) {
  const SparsePattern pattern = value.encoding.pattern;
  const bool is_float = value.encoding.bits != 8;
  const std::string module = module_of(name);
  if (pattern == SparsePattern::kBitmask) {
    tensors.push_back({module + kOfModule.values, value.data});
    tensors.push_back({module + kOfModule.index, value.index});
    tensors.push_back({module + kRowOffsets, row_offsets(value.index)});
    tensors.push_back({module + kOfModule.shape, shape_tensor(value.shape, {2})});
    return;
  }
  if (pattern == SparsePattern::kTwoOfFour && is_float && value.shape[1] % kQuad == 0) {
    tensors.push_back({module + kOfModule.values, value.data});
    tensors.push_back({module + kOfModule.index, two_of_four_bitmask(value)});
    tensors.push_back({module + kOfModule.shape, shape_tensor(value.shape, {2, 1})});
    return;
  }
  const auto names = std::ranges::find(kOfParameter, pattern, &SparseNames::pattern);
  tensors.push_back({name + names->values, value.data});
  tensors.push_back({name + names->index, value.index});
  tensors.push_back({name + names->shape, shape_tensor(value.shape, {2})});
}

std::optional<SparseParts> find_sparse(const std::string& name, FindTensor find, const std::string& where) {
  const std::string module = module_of(name);
  if (auto parts = find_parts(module, kOfModule, find, where)) {
    const Tensor* offsets = find(module + kRowOffsets);
    if (offsets == nullptr) {
      parts->pattern = SparsePattern::kTwoOfFour;
    } else {
      parts->row_offsets = *offsets;
      parts->names.push_back(module + kRowOffsets);
    }
    return parts;
  }
  for (const SparseNames& names : kOfParameter) {
    if (auto parts = find_parts(name, names, find, where)) return parts;
  }
  return std::nullopt;
}

EncodedTensor read_sparse(const SparseParts& parts, const Shape& shape, const std::string& where) {
  if (shape.size() != 2) {
    bad_input(where, fmt::format("tensor '{}' cannot be sparse: it is no matrix", parts.names[0]));
  }
  check_shape(parts, shape, where);
  const DType type = type_of_values(parts, where);
  const Encoding numbers = type == DType::kI8 ? Encoding::int8_channel() : Encoding::dense(type);
  EncodedTensor sparse{Encoding::sparse(numbers, parts.pattern), shape, parts.values, {}, parts.index};
  const bool as_bitmask = parts.names[1].ends_with(kOfModule.index);
  if (as_bitmask && parts.pattern == SparsePattern::kTwoOfFour) {
    sparse.index = two_of_four_index(parts.index, shape);
    if (!sparse.index.defined()) {
      bad_input(where, fmt::format("tensor '{}' is no mask of two of every four of {} weights", parts.names[1],
                                   shape_to_string(shape)));
    }
  }
  // compressed-tensors has written them as a column, too.
  if (parts.pattern == SparsePattern::kBitmask) sparse.data = parts.values.reshaped({parts.values.size()});
  if (const std::string fault = sparse_fault(sparse); !fault.empty()) {
    bad_input(where, fmt::format("tensor '{}': {}", parts.names[0], fault));
  }
  if (parts.row_offsets.defined()) check_row_offsets(parts, where);
  return sparse;
}

}  // namespace fettle
