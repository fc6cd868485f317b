#include "compress/prune/select.h"

#include <cstring>
#include <vector>

#include "tensor/int_group.h"
#include "tensor/sparse.h"

namespace fettle {
namespace {

Shape with_rows(Shape shape, std::span<const int64_t> indices) {
  shape[0] = static_cast<int64_t>(indices.size());
  return shape;
}

// Of a tensor of any element type.
Tensor pick_rows(const Tensor& from, std::span<const int64_t> indices) {
  Tensor to(from.dtype(), with_rows(from.shape(), indices));
  if (from.size() == 0) return to;
  const auto row_bytes = static_cast<size_t>(from.size_bytes() / from.dim(0));
  const auto* source = static_cast<const std::byte*>(from.raw());
  auto* target = static_cast<std::byte*>(to.raw_mutable());
  for (const int64_t row : indices) {
    std::memcpy(target, source + static_cast<size_t>(row) * row_bytes, row_bytes);
    target += row_bytes;
  }
  return to;
}

// Blocks of `block` neighbouring columns, each moved as a whole; a last one may be shorter.
Tensor pick_column_blocks(const Tensor& from, std::span<const int64_t> blocks, int64_t block) {
  const int64_t width = from.dim(1);
  int64_t n_columns = 0;
  for (const int64_t b : blocks) n_columns += std::min(block, width - b * block);
  Tensor to(from.dtype(), {from.dim(0), n_columns});
  const auto element = static_cast<size_t>(dtype_size(from.dtype()));
  const auto* source = static_cast<const std::byte*>(from.raw());
  auto* target = static_cast<std::byte*>(to.raw_mutable());
  for (int64_t row = 0; row < from.dim(0); ++row) {
    for (const int64_t b : blocks) {
      const auto bytes = static_cast<size_t>(std::min(block, width - b * block)) * element;
      std::memcpy(target, source + static_cast<size_t>(row * width + b * block) * element, bytes);
      target += bytes;
    }
  }
  return to;
}

// The same for the packed integers of groups.
Tensor pick_packed_columns(const EncodedTensor& value, std::span<const int64_t> indices) {
  const int bits = value.encoding.bits;
  const auto n_columns = static_cast<int64_t>(indices.size());
  const int64_t n_words = words_of_row(n_columns, bits);
  Tensor to(DType::kI32, {value.shape[0], n_words});
  std::vector<uint8_t> all(static_cast<size_t>(value.shape[1]));
  std::vector<uint8_t> kept(indices.size());
  for (int64_t row = 0; row < value.shape[0]; ++row) {
    unpack_row(value.data.data<uint32_t>() + row * value.data.dim(1), value.shape[1], bits, all.data());
    for (size_t i = 0; i < indices.size(); ++i) kept[i] = all[static_cast<size_t>(indices[i])];
    pack_row(kept.data(), n_columns, bits, to.mutable_data<uint32_t>() + row * n_words);
  }
  return to;
}

// The same numbers without their zeros again: by the same pattern where it still holds them.
EncodedTensor sparse_again(const EncodedTensor& numbers, SparsePattern pattern) {
  return stored_bytes(numbers, pattern) >= 0 ? to_sparse(numbers, pattern) : to_smallest(numbers);
}

// The groups that the indices consist of; empty when one of them is not there as a whole. All groups but the last must
// be full ones afterwards too.
std::vector<int64_t> whole_groups(std::span<const int64_t> indices, int64_t group, int64_t width) {
  std::vector<int64_t> groups;
  for (size_t i = 0; i < indices.size();) {
    const int64_t g = indices[i] / group;
    const int64_t size = std::min(group, width - g * group);
    if (!groups.empty() && i % static_cast<size_t>(group) != 0) return {};
    for (int64_t k = 0; k < size; ++k, ++i) {
      if (i >= indices.size() || indices[i] != g * group + k) return {};
    }
    groups.push_back(g);
  }
  return groups;
}

}  // namespace

EncodedTensor select_rows(const EncodedTensor& value, std::span<const int64_t> indices) {
  EncodedTensor out;
  out.encoding = value.encoding;
  out.shape = with_rows(value.shape, indices);
  switch (value.encoding.kind) {
    case EncodingKind::kDense:
    case EncodingKind::kIntChannel:
    case EncodingKind::kIntGroup:
      out.data = pick_rows(value.data, indices);
      if (value.scales.defined()) {
        out.scales = value.encoding.per_tensor ? value.scales : pick_rows(value.scales, indices);
      }
      if (value.zeros.defined()) out.zeros = pick_rows(value.zeros, indices);
      out.input_scale = value.input_scale;
      return out;
    case EncodingKind::kSparse:
      break;
  }
  return sparse_again(select_rows(to_dense(value), indices), value.encoding.pattern);
}

EncodedTensor select_columns(const EncodedTensor& value, std::span<const int64_t> indices) {
  EncodedTensor out;
  out.encoding = value.encoding;
  out.shape = {value.shape[0], static_cast<int64_t>(indices.size())};
  if (value.encoding.kind == EncodingKind::kDense || value.encoding.kind == EncodingKind::kIntChannel) {
    out.data = pick_column_blocks(value.data, indices, 1);
    out.scales = value.scales;
    out.input_scale = value.input_scale;
    return out;
  }
  if (value.encoding.kind == EncodingKind::kSparse) {
    return sparse_again(select_columns(to_dense(value), indices), value.encoding.pattern);
  }
  // Whole rows keep their scales; of groups only whole ones can.
  const int64_t group = value.encoding.group_size;
  const std::vector<int64_t> groups =
      group > 0 ? whole_groups(indices, group, value.shape[1]) : std::vector<int64_t>{0};
  if (groups.empty()) {
    out = encode(pick_column_blocks(value.decode(), indices, 1), value.encoding);
  } else {
    out.data = pick_packed_columns(value, indices);
    out.scales = pick_column_blocks(value.scales, groups, 1);
    if (value.zeros.defined()) out.zeros = pick_column_blocks(value.zeros, groups, 1);
  }
  out.input_scale = value.input_scale;
  return out;
}

}  // namespace fettle
