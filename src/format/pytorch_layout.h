// Where PyTorch's two file layouts keep the pickled dictionary and the bytes of each storage.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/pickle.h"
#include "format/zip_archive.h"

namespace fettle {

// The bytes of one storage: in the file, or packed in a zip member.
struct StorageBytes {
  std::span<const std::byte> bytes;
  const ZipMember* packed = nullptr;
};

struct PytorchLayout {
  std::unique_ptr<ZipArchive> archive;   // null in the legacy layout
  std::vector<std::byte> pickle_buffer;  // the pickle, when it had to be unpacked
  std::unique_ptr<PickleMachine> machine;
  PickleValue root;
  std::vector<StorageBytes> storages;  // as machine->storages(), whole storages also for views
};

// Runs the pickles and finds every storage, whose size is what its description says. kBadInput naming `where`.
PytorchLayout read_pytorch_layout(std::span<const std::byte> file, const std::string& where);

struct StateDictEntry {
  std::string name;
  PickleTensor tensor;
};

// The tensors of the pickled dictionary, each inside its storage. kBadInput naming `where`.
std::vector<StateDictEntry> state_dict_entries(const PickleMachine& machine, const PickleValue& root,
                                               const std::string& where);

}  // namespace fettle
