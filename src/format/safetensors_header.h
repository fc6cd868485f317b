// The header of a safetensors file, read from bytes and checked against them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/tensor.h"

namespace fettle {

inline constexpr int64_t kMaxSafetensorsHeaderBytes = 100'000'000;
inline constexpr size_t kMaxTensorsPerFile = 1'000'000;
inline constexpr size_t kMaxMetadataKeys = 65'536;
inline constexpr size_t kMaxTensorNameBytes = 1'024;
inline constexpr size_t kMaxMetadataKeyBytes = 4'096;
inline constexpr size_t kMaxRank = 8;
inline constexpr int64_t kMaxDimension = int64_t{1} << 48;
// The key that is not a tensor's name.
inline constexpr std::string_view kSafetensorsMetadataKey = "__metadata__";

// An element type of the format. Those that Tensor does not have are known, so that a file's other tensors can be read.
struct SafetensorsDtype {
  std::string_view name;
  int bits;
  std::optional<DType> dtype;
};
// nullptr when the format has no such type.
const SafetensorsDtype* find_safetensors_dtype(std::string_view name);
const SafetensorsDtype& safetensors_dtype(DType dtype);

struct SafetensorsEntry {
  std::string name;
  const SafetensorsDtype* dtype = nullptr;
  Shape shape;
  int64_t begin = 0;  // bytes from the start of the data
  int64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // by begin; they cover the data exactly
  std::map<std::string, std::string> metadata;
  int64_t data_begin = 0;  // bytes from the start of the file
};

// kBadInput naming `where` for everything the format forbids.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, std::string_view where);

}  // namespace fettle
