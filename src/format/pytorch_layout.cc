#include "format/pytorch_layout.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/checked.h"
#include "base/error.h"
#include "format/refuse.h"
#include "format/safetensors_header.h"
#include "format/strided.h"

namespace fettle {
namespace {

constexpr int64_t kMaxPickleBytes = int64_t{64} << 20;
constexpr size_t kCountBytes = 8;
// 0x1950a86a20f9469cfc6c, the first pickle of the legacy layout.
constexpr std::string_view kLegacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr int64_t kLegacyProtocol = 1001;

int64_t storage_size_bytes(const PickleStorage& storage, const std::string& where) {
  return checked_mul(storage.n_elements, dtype_size(storage.dtype), where);
}

[[noreturn]] void refuse_storage(const PickleStorage& storage, const std::string& why, const std::string& where) {
  bad_input(where, "storage " + quote_name(storage.key) + " " + why);
}

// "NAME/" of the one member NAME/data.pkl.
std::string archive_prefix(const ZipArchive& archive, const std::string& where) {
  constexpr std::string_view kPickleName = "/data.pkl";
  std::string prefix;
  for (const ZipMember& member : archive.members()) {
    if (!member.name.ends_with(kPickleName) || member.name.find('/') != member.name.size() - kPickleName.size())
      continue;
    if (!prefix.empty()) bad_input(where, "holds more than one data.pkl");
    prefix = member.name.substr(0, member.name.size() - kPickleName.size() + 1);
  }
  if (prefix.empty()) bad_input(where, "is a zip archive, but has no data.pkl as PyTorch writes it");
  if (archive.find(prefix + "constants.pkl") != nullptr) {
    bad_input(where, "is a TorchScript program, not weights", "save the tensors alone, with model.state_dict()");
  }
  return prefix;
}

void refuse_big_endian(const ZipArchive& archive, const std::string& prefix, const std::string& where) {
  constexpr int64_t kMaxOrderBytes = 16;
  const ZipMember* member = archive.find(prefix + "byteorder");
  if (member == nullptr) return;
  std::vector<std::byte> buffer;
  const std::span<const std::byte> order = archive.read(*member, kMaxOrderBytes, buffer);
  if (std::string_view(reinterpret_cast<const char*>(order.data()), order.size()) != "little") {
    bad_input(where, "was written on a big-endian machine");
  }
}

PytorchLayout read_zip_layout(std::span<const std::byte> file, const std::string& where) {
  PytorchLayout layout;
  layout.archive = std::make_unique<ZipArchive>(file, where);
  const std::string prefix = archive_prefix(*layout.archive, where);
  refuse_big_endian(*layout.archive, prefix, where);
  const std::span<const std::byte> pickle =
      layout.archive->read(*layout.archive->find(prefix + "data.pkl"), kMaxPickleBytes, layout.pickle_buffer);
  layout.machine = std::make_unique<PickleMachine>(pickle, where);
  layout.root = layout.machine->run();
  for (const PickleStorage& storage : layout.machine->storages()) {
    const ZipMember* member = layout.archive->find(prefix + "data/" + std::string(storage.key));
    if (member == nullptr) refuse_storage(storage, "is not in the archive", where);
    if (member->size_bytes != storage_size_bytes(storage, where))
      refuse_storage(storage, "is not as long as its description says", where);
    layout.storages.push_back(
        {member->deflated ? std::span<const std::byte>() : member->packed, member->deflated ? member : nullptr});
  }
  return layout;
}

void check_system(PickleMachine& machine, const PickleValue& system, const std::string& where) {
  if (system.kind != PickleKind::kDict) bad_input(where, "is not a PyTorch file: no description of the machine");
  const std::span<const PickleValue> items = machine.items(system);
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    if (items[i].kind != PickleKind::kText || machine.text(items[i]) != "little_endian") continue;
    if (items[i + 1].kind != PickleKind::kBool || items[i + 1].payload == 0)
      bad_input(where, "was written on a big-endian machine");
  }
}

// In the order of `keys`: a count of elements, 8 bytes, then the elements.
std::unordered_map<std::string_view, StorageBytes> legacy_storages(std::span<const std::byte> rest,
                                                                   const PickleMachine& machine,
                                                                   const PickleValue& keys, const std::string& where) {
  std::unordered_map<std::string_view, const PickleStorage*> described;
  for (const PickleStorage& storage : machine.storages()) described.emplace(storage.key, &storage);
  std::unordered_map<std::string_view, StorageBytes> found;
  for (const PickleValue& key : machine.items(keys)) {
    const auto known = key.kind == PickleKind::kText ? described.find(machine.text(key)) : described.end();
    if (known == described.end()) bad_input(where, "holds a storage that no tensor describes");
    const PickleStorage& storage = *known->second;
    if (rest.size() < kCountBytes) refuse_storage(storage, "is cut short", where);
    uint64_t n_elements = 0;
    for (size_t i = 0; i < kCountBytes; ++i) n_elements |= std::to_integer<uint64_t>(rest[i]) << (8 * i);
    if (n_elements != static_cast<uint64_t>(storage.n_elements))
      refuse_storage(storage, "is not as long as its description says", where);
    rest = rest.subspan(kCountBytes);
    const auto size_bytes = static_cast<size_t>(storage_size_bytes(storage, where));
    if (size_bytes > rest.size()) refuse_storage(storage, "is cut short", where);
    if (!found.emplace(storage.key, StorageBytes{rest.first(size_bytes), nullptr}).second)
      refuse_storage(storage, "is there twice", where);
    rest = rest.subspan(size_bytes);
  }
  if (!rest.empty()) bad_input(where, std::to_string(rest.size()) + " bytes after the last storage");
  return found;
}

PytorchLayout read_legacy_layout(std::span<const std::byte> file, const std::string& where) {
  PytorchLayout layout;
  layout.machine = std::make_unique<PickleMachine>(file, where);
  PickleMachine& machine = *layout.machine;
  const PickleValue magic = machine.run();
  if (magic.kind != PickleKind::kBigInteger || machine.text(magic) != kLegacyMagic) {
    bad_input(where, "is a pickle, but not one of PyTorch's");
  }
  const PickleValue protocol = machine.run();
  if (protocol.kind != PickleKind::kInteger || protocol.payload != kLegacyProtocol)
    bad_input(where, "is of an unknown protocol of PyTorch");
  check_system(machine, machine.run(), where);
  layout.root = machine.run();
  const PickleValue keys = machine.run();
  if (keys.kind != PickleKind::kList) bad_input(where, "has no list of storages");
  const auto found = legacy_storages(file.subspan(machine.position()), machine, keys, where);
  for (const PickleStorage& storage : machine.storages()) {
    const auto bytes = found.find(storage.key);
    if (bytes == found.end()) refuse_storage(storage, "is not in the file", where);
    layout.storages.push_back(bytes->second);
  }
  return layout;
}

bool holds_tensors(const PickleMachine& machine, const PickleValue& dict) {
  const std::span<const PickleValue> items = machine.items(dict);
  for (size_t i = 1; i < items.size(); i += 2) {
    if (items[i].kind == PickleKind::kTensor) return true;
  }
  return false;
}

// The dictionary itself, or the one that training scripts put it under.
PickleValue find_state_dict(const PickleMachine& machine, const PickleValue& root, const std::string& where) {
  constexpr std::array<std::string_view, 3> kUsualKeys = {"state_dict", "model_state_dict", "model"};
  if (root.kind != PickleKind::kDict) bad_input(where, "does not hold a dictionary of tensors");
  if (holds_tensors(machine, root)) return root;
  const std::span<const PickleValue> items = machine.items(root);
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    if (items[i].kind != PickleKind::kText || items[i + 1].kind != PickleKind::kDict) continue;
    if (std::find(kUsualKeys.begin(), kUsualKeys.end(), machine.text(items[i])) != kUsualKeys.end())
      return items[i + 1];
  }
  return root;
}

