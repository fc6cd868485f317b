#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/checked.h"
#include "base/error.h"
#include "base/file.h"
#include "format/refuse.h"
#include "format/safetensors.h"
#include "format/safetensors_header.h"

namespace fettle {
namespace {

// The order that the format's own writer gives types of equal size.
int write_rank(DType dtype) {
  constexpr std::array kOrder = {DType::kI64, DType::kF64, DType::kF32, DType::kI32, DType::kBF16,
                                 DType::kF16, DType::kI16, DType::kI8,  DType::kU8,  DType::kBool};
  return static_cast<int>(std::find(kOrder.begin(), kOrder.end(), dtype) - kOrder.begin());
}

std::string json_text(const std::string& text, const std::string& where) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    usage_error(where, "the name or text " + quote_name(text) + " is not valid UTF-8");
  }
}

void check_name(const std::string& name, const std::string& where) {
  if (name == kSafetensorsMetadataKey) usage_error(where, "a tensor cannot be called " + quote_name(name));
  if (name.size() > kMaxTensorNameBytes) usage_error(where, "tensor name " + quote_name(name) + " is too long");
  if (name.find('\0') != std::string::npos)
    usage_error(where, "tensor name " + quote_name(name) + " has a NUL character");
}

std::vector<const NamedTensor*> sorted_for_writing(std::span<const NamedTensor> tensors, const std::string& where) {
  std::vector<const NamedTensor*> order;
  order.reserve(tensors.size());
  for (const NamedTensor& item : tensors) {
    check_name(item.name, where);
    if (!item.tensor.defined()) usage_error(where, "tensor " + quote_name(item.name) + " is not defined");
    if (item.tensor.shape().size() > kMaxRank)
      usage_error(where, "tensor " + quote_name(item.name) + " has too many dimensions");
    order.push_back(&item);
  }
  std::sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) { return a->name < b->name; });
  const auto twice = std::adjacent_find(order.begin(), order.end(),
                                        [](const NamedTensor* a, const NamedTensor* b) { return a->name == b->name; });
  if (twice != order.end()) usage_error(where, "tensor " + quote_name((*twice)->name) + " is given twice");
  std::stable_sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    return write_rank(a->tensor.dtype()) < write_rank(b->tensor.dtype());
  });
  return order;
}

std::string metadata_text(const std::map<std::string, std::string>& metadata, const std::string& where) {
  std::string text;
  for (const auto& [key, value] : metadata) {
    if (key.size() > kMaxMetadataKeyBytes || key.find('\0') != std::string::npos) {
      usage_error(where, "metadata key " + quote_name(key) + " is too long or has a NUL character");
    }
    text += (text.empty() ? "" : ",") + json_text(key, where) + ":" + json_text(value, where);
  }
  return text;
}

std::string header_text(const std::vector<const NamedTensor*>& order,
                        const std::map<std::string, std::string>& metadata, const std::string& where) {
  std::string text = "{";
  if (!metadata.empty())
    text += "\"" + std::string(kSafetensorsMetadataKey) + "\":{" + metadata_text(metadata, where) + "}";
  int64_t offset = 0;
  for (const NamedTensor* item : order) {
    std::string shape;
    for (const int64_t dimension : item->tensor.shape())
      shape += (shape.empty() ? "" : ",") + std::to_string(dimension);
    const int64_t end = checked_add(offset, item->tensor.size_bytes(), where);
    if (text.size() > 1) text += ",";
    text += json_text(item->name, where) + ":{\"dtype\":\"" +
            std::string(safetensors_dtype(item->tensor.dtype()).name) + "\",\"shape\":[" + shape +
            "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(end) + "]}";
    offset = end;
  }
  text += "}";
  constexpr size_t kAlignment = 8;
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  if (static_cast<int64_t>(text.size()) > kMaxSafetensorsHeaderBytes)
    usage_error(where, "too many tensors for one safetensors file");
  return text;
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::string where = path.string();
  const std::vector<const NamedTensor*> order = sorted_for_writing(tensors, where);
  const std::string header = header_text(order, metadata, where);
  std::array<char, 8> length;
  for (size_t i = 0; i < length.size(); ++i) length[i] = static_cast<char>((header.size() >> (8 * i)) & 0xFF);

  AtomicFile file(path);
  file.write(length.data(), length.size());
  file.write(header);
  // Whole even after Ctrl-C: a checkpoint is written then.
  for (const NamedTensor* item : order) {
    file.write(item->tensor.raw(), static_cast<size_t>(item->tensor.size_bytes()));
  }
  file.commit();
}

}  // namespace fettle
