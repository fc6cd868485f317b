#include "kernels/packed_block.h"

#include <fmt/format.h>

#include <new>

#include "base/error.h"
#include "base/memory.h"

namespace fettle {

PackedBlock::PackedBlock(int64_t size_bytes, const PackedImage* image) {
  if (image == nullptr) {
    own_ = allocate_block(size_bytes);
    if (own_ == nullptr) throw std::bad_alloc();
    bytes_ = {own_.get(), static_cast<size_t>(size_bytes)};
    return;
  }
  if (image->bytes.size() != static_cast<size_t>(size_bytes)) {
    bad_input("packed weights", fmt::format("have {} bytes, not {}", image->bytes.size(), size_bytes));
  }
  if (reinterpret_cast<uintptr_t>(image->bytes.data()) % kBlockAlignment != 0) {
    bad_input("packed weights", "are not aligned in memory");
  }
  bytes_ = image->bytes;
  owner_ = image->owner;
}

}  // namespace fettle
