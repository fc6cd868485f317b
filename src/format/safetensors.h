// safetensors files: named tensors viewed in a read-only mapping, and written in one pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace fettle {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// One opened file. Copies are shallow. Reading from several threads is safe.
// Follows the safetensors format description as strictly as its Rust reader: the header is an object of at most
// 100,000,000 bytes, tensors cover the data without holes, overlaps or bytes left over.
class SafetensorsFile {
 public:
  // Checks the whole header and touches no tensor data. Errors: kIo; kBadInput naming the file and, where there is one,
  // the tensor.
  static SafetensorsFile open(const std::filesystem::path& path);
  // The same for bytes in memory that `owner` keeps alive; `where` names them in errors.
  static SafetensorsFile from_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                                    std::string where);

  const std::string& path() const;
  // In the order of their data in the file.
  const std::vector<std::string>& names() const;
  bool contains(std::string_view name) const;
  // A view into the mapping (a copy, made once, when the file does not align the data to its element size). The
  // reference lives as long as this object; a copied Tensor keeps the mapping alive by itself. kBadInput when there is
  // no such tensor or its element type is one that Tensor does not have (U16, U32, U64, F8_…).
  const Tensor& tensor(std::string_view name) const;
  // The strings of "__metadata__"; empty when absent.
  const std::map<std::string, std::string>& metadata() const;
  // Bytes of tensor data, header not counted.
  int64_t data_bytes() const;
  // Lets the kernel take back the mapped pages; views stay valid and are read again when touched.
  void drop_pages() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// Writes atomically, streaming each tensor from where it lies. The bytes depend on the arguments' content only, not on
// the order of `tensors`: data is ordered by falling element size (so that all of it is aligned), then by type and
// name, metadata by key; the header is padded with spaces to 8. kUsage on a duplicate, reserved or malformed name or an
// undefined tensor; kIo when it cannot be written.
void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace fettle
