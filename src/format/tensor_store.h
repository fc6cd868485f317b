// The weights of a model folder, whichever of the known layouts they are in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace fettle {

// Copies are shallow. Reading from several threads is safe.
class TensorStore {
 public:
  // `path` is a folder, or one weights file (safetensors or PyTorch, told apart by content). In a folder, the first of
  // these that exists: model.safetensors, model.safetensors.index.json with its shards, pytorch_model.bin,
  // pytorch_model.bin.index.json with its shards. Files are mapped; no file outside the folder is read (links into a
  // Hugging Face cache's own blobs are followed). Errors: kIo when there are no weights; kBadInput naming the file at
  // fault.
  static TensorStore open(const std::filesystem::path& path);

  // In file order; with an index, shard by shard, and only the tensors that the index names.
  const std::vector<std::string>& names() const;
  // nullptr when there is no such tensor. The reference lives as long as this object; a copied Tensor keeps its file
  // mapped. kBadInput, naming file and tensor, when it is of an element type that Tensor does not have.
  const Tensor* find(std::string_view name) const;
  // As find; an absent tensor is kBadInput naming the file (or folder) and the tensor.
  const Tensor& get(std::string_view name) const;
  // The weights files that are open, shards in the order of their names; not the index.
  const std::vector<std::filesystem::path>& files() const;
  // The metadata of a safetensors file (of the first shard); empty for PyTorch files.
  const std::map<std::string, std::string>& metadata() const;
  // Lets the kernel take back all mapped pages, for when copies of the tensors exist; views stay valid.
  void drop_pages() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace fettle
