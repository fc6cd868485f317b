// How a mask's elements cover a matrix: one for each block of rows and columns; blocks at the edges may be cut.
#pragma once

#include "graph/graph.h"
#include "graph/infer.h"

namespace fettle {

struct MaskBlocks {
  int64_t rows = 0;  // of the matrix
  int64_t columns = 0;
  int64_t block_rows = 1;
  int64_t block_columns = 1;

  // Of a mask_weight node, attributes block_rows and block_columns (1 where they are absent).
  static MaskBlocks of(const Attributes& attributes, const Shape& matrix) {
    return {.rows = matrix[0],
            .columns = matrix[1],
            .block_rows = attributes.get_int("block_rows", 1),
            .block_columns = attributes.get_int("block_columns", 1)};
  }
  int64_t mask_rows() const { return (rows + block_rows - 1) / block_rows; }
  int64_t mask_columns() const { return (columns + block_columns - 1) / block_columns; }
  int64_t n_blocks() const { return mask_rows() * mask_columns(); }
  // The block that element `index` of the matrix is in.
  int64_t block_of(int64_t index) const {
    return index / columns / block_rows * mask_columns() + index % columns / block_columns;
  }
  // Elements of block `block`: fewer at the edges.
  int64_t size_of(int64_t block) const {
    const int64_t first_row = block / mask_columns() * block_rows;
    const int64_t first_column = block % mask_columns() * block_columns;
    const int64_t n_rows = rows - first_row < block_rows ? rows - first_row : block_rows;
    const int64_t n_columns = columns - first_column < block_columns ? columns - first_column : block_columns;
    return n_rows * n_columns;
  }
};

// Checks the node's blocks and that `mask` has one element for each block of `weight`; both have constant sizes.
inline void check_mask(const TypeCheck& check, const TensorType& weight, const TensorType& mask) {
  const int64_t blocks[] = {check.integer_or("block_rows", 1, 1), check.integer_or("block_columns", 1, 1)};
  for (size_t axis = 0; axis < 2; ++axis) {
    if (!weight.shape[axis].is_constant()) check.fail("the matrix has a size that is not constant");
    const int64_t wanted = (weight.shape[axis].value + blocks[axis] - 1) / blocks[axis];
    check.same_dim(mask.shape[axis], Graph::constant_dim(wanted), "mask");
  }
}

}  // namespace fettle
