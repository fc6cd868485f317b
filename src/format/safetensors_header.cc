#include "format/safetensors_header.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "format/refuse.h"

namespace fettle {
namespace {

constexpr std::array<SafetensorsDtype, 20> kDtypes = {{
    {"F64", 64, DType::kF64},     {"F32", 32, DType::kF32},     {"F16", 16, DType::kF16},
    {"BF16", 16, DType::kBF16},   {"I64", 64, DType::kI64},     {"I32", 32, DType::kI32},
    {"I16", 16, DType::kI16},     {"I8", 8, DType::kI8},        {"U8", 8, DType::kU8},
    {"BOOL", 8, DType::kBool},    {"U16", 16, std::nullopt},    {"U32", 32, std::nullopt},
    {"U64", 64, std::nullopt},    {"C64", 64, std::nullopt},    {"F8_E5M2", 8, std::nullopt},
    {"F8_E4M3", 8, std::nullopt}, {"F8_E8M0", 8, std::nullopt}, {"F6_E2M3", 6, std::nullopt},
    {"F6_E3M2", 6, std::nullopt}, {"F4", 4, std::nullopt},
}};

// Receives the header's JSON piece by piece, so that no tree of it is ever built: memory follows the tensors alone.
class HeaderHandler {
 public:
  HeaderHandler(SafetensorsHeader& header, std::string_view where) : header_(header), where_(where) {}

  bool null() {
    if (skip_depth_ > 0 || skip_value()) return true;
    if (place_ == Place::kTop && is_metadata_) return true;
    refuse("null where a value is needed");
  }
  bool boolean(bool) { return scalar("a boolean"); }
  bool number_integer(int64_t) { return scalar("a negative number"); }
  bool number_float(double, const std::string&) { return scalar("a number that is no 64-bit integer"); }
  bool binary(std::vector<uint8_t>&) { return scalar("binary data"); }

  bool number_unsigned(uint64_t value) {
    if (skip_depth_ > 0 || skip_value()) return true;
    if (place_ == Place::kShape) return add_dimension(value);
    if (place_ == Place::kOffsets) return add_offset(value);
    refuse("a number where none belongs");
  }

  bool string(std::string& value) {
    if (skip_depth_ > 0 || skip_value()) return true;
    if (place_ == Place::kMetadata) {
      header_.metadata[key_] = value;
      return true;
    }
    if (place_ == Place::kTensor && field_ == kDtypeField) return set_dtype(value);
    refuse("a text where none belongs");
  }

  bool start_object(size_t) {
    if (skip_depth_ > 0 || skip_value()) return enter_skipped();
    if (place_ == Place::kOutside) {
      place_ = Place::kTop;
    } else if (place_ == Place::kTop) {
      place_ = is_metadata_ ? Place::kMetadata : Place::kTensor;
      seen_fields_ = 0;
    } else {
      refuse("an object where none belongs");
    }
    return true;
  }

  bool end_object() {
    if (skip_depth_ > 0) return leave_skipped();
    if (place_ == Place::kTensor) finish_tensor();
    place_ = place_ == Place::kTop ? Place::kOutside : Place::kTop;
    return true;
  }

  bool start_array(size_t) {
    if (skip_depth_ > 0 || skip_value()) return enter_skipped();
    if (place_ != Place::kTensor || field_ == kDtypeField) refuse("a list where none belongs");
    place_ = field_ == kShapeField ? Place::kShape : Place::kOffsets;
    return true;
  }

  bool end_array() {
    if (skip_depth_ > 0) return leave_skipped();
    place_ = Place::kTensor;
    return true;
  }

  bool key(std::string& key) {
    if (skip_depth_ > 0) return true;
    if (place_ == Place::kTop) return start_entry(key);
    if (place_ == Place::kMetadata) return start_metadata(key);
    return start_field(key);
  }

  template <typename Exception>
  bool parse_error(size_t position, const std::string&, const Exception&) {
    bad_input(std::string(where_), "header is not valid JSON at byte " + std::to_string(8 + position));
  }

 private:
  enum class Place { kOutside, kTop, kMetadata, kTensor, kShape, kOffsets };
  static constexpr unsigned kDtypeField = 1, kShapeField = 2, kOffsetsField = 4, kUnknownField = 0;
  static constexpr int kMaxSkippedDepth = 61;  // 64 with the three levels that the format has

