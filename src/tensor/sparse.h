// Sparse matrices: the numbers that are kept, and where they stand.
//
// Layouts of EncodedTensor's data and index (u8) for a matrix [rows, cols]. Bits go from a byte's lowest to its
// highest, every row of bits begins with a byte, and bits that stand for nothing are 0.
//   kBitmask     index [rows, ceil(cols / 8)], a bit for each number; data [kept], row after row. These are the bitmask
//                and the values of compressed-tensors' "sparse-bitmask".
//   kTwoOfFour   data [rows, 2 · groups] where groups = ceil(cols / 4), two of each four, in their order; index
//                [rows, ceil(groups / 3)], three groups to a byte: a + 6 b + 36 c, the number of each pair in
//                01 02 03 12 13 23. With two bits for each kept number int8 would have 0.625 of the dense bytes; this
//                makes it 0.583.
//   kBlock4x1    index [rows, ceil(blocks / 8)] where blocks = ceil(cols / 4); data [kept blocks, 4], row after row
//   kBlock32x32  index [ceil(rows / 32), ceil(blocks / 8)] where blocks = ceil(cols / 32); data [kept blocks, 32, 32],
//                one row of blocks after another
// What lies in a block or group outside the matrix is 0. A zero may be stored (in a block, as one of two); what is not
// stored is zero. Negative zeros count as zeros and come back as positive ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tensor/encoding.h"

namespace fettle {

inline constexpr int64_t kQuad = 4;           // numbers of a group of 2:4 and of a 4x1 block
inline constexpr int64_t kSquare = 32;        // rows and columns of a 32x32 block
inline constexpr int64_t kGroupsPerByte = 3;  // 2:4
inline constexpr SparsePattern kSparsePatterns[] = {SparsePattern::kBitmask, SparsePattern::kTwoOfFour,
                                                    SparsePattern::kBlock4x1, SparsePattern::kBlock32x32};

std::string_view pattern_name(SparsePattern pattern);  // "none", "bitmask", "2:4", "4x1", "32x32"

// The encoding of the same numbers with all zeros: dense, or int8-channel. Itself unless sparse.
Encoding numbers_of(const Encoding& encoding);

// The same numbers with all zeros, and without most of them; exact. to_dense shares memory with what is not sparse.
// `stored` is dense or int8-channel, of rank 2; kFailed when it is not, or when there are more than two of four.
EncodedTensor to_dense(const EncodedTensor& stored);
EncodedTensor to_sparse(const EncodedTensor& stored, SparsePattern pattern);

// Bytes of a matrix (dense, int8-channel or sparse) stored by a pattern, kNone: with all zeros. -1 where the pattern
// does not hold it.
int64_t stored_bytes(const EncodedTensor& stored, SparsePattern pattern);
// The pattern with the fewest bytes; kNone where none is smaller than dense, and for what has no sparse form.
SparsePattern smallest_pattern(const EncodedTensor& stored);
// Converted to it; `stored` itself where that is what it has already.
EncodedTensor to_smallest(const EncodedTensor& stored);
// The smallest encoding of f32 values whose numbers are to be stored as `numbers` (dense or int8-channel) has them.
Encoding smallest_encoding(const Tensor& values, const Encoding& numbers);

// The share of quads (four neighbours in a row) that may have a number, read off the index: 1 for dense ones.
double kept_quads(const EncodedTensor& stored);

// Numbers that are not zero.
int64_t count_nonzeros(const EncodedTensor& stored);

// Whether data and index of a sparse tensor fit its shape and each other, as of one read from a file: "" or what is
// wrong, in a phrase.
std::string sparse_fault(const EncodedTensor& sparse);

// 2:4 as compressed-tensors' "sparse-24-bitmask" has it: two of each group's four bits are set.
// u8 [rows, ceil(cols / 8)] from an index, and back; the latter is undefined when the bits are others.
Tensor two_of_four_bitmask(const EncodedTensor& sparse);
Tensor two_of_four_index(const Tensor& bitmask, const Shape& shape);

}  // namespace fettle
