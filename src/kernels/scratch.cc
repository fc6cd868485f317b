#include "kernels/scratch.h"

#include <array>
#include <cstdlib>
#include <memory>
#include <new>

namespace fettle {
namespace {

constexpr size_t kAlignment = 64;
// Rounded up, so that slowly rising sizes do not allocate each time.
constexpr size_t kGranularity = size_t{1} << 16;

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

struct Buffer {
  std::unique_ptr<void, Free> memory;
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
    buffer.memory.reset(std::aligned_alloc(kAlignment, rounded));
    if (buffer.memory == nullptr) throw std::bad_alloc();
    buffer.size_bytes = rounded;
  }
  return buffer.memory.get();
}

}  // namespace fettle
