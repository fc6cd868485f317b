#include "format/pytorch_bin.h"

#include <cstring>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/checked.h"
#include "base/error.h"
#include "base/file.h"
#include "format/pytorch_layout.h"
#include "format/refuse.h"
#include "format/strided.h"

namespace fettle {
namespace {

// What all copies of tensors whose strides repeat elements may take beyond the size of the file.
constexpr int64_t kMaxExtraBytes = int64_t{64} << 20;

bool is_aligned(const std::byte* data, DType dtype) {
  return reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(dtype_size(dtype)) == 0;
}

}  // namespace

struct PytorchFile::State {
  std::string where;
  std::shared_ptr<const MappedFile> mapping;  // null when the bytes lie in memory
  std::shared_ptr<const void> owner;
  PytorchLayout layout;
  std::vector<StateDictEntry> entries;
  std::vector<std::string> names;
  std::unordered_map<std::string_view, size_t> index;  // into names, entries and tensors

  std::mutex mutex;
  std::vector<Tensor> tensors;  // made when first asked for
  std::vector<bool> made;
  std::unordered_map<std::string_view, Tensor> copies;  // of whole storages that cannot be viewed, by key

  void check_copies(int64_t file_bytes) const {
    int64_t total = 0;
    for (const StateDictEntry& entry : entries) {
      if (is_contiguous(entry.tensor.shape, entry.tensor.strides)) continue;
      const DType dtype = layout.machine->storage(entry.tensor.storage).dtype;
      total = checked_add(total, checked_mul(element_count(entry.tensor.shape), dtype_size(dtype), where), where);
      if (total > checked_add(file_bytes, kMaxExtraBytes, where)) {
        bad_input(where,
                  "tensor " + quote_name(entry.name) + ": repeats its elements to more than the size of the file");
      }
    }
  }

  // The storage's first byte, aligned, and what keeps it alive.
  std::pair<const std::byte*, std::shared_ptr<const void>> storage_bytes(size_t place) {
    const PickleStorage& storage = layout.machine->storage(place);
    const StorageBytes& source = layout.storages[place];
    if (source.packed == nullptr && is_aligned(source.bytes.data(), storage.dtype)) return {source.bytes.data(), owner};
    auto found = copies.find(storage.key);
    if (found == copies.end()) found = copies.emplace(storage.key, copy_storage(storage, source)).first;
    return {static_cast<const std::byte*>(found->second.raw()), std::make_shared<Tensor>(found->second)};
  }

  Tensor copy_storage(const PickleStorage& storage, const StorageBytes& source) const {
    Tensor copy(storage.dtype, {storage.n_elements});
    auto* out = static_cast<std::byte*>(copy.raw_mutable());
    if (source.packed != nullptr) {
      layout.archive->inflate(*source.packed, out);
    } else if (!source.bytes.empty()) {
      std::memcpy(out, source.bytes.data(), source.bytes.size());
    }
    drop(source.packed != nullptr ? source.packed->packed : source.bytes);
    return copy;
  }

  void drop(std::span<const std::byte> used) const {
    if (mapping) mapping->drop_pages(used.data(), used.size());
  }

  Tensor make(const PickleTensor& tensor) {
    const PickleStorage& storage = layout.machine->storage(tensor.storage);
    const int64_t element_bytes = dtype_size(storage.dtype);
    if (element_count(tensor.shape) == 0) return Tensor::view(storage.dtype, tensor.shape, nullptr, nullptr);
    auto [data, keeper] = storage_bytes(tensor.storage);
    data += (storage.view_begin + tensor.offset) * element_bytes;
    if (is_contiguous(tensor.shape, tensor.strides)) return Tensor::view(storage.dtype, tensor.shape, data, keeper);
    auto copy = std::make_shared<Tensor>(storage.dtype, tensor.shape);
    strided_copy(data, tensor.shape, tensor.strides, element_bytes, static_cast<std::byte*>(copy->raw_mutable()));
    drop(layout.storages[tensor.storage].bytes);
    return Tensor::view(storage.dtype, tensor.shape, copy->raw(), copy);
  }
};

PytorchFile PytorchFile::open(const std::filesystem::path& path) {
  std::shared_ptr<const MappedFile> mapping = MappedFile::open(path);
  PytorchFile file = from_bytes(mapping->bytes(), mapping, path.string());
  file.state_->mapping = std::move(mapping);
  return file;
}

PytorchFile PytorchFile::from_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                                    std::string where) {
  auto state = std::make_shared<State>();
  state->where = std::move(where);
  state->owner = std::move(owner);
  state->layout = read_pytorch_layout(bytes, state->where);
  state->entries = state_dict_entries(*state->layout.machine, state->layout.root, state->where);
  state->check_copies(static_cast<int64_t>(bytes.size()));
  const size_t n = state->entries.size();
  state->names.reserve(n);
  state->index.reserve(n);
  for (const StateDictEntry& entry : state->entries) {
    state->names.push_back(entry.name);
    state->index.emplace(state->names.back(), state->names.size() - 1);
  }
  state->tensors.resize(n);
  state->made.resize(n);
  PytorchFile file;
  file.state_ = std::move(state);
  return file;
}

const std::string& PytorchFile::path() const {
  return state_->where;
}
const std::vector<std::string>& PytorchFile::names() const {
  return state_->names;
}
bool PytorchFile::contains(std::string_view name) const {
  return state_->index.count(name) != 0;
}

const Tensor& PytorchFile::tensor(std::string_view name) const {
  const auto found = state_->index.find(name);
  if (found == state_->index.end()) bad_input(state_->where, "has no tensor " + quote_name(name));
  const size_t i = found->second;
  const std::lock_guard lock(state_->mutex);
  if (!state_->made[i]) {
    state_->tensors[i] = state_->make(state_->entries[i].tensor);
    state_->made[i] = true;
  }
  return state_->tensors[i];
}

void PytorchFile::drop_pages() const {
  if (state_->mapping) state_->mapping->drop_pages(state_->mapping->bytes().data(), state_->mapping->bytes().size());
}

}  // namespace fettle
