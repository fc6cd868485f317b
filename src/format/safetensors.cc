#include "format/safetensors.h"

#include <cstring>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "format/refuse.h"
#include "format/safetensors_header.h"

namespace fettle {

struct SafetensorsFile::State {
  std::string where;
  std::shared_ptr<const MappedFile> mapping;  // null when the bytes lie in memory
  std::span<const std::byte> data;            // of the tensors
  std::shared_ptr<const void> owner;
  SafetensorsHeader header;
  std::vector<std::string> names;
  std::unordered_map<std::string_view, size_t> index;  // into names, header.entries and tensors

  std::mutex mutex;
  std::vector<Tensor> tensors;  // made when first asked for
  std::vector<bool> made;

  Tensor make(const SafetensorsEntry& entry) const {
    if (!entry.dtype->dtype) {
      bad_input(where, "tensor " + quote_name(entry.name) + ": element type " + std::string(entry.dtype->name) +
                           " is not supported");
    }
    const DType dtype = *entry.dtype->dtype;
    const std::byte* begin = data.data() + entry.begin;
    const int64_t size_bytes = entry.end - entry.begin;
    if (size_bytes == 0 || reinterpret_cast<uintptr_t>(begin) % static_cast<uintptr_t>(dtype_size(dtype)) == 0) {
      return Tensor::view(dtype, entry.shape, begin, owner);
    }
    Tensor copy(dtype, entry.shape);
    std::memcpy(copy.raw_mutable(), begin, static_cast<size_t>(size_bytes));
    if (mapping) mapping->drop_pages(begin, static_cast<size_t>(size_bytes));
    return Tensor::view(dtype, entry.shape, copy.raw(), std::make_shared<Tensor>(copy));
  }
};

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  std::shared_ptr<const MappedFile> mapping = MappedFile::open(path);
  SafetensorsFile file = from_bytes(mapping->bytes(), mapping, path.string());
  file.state_->mapping = std::move(mapping);
  return file;
}

SafetensorsFile SafetensorsFile::from_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                                            std::string where) {
  auto state = std::make_shared<State>();
  state->where = std::move(where);
  state->owner = std::move(owner);
  state->header = parse_safetensors_header(bytes, state->where);
  state->data = bytes.subspan(static_cast<size_t>(state->header.data_begin));
  const size_t n = state->header.entries.size();
  state->names.reserve(n);
  state->index.reserve(n);
  for (const SafetensorsEntry& entry : state->header.entries) {
    state->names.push_back(entry.name);
    state->index.emplace(state->names.back(), state->names.size() - 1);
  }
  state->tensors.resize(n);
  state->made.resize(n);
  SafetensorsFile file;
  file.state_ = std::move(state);
  return file;
}

const std::string& SafetensorsFile::path() const {
  return state_->where;
}
const std::vector<std::string>& SafetensorsFile::names() const {
  return state_->names;
}
bool SafetensorsFile::contains(std::string_view name) const {
  return state_->index.count(name) != 0;
}
const std::map<std::string, std::string>& SafetensorsFile::metadata() const {
  return state_->header.metadata;
}
int64_t SafetensorsFile::data_bytes() const {
  return static_cast<int64_t>(state_->data.size());
}

const Tensor& SafetensorsFile::tensor(std::string_view name) const {
  const auto found = state_->index.find(name);
  if (found == state_->index.end()) bad_input(state_->where, "has no tensor " + quote_name(name));
  const size_t i = found->second;
  const std::lock_guard lock(state_->mutex);
  if (!state_->made[i]) {
    state_->tensors[i] = state_->make(state_->header.entries[i]);
    state_->made[i] = true;
  }
  return state_->tensors[i];
}

void SafetensorsFile::drop_pages() const {
  if (state_->mapping) state_->mapping->drop_pages(state_->mapping->bytes().data(), state_->mapping->bytes().size());
}

}  // namespace fettle