  [[noreturn]] void refuse(const std::string& detail) const {
    const bool in_tensor = place_ != Place::kOutside && !is_metadata_ && !entry_.name.empty();
    bad_input(std::string(where_),
              in_tensor ? "tensor " + quote_name(entry_.name) + ": " + detail : "header has " + detail);
  }

  bool scalar(const char* what) {
    if (skip_depth_ > 0 || skip_value()) return true;
    refuse(std::string(what) + " where none belongs");
  }

  // True for the value of a field that the format does not know; it is passed over, as the format's own reader does.
  bool skip_value() const { return place_ == Place::kTensor && field_ == kUnknownField; }
  bool enter_skipped() {
    if (++skip_depth_ > kMaxSkippedDepth) refuse("nesting deeper than 64 levels");
    return true;
  }
  bool leave_skipped() {
    --skip_depth_;
    return true;
  }

  void check_text(const std::string& text, size_t limit_bytes, const char* what) const {
    if (text.size() > limit_bytes) refuse(std::string(what) + " longer than " + std::to_string(limit_bytes) + " bytes");
    if (text.find('\0') != std::string::npos) refuse(std::string(what) + " with a NUL character");
  }

  bool start_entry(const std::string& name) {
    is_metadata_ = false;
    entry_ = {};
    n_offsets_ = 0;
    check_text(name, kMaxTensorNameBytes, "a tensor name");
    if (!names_.insert(name).second) refuse("the name " + quote_name(name) + " twice");
    if (name == kSafetensorsMetadataKey) {
      is_metadata_ = true;
    } else if (header_.entries.size() >= kMaxTensorsPerFile) {
      refuse("more than " + std::to_string(kMaxTensorsPerFile) + " tensors");
    }
    entry_.name = name;
    return true;
  }

  bool start_metadata(const std::string& key) {
    check_text(key, kMaxMetadataKeyBytes, "a metadata key");
    if (header_.metadata.count(key) != 0) refuse("the metadata key " + quote_name(key) + " twice");
    if (header_.metadata.size() >= kMaxMetadataKeys)
      refuse("more than " + std::to_string(kMaxMetadataKeys) + " metadata keys");
    key_ = key;
    return true;
  }

  bool start_field(const std::string& key) {
    field_ = key == "dtype"          ? kDtypeField
             : key == "shape"        ? kShapeField
             : key == "data_offsets" ? kOffsetsField
                                     : kUnknownField;
    if ((seen_fields_ & field_) != 0) refuse(quote_name(key) + " given twice");
    seen_fields_ |= field_;
    return true;
  }

  bool set_dtype(const std::string& name) {
    entry_.dtype = find_safetensors_dtype(name);
    if (entry_.dtype == nullptr) refuse("unknown element type " + quote_name(name));
    return true;
  }

