#include "tensor/sparse.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"

namespace fettle {
namespace {

constexpr std::array<uint8_t, 6> kPairs = {0b0011, 0b0101, 0b1001, 0b0110, 0b1010, 0b1100};  // as bits of a group
constexpr int kPairCodes = 6 * 6 * 6;
constexpr int kCodeWeights[kGroupsPerByte] = {1, 6, 36};

int64_t divide_up(int64_t a, int64_t b) {
  return a / b + (a % b != 0 ? 1 : 0);
}

int pair_code(unsigned bits) {
  return static_cast<int>(std::find(kPairs.begin(), kPairs.end(), bits) - kPairs.begin());
}

// Numbers by their bits; what is left of a zero under kNotSign is 0.
template <typename Bits>
struct Numbers;
template <>
struct Numbers<uint8_t> {
  static constexpr uint8_t kNotSign = 0xff;  // integers
};
template <>
struct Numbers<uint16_t> {
  static constexpr uint16_t kNotSign = 0x7fff;
};
template <>
struct Numbers<uint32_t> {
  static constexpr uint32_t kNotSign = 0x7fffffff;
};
template <typename Bits>
bool is_number(Bits bits) {
  return (bits & Numbers<Bits>::kNotSign) != 0;
}

template <typename Fn>
auto with_bits(DType dtype, Fn fn) {
  switch (dtype_size(dtype)) {
    case 1:
      return fn(uint8_t{});
    case 2:
      return fn(uint16_t{});
    default:
      return fn(uint32_t{});
  }
}

bool is_sparse(const EncodedTensor& stored) {
  return stored.encoding.kind == EncodingKind::kSparse;
}
bool has_sparse_form(const EncodedTensor& stored) {
  const bool is_int8 = stored.encoding.kind == EncodingKind::kIntChannel && !stored.encoding.per_tensor;
  const bool is_float = stored.encoding.kind == EncodingKind::kDense && dtype_size(stored.data.dtype()) <= 4;
  return stored.shape.size() == 2 && (is_int8 || is_float);
}
DType number_type(const Encoding& encoding) {
  return encoding.bits == 8 ? DType::kI8 : encoding.dense_dtype;
}

// A pattern's blocks laid over a matrix. 2:4 has blocks of four that are all "kept".
struct Grid {
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t block_rows = 1;
  int64_t block_cols = 1;

