// How a sparse parameter is spread over the tensors of a weights file.
//
//   bitmask   M.compressed (values), M.bitmask, M.row_offsets (I64, where each row's values begin), M.shape
//   2:4       of floats M.compressed [rows, cols / 2], M.bitmask, M.shape; else X_2of4_values, X_2of4_index, X_shape
//   4x1       X_4x1_values, X_4x1_mask, X_shape
//   32x32     X_32x32_values, X_32x32_mask, X_shape
//
// X is the parameter ("….dense.weight"), M its module ("….dense"). The names with M are those of compressed-tensors'
// formats "sparse-bitmask" and "sparse-24-bitmask". Integers have X_scale besides.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "format/safetensors.h"
#include "tensor/sparse.h"

namespace fettle {

// All but the scales.
void add_sparse(const std::string& name, const EncodedTensor& value, std::vector<NamedTensor>& tensors);

// The tensors of one sparse parameter as they were found.
struct SparseParts {
  SparsePattern pattern = SparsePattern::kNone;
  Tensor values;
  Tensor index;
  Tensor shape;
  Tensor row_offsets;              // undefined where there are none
  std::vector<std::string> names;  // of all these, values first
};
// By `find` (the tensor of a name, or null). nullopt when the parameter is not there in any sparse form; kBadInput when
// only some of its tensors are. `where` names the file.
using FindTensor = FunctionRef<const Tensor*(const std::string& name)>;
std::optional<SparseParts> find_sparse(const std::string& name, FindTensor find, const std::string& where);

// data and index, checked against each other and `shape`; scales and input_bits are the caller's to set. kBadInput.
EncodedTensor read_sparse(const SparseParts& parts, const Shape& shape, const std::string& where);

}  // namespace fettle