  bool add_dimension(uint64_t value) {
    if (entry_.shape.size() >= kMaxRank) refuse("more than " + std::to_string(kMaxRank) + " dimensions");
    if (value > static_cast<uint64_t>(kMaxDimension)) refuse("dimension " + std::to_string(value) + " is too large");
    entry_.shape.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool add_offset(uint64_t value) {
    if (n_offsets_ == 2) refuse("'data_offsets' has more than two numbers");
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      refuse("'data_offsets' lie outside the file");
    (n_offsets_++ == 0 ? entry_.begin : entry_.end) = static_cast<int64_t>(value);
    return true;
  }

  void finish_tensor() {
    if ((seen_fields_ & kDtypeField) == 0) refuse("'dtype' is missing");
    if ((seen_fields_ & kShapeField) == 0) refuse("'shape' is missing");
    if ((seen_fields_ & kOffsetsField) == 0) refuse("'data_offsets' is missing");
    if (n_offsets_ != 2) refuse("'data_offsets' needs two numbers");
    if (entry_.begin > entry_.end) refuse("'data_offsets' are reversed");
    header_.entries.push_back(std::move(entry_));
    entry_ = {};
  }

  SafetensorsHeader& header_;
  std::string_view where_;
  Place place_ = Place::kOutside;
  bool is_metadata_ = false;
  unsigned field_ = kUnknownField;
  unsigned seen_fields_ = 0;
  int n_offsets_ = 0;
  int skip_depth_ = 0;
  SafetensorsEntry entry_;
  std::string key_;
  std::unordered_set<std::string> names_;
};

// Bits of shape × element; nullopt when they do not fit in 63.
std::optional<int64_t> bit_count(const SafetensorsEntry& entry) {
  int64_t n_bits = entry.dtype->bits;
  for (const int64_t dimension : entry.shape) {
    if (__builtin_mul_overflow(n_bits, dimension, &n_bits)) return std::nullopt;
  }
  return n_bits;
}

void check_layout(SafetensorsHeader& header, int64_t n_data_bytes, std::string_view where) {
  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
                     return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
                   });
  int64_t expected_begin = 0;
  for (const SafetensorsEntry& entry : header.entries) {
    const auto refuse = [&](const std::string& detail) {
      bad_input(std::string(where), "tensor " + quote_name(entry.name) + ": " + detail);
    };
    if (entry.end > n_data_bytes) {
      refuse("data ends at byte " + std::to_string(entry.end) + " of " + std::to_string(n_data_bytes) +
             "; the file is cut short or lies");
    }
    if (entry.begin < expected_begin) refuse("data overlaps another tensor's");
    if (entry.begin > expected_begin) refuse("a hole in the data before it");
    const std::optional<int64_t> n_bits = bit_count(entry);
    if (!n_bits) refuse("shape " + shape_to_string(entry.shape) + " overflows");
    if (*n_bits % 8 != 0) refuse("shape " + shape_to_string(entry.shape) + " does not fill whole bytes");
    if (*n_bits / 8 != entry.end - entry.begin) {
      refuse("shape " + shape_to_string(entry.shape) + " of " + std::string(entry.dtype->name) + " needs " +
             std::to_string(*n_bits / 8) + " bytes, its data has " + std::to_string(entry.end - entry.begin));
    }
    expected_begin = entry.end;
  }
  if (expected_begin != n_data_bytes) {
    bad_input(std::string(where), std::to_string(n_data_bytes - expected_begin) + " bytes after the last tensor");
  }
}

}  // namespace

const SafetensorsDtype* find_safetensors_dtype(std::string_view name) {
  const auto found =
      std::find_if(kDtypes.begin(), kDtypes.end(), [&](const SafetensorsDtype& row) { return row.name == name; });
  return found == kDtypes.end() ? nullptr : &*found;
}

const SafetensorsDtype& safetensors_dtype(DType dtype) {
  return *std::find_if(kDtypes.begin(), kDtypes.end(), [&](const SafetensorsDtype& row) { return row.dtype == dtype; });
}

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, std::string_view where) {
  constexpr size_t kLengthBytes = 8;
  const char* text = reinterpret_cast<const char*>(file.data());
  refuse_lfs_pointer(file, where);
  if (file.size() < kLengthBytes) bad_input(std::string(where), "too short for a safetensors file");
  uint64_t n_header_bytes = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) n_header_bytes |= std::to_integer<uint64_t>(file[i]) << (8 * i);
  if (n_header_bytes > static_cast<uint64_t>(kMaxSafetensorsHeaderBytes)) {
    bad_input(std::string(where),
              "header length " + std::to_string(n_header_bytes) + " is over the limit; no safetensors file");
  }
  if (n_header_bytes > file.size() - kLengthBytes) bad_input(std::string(where), "header is cut short");
  const std::string_view json(text + kLengthBytes, n_header_bytes);
  if (json.empty() || json[0] != '{') bad_input(std::string(where), "header does not begin with '{'");
  // nlohmann-json takes NUL for the end of input.
  if (json.find('\0') != std::string_view::npos) bad_input(std::string(where), "header has a NUL character");

  SafetensorsHeader header;
  HeaderHandler handler(header, where);
  nlohmann::json::sax_parse(json.begin(), json.end(), &handler);
  header.data_begin = static_cast<int64_t>(kLengthBytes + n_header_bytes);
  check_layout(header, static_cast<int64_t>(file.size()) - header.data_begin, where);
  return header;
}

}  // namespace fettle
