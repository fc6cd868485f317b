// Keeps the packed weights of a model in a file beside it, so that the next session maps them instead of packing anew.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel_table.h"
#include "runtime/packed_file.h"

namespace fettle {

// The file's name in a model's folder; `precision` is "" or what weights are rounded to when they are packed ("bf16").
std::string packed_cache_name(std::string_view table, std::string_view precision);

// Nothing of the file is believed: an image is used when it was packed by the same layout (kernels/packing.h) from the
// very values that the model has (their checksum is computed, not remembered) and its own checksum is right. Otherwise
// one line says why, the weights are packed as without the file, and it is written anew. A file that cannot be written
// is one warning. Not thread safe.
class PackedCache {
 public:
  PackedCache(std::filesystem::path file, const KernelTable& table);

  // The image of weights that were packed from this source.
  std::optional<PackedImage> find(const PackedSource& source, ThreadPool& pool);
  // That an image could not be used after all.
  void reject(std::string_view reason);
  // What the source is packed to, whether found or made; it must live until finish().
  void add(PackedSource source, const PackedLinear& packed);
  // After the last add(): writes the file unless it has just these images. Nothing is found or added from then on.
  void finish(ThreadPool& pool);
  bool is_finished() const { return is_finished_; }

 private:
  void open();
  bool is_complete() const;

  std::filesystem::path path_;
  std::string table_;
  uint64_t packing_ = 0;
  std::optional<PackedFile> file_;
  std::string why_anew_;  // the first reason; empty: nothing was wrong
  std::vector<std::pair<PackedSource, const PackedLinear*>> added_;
  bool is_finished_ = false;
};

}  // namespace fettle