  Grid(const Shape& shape, SparsePattern pattern) : rows(shape[0]), cols(shape[1]) {
    if (pattern == SparsePattern::kBlock32x32) block_rows = block_cols = kSquare;
    if (pattern == SparsePattern::kBlock4x1 || pattern == SparsePattern::kTwoOfFour) block_cols = kQuad;
  }
  int64_t grid_rows() const { return divide_up(rows, block_rows); }
  int64_t grid_cols() const { return divide_up(cols, block_cols); }
  int64_t block_size() const { return block_rows * block_cols; }
  int64_t row_bytes() const { return divide_up(grid_cols(), 8); }
  // Rows and columns of block (r, c) that are inside.
  int64_t height(int64_t r) const { return std::min(block_rows, rows - r * block_rows); }
  int64_t width(int64_t c) const { return std::min(block_cols, cols - c * block_cols); }
};

bool bit_at(const uint8_t* row, int64_t i) {
  return (row[i / 8] >> (i % 8) & 1) != 0;
}
void set_bit(uint8_t* row, int64_t i) {
  row[i / 8] = static_cast<uint8_t>(row[i / 8] | 1u << (i % 8));
}

int64_t count_bits(const Tensor& index) {
  int64_t n = 0;
  for (int64_t i = 0; i < index.size(); ++i) n += std::popcount(index.data<uint8_t>()[i]);
  return n;
}

// The index of blocks of a dense matrix that have a number.
template <typename Bits>
Tensor block_index(const Bits* values, const Grid& grid) {
  Tensor index(DType::kU8, {grid.grid_rows(), grid.row_bytes()});
  for (int64_t row = 0; row < grid.rows; ++row) {
    uint8_t* const bits = index.mutable_data<uint8_t>() + row / grid.block_rows * grid.row_bytes();
    for (int64_t col = 0; col < grid.cols; ++col) {
      if (is_number(values[row * grid.cols + col])) set_bit(bits, col / grid.block_cols);
    }
  }
  return index;
}

// fn(block row, block column) for every set bit, in the order in which blocks are stored.
template <typename Fn>
void for_each_block(const Tensor& index, const Grid& grid, Fn fn) {
  for (int64_t r = 0; r < grid.grid_rows(); ++r) {
    const uint8_t* const bits = index.data<uint8_t>() + r * grid.row_bytes();
    for (int64_t c = 0; c < grid.grid_cols(); ++c) {
      if (bit_at(bits, c)) fn(r, c);
    }
  }
}

Shape data_shape(int64_t n_kept, SparsePattern pattern) {
  if (pattern == SparsePattern::kBlock4x1) return {n_kept, kQuad};
  if (pattern == SparsePattern::kBlock32x32) return {n_kept, kSquare, kSquare};
  return {n_kept};
}

template <typename Bits>
void keep_blocks(const EncodedTensor& dense, const Grid& grid, EncodedTensor& sparse) {
  const Bits* const from = dense.data.data<Bits>();
  sparse.index = block_index(from, grid);
  sparse.data = Tensor(dense.data.dtype(), data_shape(count_bits(sparse.index), sparse.encoding.pattern));
  Bits* to = sparse.data.mutable_data<Bits>();
  for_each_block(sparse.index, grid, [&](int64_t r, int64_t c) {
    for (int64_t i = 0; i < grid.height(r); ++i) {
      const Bits* const row = from + (r * grid.block_rows + i) * grid.cols + c * grid.block_cols;
      std::copy_n(row, grid.width(c), to + i * grid.block_cols);
    }
    to += grid.block_size();
  });
}

template <typename Bits>
void spread_blocks(const EncodedTensor& sparse, const Grid& grid, Bits* to) {
  const Bits* from = sparse.data.data<Bits>();
  for_each_block(sparse.index, grid, [&](int64_t r, int64_t c) {
    for (int64_t i = 0; i < grid.height(r); ++i) {
      Bits* const row = to + (r * grid.block_rows + i) * grid.cols + c * grid.block_cols;
      std::copy_n(from + i * grid.block_cols, grid.width(c), row);
    }
    from += grid.block_size();
  });
}

// The group's pair: its numbers, and to fill up the first places that are free. kPairs.size() when there are three.
template <typename Bits>
int pair_of_group(const Bits* group, int64_t width) {
  unsigned bits = 0;
  for (int64_t i = 0; i < width; ++i) bits |= unsigned{is_number(group[i])} << i;
  for (unsigned bit = 1; std::popcount(bits) < 2; bit <<= 1) bits |= bit;
  return pair_code(bits);
}

// Codes of one row of groups, three to a byte.
class PairRow {
 public:
  explicit PairRow(const uint8_t* row) : row_(row) {}
  uint8_t bits(int64_t group) const {
    return kPairs[static_cast<size_t>(row_[group / kGroupsPerByte] / kCodeWeights[group % kGroupsPerByte] % 6)];
  }

