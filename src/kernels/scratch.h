// Working memory of kernels: buffers that each thread keeps and reuses.
#pragma once

#include <cstddef>

namespace fettle {

// What a buffer is for; buffers of different purposes may be in use at once on one thread.
enum class ScratchUse { kSharedOperand, kStrip, kBlock, kPartialSums, kCount };

// At least size_bytes bytes, aligned to 64, uninitialized; valid on any thread until the calling thread asks for the
// same use again or ends. Throws std::bad_alloc.
void* thread_scratch(ScratchUse use, size_t size_bytes);

template <typename T>
T* thread_scratch_of(ScratchUse use, size_t n) {
  return static_cast<T*>(thread_scratch(use, n * sizeof(T)));
}

}  // namespace fettle
