#include "kernels/scratch.h"

#include <array>
#include <memory>
#include <new>

#include "base/memory.h"

namespace fettle {
namespace {

// Rounded up, so that slowly rising sizes do not allocate each time.
constexpr size_t kGranularity = size_t{1} << 16;

struct Buffer {
  std::shared_ptr<std::byte> memory;
  size_t size_bytes = 0;
};

}  // namespace

void* thread_scratch(ScratchUse use, size_t size_bytes) {
  thread_local std::array<Buffer, static_cast<size_t>(ScratchUse::kCount)> buffers;
  Buffer& buffer = buffers[static_cast<size_t>(use)];
  if (buffer.size_bytes < size_bytes || buffer.memory == nullptr) {
    buffer.memory.reset();
    buffer.size_bytes = 0;
    const size_t rounded = (size_bytes / kGranularity + 1) * kGranularity;
    buffer.memory = allocate_block(static_cast<int64_t>(rounded));
    if (buffer.memory == nullptr) throw std::bad_alloc();
    buffer.size_bytes = rounded;
  }
  return buffer.memory.get();
}

}  // namespace fettle
