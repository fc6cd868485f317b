// Rows and columns of a stored matrix, picked by index.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/encoding.h"

namespace fettle {

// `indices` rise. The values of what is left do not change, but where columns are picked out of groups that share a
// scale: those are encoded anew unless whole groups move. Sparse ones keep their pattern where it holds what is left,
// else take the smallest that does. Rank 1 (dense) or 2; columns need rank 2.
EncodedTensor select_rows(const EncodedTensor& value, std::span<const int64_t> indices);
EncodedTensor select_columns(const EncodedTensor& value, std::span<const int64_t> indices);

}  // namespace fettle
