// The memory of packed weights: a block of their own, or an image that somebody keeps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/kernel_table.h"

namespace fettle {

class PackedBlock {
 public:
  // size_bytes zero bytes to be filled, or with an image its bytes. kBadInput when the image has another size or does
  // not begin at a multiple of 64; std::bad_alloc.
  PackedBlock(int64_t size_bytes, const PackedImage* image);

  // Null when it is an image.
  std::byte* own() { return own_.get(); }
  const std::byte* data() const { return bytes_.data(); }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::shared_ptr<std::byte> own_;
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
};

}  // namespace fettle