 private:
  const uint8_t* row_;
};
int64_t pair_row_bytes(const Grid& grid) {
  return divide_up(grid.grid_cols(), kGroupsPerByte);
}

template <typename Bits>
bool keep_pairs(const EncodedTensor& dense, const Grid& grid, EncodedTensor& sparse) {
  sparse.index = Tensor(DType::kU8, {grid.rows, pair_row_bytes(grid)});
  sparse.data = Tensor(dense.data.dtype(), {grid.rows, 2 * grid.grid_cols()});
  Bits* to = sparse.data.mutable_data<Bits>();
  for (int64_t row = 0; row < grid.rows; ++row) {
    uint8_t* const codes = sparse.index.mutable_data<uint8_t>() + row * pair_row_bytes(grid);
    for (int64_t g = 0; g < grid.grid_cols(); ++g, to += 2) {
      const Bits* const group = dense.data.data<Bits>() + row * grid.cols + g * kQuad;
      const int code = pair_of_group(group, grid.width(g));
      if (code == static_cast<int>(kPairs.size())) return false;
      uint8_t& byte = codes[g / kGroupsPerByte];
      byte = static_cast<uint8_t>(byte + code * kCodeWeights[g % kGroupsPerByte]);
      int n = 0;
      for (int64_t i = 0; i < kQuad; ++i) {
        if ((kPairs[static_cast<size_t>(code)] >> i & 1) != 0) to[n++] = i < grid.width(g) ? group[i] : Bits{0};
      }
    }
  }
  return true;
}

template <typename Bits>
void spread_pairs(const EncodedTensor& sparse, const Grid& grid, Bits* to) {
  const Bits* from = sparse.data.data<Bits>();
  for (int64_t row = 0; row < grid.rows; ++row) {
    const PairRow pairs(sparse.index.data<uint8_t>() + row * pair_row_bytes(grid));
    for (int64_t g = 0; g < grid.grid_cols(); ++g, from += 2) {
      int n = 0;
      for (int64_t i = 0; i < kQuad; ++i) {
        if ((pairs.bits(g) >> i & 1) == 0) continue;
        if (i < grid.width(g)) to[row * grid.cols + g * kQuad + i] = from[n];
        ++n;
      }
    }
  }
}

std::string pair_fault(const EncodedTensor& sparse, const Grid& grid) {
  const uint8_t* const codes = sparse.index.data<uint8_t>();
  const uint8_t* const bad =
      std::find_if(codes, codes + sparse.index.size(), [](uint8_t code) { return code >= kPairCodes; });
  if (bad == codes + sparse.index.size()) return "";
  return fmt::format("index {} of row {} is {}, not below {}", (bad - codes) % pair_row_bytes(grid),
                     (bad - codes) / pair_row_bytes(grid), int{*bad}, kPairCodes);
}

std::string shape_fault(const char* what, const Tensor& tensor, DType dtype, const Shape& shape) {
  if (tensor.defined() && tensor.dtype() == dtype && tensor.shape() == shape) return "";
  const std::string wanted = fmt::format("{} {}", dtype_name(dtype), shape_to_string(shape));
  if (!tensor.defined()) return fmt::format("the {} are missing, {} wanted", what, wanted);
  return fmt::format("the {} are {} {}, not {}", what, dtype_name(tensor.dtype()), shape_to_string(tensor.shape()),
                     wanted);
}

// Bits behind the last block of a row.
std::string stray_bit_fault(const Tensor& index, const Grid& grid) {
  for (int64_t r = 0; r < grid.grid_rows() && grid.grid_cols() % 8 != 0; ++r) {
    const uint8_t last = index.data<uint8_t>()[(r + 1) * grid.row_bytes() - 1];
    if (last >> (grid.grid_cols() % 8) != 0) return fmt::format("row {} of the mask has bits behind its end", r);
  }
  return "";
}

}  // namespace

std::string_view pattern_name(SparsePattern pattern) {
  switch (pattern) {
    case SparsePattern::kBitmask:
      return "bitmask";
    case SparsePattern::kTwoOfFour:
      return "2:4";
    case SparsePattern::kBlock4x1:
      return "4x1";
    case SparsePattern::kBlock32x32:
      return "32x32";
    case SparsePattern::kNone:
      break;
  }
  return "none";
}

Encoding numbers_of(const Encoding& encoding) {
  if (encoding.kind != EncodingKind::kSparse) return encoding;
  Encoding numbers = encoding;
  numbers.pattern = SparsePattern::kNone;
  numbers.kind = encoding.bits == 8 ? EncodingKind::kIntChannel : EncodingKind::kDense;
  return numbers;
}

EncodedTensor to_dense(const EncodedTensor& stored) {
  if (!is_sparse(stored)) return stored;
  EncodedTensor dense{numbers_of(stored.encoding), stored.shape, Tensor(stored.data.dtype(), stored.shape),
                      stored.scales};
  dense.input_scale = stored.input_scale;
  const Grid grid(stored.shape, stored.encoding.pattern);
  with_bits(stored.data.dtype(), [&](auto bits) {
    auto* const to = dense.data.mutable_data<decltype(bits)>();
    if (stored.encoding.pattern == SparsePattern::kTwoOfFour) {
      spread_pairs(stored, grid, to);
    } else {
      spread_blocks(stored, grid, to);
    }
  });
  return dense;
}

EncodedTensor to_sparse(const EncodedTensor& stored, SparsePattern pattern) {
  if (!has_sparse_form(stored) || pattern == SparsePattern::kNone) {
    failed("weights", fmt::format("{} of {} numbers have no sparse form", encoding_name(stored.encoding),
                                  shape_to_string(stored.shape)));
  }
  EncodedTensor sparse{Encoding::sparse(stored.encoding, pattern), stored.shape, {}, stored.scales};
  sparse.input_scale = stored.input_scale;
  const Grid grid(stored.shape, pattern);
  const bool holds = with_bits(stored.data.dtype(), [&](auto bits) {
    if (pattern == SparsePattern::kTwoOfFour) return keep_pairs<decltype(bits)>(stored, grid, sparse);
    keep_blocks<decltype(bits)>(stored, grid, sparse);
    return true;
  });
  if (!holds) failed("weights", "more than two of four neighbours are not zero");
  return sparse;
}

int64_t stored_bytes(const EncodedTensor& stored, SparsePattern pattern) {
  const EncodedTensor dense = to_dense(stored);
  const int64_t scale_bytes = dense.scales.defined() ? dense.scales.size_bytes() : 0;
  if (pattern == SparsePattern::kNone) return dense.data.size_bytes() + scale_bytes;
  if (!has_sparse_form(dense)) return -1;
  const int64_t number_bytes = dtype_size(dense.data.dtype());
  const Grid grid(dense.shape, pattern);
  return with_bits(dense.data.dtype(), [&](auto bits) -> int64_t {
    const auto* const values = dense.data.data<decltype(bits)>();
    if (pattern != SparsePattern::kTwoOfFour) {
      const Tensor index = block_index(values, grid);
      return index.size_bytes() + count_bits(index) * grid.block_size() * number_bytes + scale_bytes;
    }
    for (int64_t row = 0; row < grid.rows; ++row) {
      for (int64_t g = 0; g < grid.grid_cols(); ++g) {
        const int code = pair_of_group(values + row * grid.cols + g * kQuad, grid.width(g));
        if (code == static_cast<int>(kPairs.size())) return -1;
      }
    }
    return grid.rows * (2 * grid.grid_cols() * number_bytes + pair_row_bytes(grid)) + scale_bytes;
  });
}

SparsePattern smallest_pattern(const EncodedTensor& stored) {
  const EncodedTensor dense = to_dense(stored);
  SparsePattern best = SparsePattern::kNone;
  int64_t fewest = stored_bytes(dense, best);
  for (const SparsePattern pattern : kSparsePatterns) {
    const int64_t n_bytes = stored_bytes(dense, pattern);
    if (n_bytes < 0 || n_bytes >= fewest) continue;
    best = pattern;
    fewest = n_bytes;
  }
  return best;
}

EncodedTensor to_smallest(const EncodedTensor& stored) {
  const SparsePattern pattern = smallest_pattern(stored);
  if (pattern == stored.encoding.pattern) return stored;
  const EncodedTensor dense = to_dense(stored);
  return pattern == SparsePattern::kNone ? dense : to_sparse(dense, pattern);
}

Encoding smallest_encoding(const Tensor& values, const Encoding& numbers) {
  return to_smallest(encode(values, numbers)).encoding;
}

double kept_quads(const EncodedTensor& stored) {
  if (!is_sparse(stored) || element_count(stored.shape) == 0) return 1;
  const Grid quads(stored.shape, SparsePattern::kBlock4x1);
  int64_t n_kept = 0;
  switch (stored.encoding.pattern) {
    case SparsePattern::kBitmask:
      for (int64_t i = 0; i < stored.index.size(); ++i) {
        const unsigned bits = stored.index.data<uint8_t>()[i];
        n_kept += ((bits & 0x0f) != 0 ? 1 : 0) + ((bits & 0xf0) != 0 ? 1 : 0);
      }
      break;
    case SparsePattern::kBlock4x1:
      n_kept = count_bits(stored.index);
      break;
    case SparsePattern::kBlock32x32:
      n_kept = count_bits(stored.index) * kSquare * kSquare / kQuad;
      break;
    default:
      return 1;
  }
  const auto n_quads = static_cast<double>(quads.rows * quads.grid_cols());
  return std::min(1.0, static_cast<double>(n_kept) / n_quads);
}

int64_t count_nonzeros(const EncodedTensor& stored) {
  const Tensor numbers = is_sparse(stored) || has_sparse_form(stored) ? stored.data : stored.decode();
  return with_bits(numbers.dtype(), [&](auto bits) {
    const auto* const values = numbers.data<decltype(bits)>();
    return int64_t{std::count_if(values, values + numbers.size(), [](auto value) { return is_number(value); })};
  });
}

std::string sparse_fault(const EncodedTensor& sparse) {
  const SparsePattern pattern = sparse.encoding.pattern;
  const DType type = number_type(sparse.encoding);
  const Grid grid(sparse.shape, pattern);
  if (pattern == SparsePattern::kTwoOfFour) {
    std::string fault = shape_fault("values", sparse.data, type, {grid.rows, 2 * grid.grid_cols()});
    if (fault.empty()) fault = shape_fault("indices", sparse.index, DType::kU8, {grid.rows, pair_row_bytes(grid)});
    return fault.empty() ? pair_fault(sparse, grid) : fault;
  }
  std::string fault = shape_fault("mask's bytes", sparse.index, DType::kU8, {grid.grid_rows(), grid.row_bytes()});
  if (fault.empty()) fault = stray_bit_fault(sparse.index, grid);
  if (!fault.empty()) return fault;
  return shape_fault("values", sparse.data, type, data_shape(count_bits(sparse.index), pattern));
}

Tensor two_of_four_bitmask(const EncodedTensor& sparse) {
  const Grid grid(sparse.shape, SparsePattern::kTwoOfFour);
  const int64_t row_bytes = divide_up(grid.cols, 8);
  Tensor mask(DType::kU8, {grid.rows, row_bytes});
  for (int64_t row = 0; row < grid.rows; ++row) {
    const PairRow pairs(sparse.index.data<uint8_t>() + row * pair_row_bytes(grid));
    uint8_t* const bits = mask.mutable_data<uint8_t>() + row * row_bytes;
    for (int64_t g = 0; g < grid.grid_cols(); ++g) {
      bits[g / 2] = static_cast<uint8_t>(bits[g / 2] | pairs.bits(g) << (g % 2 * 4));
    }
  }
  return mask;
}

Tensor two_of_four_index(const Tensor& bitmask, const Shape& shape) {
  const Grid grid(shape, SparsePattern::kTwoOfFour);
  const int64_t row_bytes = divide_up(grid.cols, 8);
  if (bitmask.dtype() != DType::kU8 || bitmask.shape() != Shape{grid.rows, row_bytes}) return {};
  Tensor index(DType::kU8, {grid.rows, pair_row_bytes(grid)});
  for (int64_t row = 0; row < grid.rows; ++row) {
    const uint8_t* const bits = bitmask.data<uint8_t>() + row * row_bytes;
    uint8_t* const codes = index.mutable_data<uint8_t>() + row * pair_row_bytes(grid);
    for (int64_t g = 0; g < grid.grid_cols(); ++g) {
      const int code = pair_code(bits[g / 2] >> (g % 2 * 4) & 15u);
      if (code == static_cast<int>(kPairs.size())) return {};
      uint8_t& byte = codes[g / kGroupsPerByte];
      byte = static_cast<uint8_t>(byte + code * kCodeWeights[g % kGroupsPerByte]);
    }
    if (grid.grid_cols() % 2 != 0 && bits[row_bytes - 1] >> 4 != 0) return {};
  }
  return index;
}

}  // namespace fettle