void check_inside_storage(const PickleTensor& tensor, const PickleStorage& storage, const std::string& where) {
  int64_t n_elements = 1;
  for (const int64_t dimension : tensor.shape) n_elements = checked_mul(n_elements, dimension, where);
  checked_mul(n_elements, dtype_size(storage.dtype), where);
  const int64_t extent = strided_extent(tensor.shape, tensor.strides, where);
  if (tensor.offset > storage.view_elements || extent > storage.view_elements - tensor.offset) {
    bad_input(where, "shape " + shape_to_string(tensor.shape) + " reaches out of its storage");
  }
}

}  // namespace

PytorchLayout read_pytorch_layout(std::span<const std::byte> file, const std::string& where) {
  constexpr std::byte kPickleProtocolOp{0x80};
  refuse_lfs_pointer(file, where);
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (text.starts_with("PK")) return read_zip_layout(file, where);
  if (!file.empty() && file[0] == kPickleProtocolOp) return read_legacy_layout(file, where);
  bad_input(where, file.empty() ? "is empty" : "is neither of PyTorch's two layouts");
}

std::vector<StateDictEntry> state_dict_entries(const PickleMachine& machine, const PickleValue& root,
                                               const std::string& where) {
  std::vector<StateDictEntry> entries;
  std::unordered_set<std::string_view> names;
  const std::span<const PickleValue> items = machine.items(find_state_dict(machine, root, where));
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    if (items[i + 1].kind != PickleKind::kTensor) continue;
    if (items[i].kind != PickleKind::kText) bad_input(where, "holds a tensor whose name is not a text");
    const std::string_view name = machine.text(items[i]);
    const bool malformed =
        name.size() > kMaxTensorNameBytes || name.find('\0') != std::string_view::npos || !is_utf8(name);
    if (malformed) bad_input(where, "tensor name " + quote_name(name) + " is too long or not UTF-8");
    if (!names.insert(name).second) bad_input(where, "tensor " + quote_name(name) + " is there twice");
    const PickleTensor& tensor = machine.tensor(items[i + 1]);
    check_inside_storage(tensor, machine.storage(tensor.storage), where + ": tensor " + quote_name(name));
    entries.push_back({std::string(name), tensor});
  }
  if (entries.empty()) bad_input(where, "holds no tensors");
  return entries;
}

}  // namespace fettle
