// Places values that live at different times in the same memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fettle {

// A buffer that is written first at step `first` and read last at step `last`, both included.
struct BufferLife {
  int64_t size_bytes = 0;
  int32_t first = 0;
  int32_t last = 0;
};

struct MemoryPlan {
  std::vector<int64_t> offsets;  // of each buffer, multiples of kArenaAlignment
  int64_t arena_bytes = 0;
};

constexpr int64_t kArenaAlignment = 64;

// Greedy by size: the largest buffer first, each into the smallest gap that fits among those that live at the same time
// (Pisarchyk & Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020). Depends on the argument only.
MemoryPlan plan_memory(std::span<const BufferLife> buffers);

}  // namespace fettle
