#include "tensor/int_group.h"

#include <algorithm>
#include <vector>

namespace fettle {
namespace {

// A multiple of the integers of a word for every number of bits.
constexpr int64_t kBlock = 640;

template <int kBits>
void unpack(const uint32_t* words, int64_t n, uint8_t* numbers) {
  constexpr int64_t kPerWord = 32 / kBits;
  constexpr uint32_t kMask = (1u << kBits) - 1;
  int64_t c = 0;
  for (; c + kPerWord <= n; c += kPerWord, ++words) {
    for (int64_t i = 0; i < kPerWord; ++i) numbers[c + i] = static_cast<uint8_t>(*words >> (kBits * i) & kMask);
  }
  for (int64_t i = 0; c < n; ++c, ++i) numbers[c] = static_cast<uint8_t>(*words >> (kBits * i) & kMask);
}

float number_at(const Tensor& tensor, int64_t i) {
  switch (tensor.dtype()) {
    case DType::kBF16:
      return bf16_to_f32(tensor.data<uint16_t>()[i]);
    case DType::kF16:
      return f16_to_f32(tensor.data<uint16_t>()[i]);
    default:
      return tensor.data<float>()[i];
  }
}

}  // namespace

bool is_group_bits(int bits) {
  return bits == 2 || bits == 3 || bits == 4 || bits == 6 || bits == 8;
}

int64_t integers_per_word(int bits) {
  return 32 / bits;
}

int64_t words_of_row(int64_t n_cols, int bits) {
  const int64_t n = integers_per_word(bits);
  return n_cols / n + (n_cols % n != 0 ? 1 : 0);
}

int64_t group_width(const Encoding& encoding, int64_t n_cols) {
  return encoding.group_size > 0 ? encoding.group_size : std::max<int64_t>(1, n_cols);
}

int64_t groups_of_row(const Encoding& encoding, int64_t n_cols) {
  if (encoding.group_size == 0) return 1;
  return n_cols / encoding.group_size + (n_cols % encoding.group_size != 0 ? 1 : 0);
}

int stored_offset(int bits) {
  return 1 << (bits - 1);
}

void pack_row(const uint8_t* numbers, int64_t n, int bits, uint32_t* words) {
  const int64_t per_word = integers_per_word(bits);
  for (int64_t c = 0; c < n; c += per_word) {
    uint32_t word = 0;
    const int64_t n_here = std::min(per_word, n - c);
    for (int64_t i = 0; i < n_here; ++i) word |= uint32_t{numbers[c + i]} << static_cast<uint32_t>(bits * i);
    words[c / per_word] = word;
  }
}

void unpack_row(const uint32_t* words, int64_t n, int bits, uint8_t* numbers) {
  switch (bits) {
    case 2:
      return unpack<2>(words, n, numbers);
    case 3:
      return unpack<3>(words, n, numbers);
    case 4:
      return unpack<4>(words, n, numbers);
    case 6:
      return unpack<6>(words, n, numbers);
    default:
      return unpack<8>(words, n, numbers);
  }
}

void decode_int_row(const EncodedTensor& encoded, int64_t row, float* values) {
  const int bits = encoded.encoding.bits;
  const int64_t n_cols = encoded.shape[1];
  const int64_t width = group_width(encoded.encoding, n_cols);
  const int64_t first_group = row * groups_of_row(encoded.encoding, n_cols);
  const uint32_t* const words = encoded.data.data<uint32_t>() + row * words_of_row(n_cols, bits);
  uint8_t numbers[kBlock];
  for (int64_t begin = 0; begin < n_cols; begin += kBlock) {
    const int64_t end = std::min(n_cols, begin + kBlock);
    unpack_row(words + begin / integers_per_word(bits), end - begin, bits, numbers);
    for (int64_t c = begin; c < end;) {
      const int64_t group = c / width;
      const int64_t group_end = std::min(end, (group + 1) * width);
      const float scale = number_at(encoded.scales, first_group + group);
      const int zero =
          encoded.encoding.asymmetric ? encoded.zeros.data<uint8_t>()[first_group + group] : stored_offset(bits);
      for (; c < group_end; ++c) values[c] = static_cast<float>(numbers[c - begin] - zero) * scale;
    }
  }
}

Tensor decode_int_group(const EncodedTensor& encoded) {
  Tensor out(DType::kF32, encoded.shape);
  for (int64_t r = 0; r < encoded.shape[0]; ++r) {
    decode_int_row(encoded, r, out.mutable_data<float>() + r * encoded.shape[1]);
  }
  return out;
}

Tensor packed_zeros(const EncodedTensor& encoded) {
  const int bits = encoded.encoding.bits;
  const int64_t n_rows = encoded.zeros.dim(0);
  const int64_t n_groups = encoded.zeros.dim(1);
  const int64_t per_word = integers_per_word(bits);
  Tensor packed(DType::kI32, {words_of_row(n_rows, bits), n_groups});
  for (int64_t r = 0; r < n_rows; ++r) {
    const uint8_t* zeros = encoded.zeros.data<uint8_t>() + r * n_groups;
    uint32_t* words = packed.mutable_data<uint32_t>() + r / per_word * n_groups;
    const auto shift = static_cast<uint32_t>(r % per_word * bits);
    for (int64_t g = 0; g < n_groups; ++g) words[g] |= uint32_t{zeros[g]} << shift;
  }
  return packed;
}

Tensor unpacked_zeros(const Tensor& packed, int bits, int64_t n_rows) {
  const int64_t n_groups = packed.dim(1);
  const int64_t per_word = integers_per_word(bits);
  const uint32_t mask = (1u << bits) - 1;
  Tensor zeros(DType::kU8, {n_rows, n_groups});
  for (int64_t r = 0; r < n_rows; ++r) {
    const uint32_t* words = packed.data<uint32_t>() + r / per_word * n_groups;
    uint8_t* out = zeros.mutable_data<uint8_t>() + r * n_groups;
    const auto shift = static_cast<uint32_t>(r % per_word * bits);
    for (int64_t g = 0; g < n_groups; ++g) out[g] = static_cast<uint8_t>(words[g] >> shift & mask);
  }
  return zeros;
}

Tensor int4_halves(const EncodedTensor& encoded) {
  const int bits = encoded.encoding.bits;
  const int offset = stored_offset(bits);
  const int64_t n_rows = encoded.shape[0];
  const int64_t n_cols = encoded.shape[1];
  const int64_t n_bytes = (n_cols + 1) / 2;
  Tensor out(DType::kU8, {n_rows, n_bytes});
  std::vector<uint8_t> numbers(static_cast<size_t>(2 * n_bytes), static_cast<uint8_t>(offset));
  for (int64_t r = 0; r < n_rows; ++r) {
    unpack_row(encoded.data.data<uint32_t>() + r * words_of_row(n_cols, bits), n_cols, bits, numbers.data());
    uint8_t* bytes = out.mutable_data<uint8_t>() + r * n_bytes;
    for (int64_t b = 0; b < n_bytes; ++b) {
      const int low = (numbers[2 * b] - offset) & 15;
      const int high = (numbers[2 * b + 1] - offset) & 15;
      bytes[b] = static_cast<uint8_t>(low | high << 4);
    }
  }
  return out;
}

}  // namespace fettle
