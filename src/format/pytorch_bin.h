// PyTorch checkpoints (torch.save of a state dict): tensors only, nothing in the file is executed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace fettle {

// One opened file, in the zip layout (PyTorch 1.6 and later) or the legacy layout before it. Copies are shallow.
// Reading from several threads is safe. The pickle machine knows the few names that tensors need; any other is refused
// by name.
class PytorchFile {
 public:
  // Reads the structure and checks every tensor against its storage; touches no tensor data. The file holds a
  // dictionary of tensors, or one with such a dictionary under "state_dict", "model_state_dict" or "model"; entries
  // that are not tensors are passed over. Errors: kIo; kBadInput naming the file and what is wrong.
  static PytorchFile open(const std::filesystem::path& path);
  // The same for bytes in memory that `owner` keeps alive; `where` names them in errors.
  static PytorchFile from_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> owner, std::string where);

  const std::string& path() const;
  // In the order of the dictionary.
  const std::vector<std::string>& names() const;
  bool contains(std::string_view name) const;
  // A view into the mapping where the data is contiguous, aligned and not compressed (as the zip layout writes it);
  // otherwise a contiguous copy, made once. Tensors that share a storage share memory where both are contiguous.
  // kBadInput when there is no such tensor.
  const Tensor& tensor(std::string_view name) const;
  // Lets the kernel take back the mapped pages; views stay valid and are read again when touched.
  void drop_pages() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace fettle
