#include "runtime/planner.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/checked.h"

namespace fettle {
namespace {

struct Placed {
  int64_t begin;
  int64_t end;
  int32_t first;
  int32_t last;
};

int64_t aligned(int64_t size_bytes) {
  return checked_add(size_bytes, kArenaAlignment - 1, "memory plan") / kArenaAlignment * kArenaAlignment;
}

// `placed` is ordered by begin.
int64_t best_offset(const std::vector<Placed>& placed, const BufferLife& buffer, int64_t size_bytes) {
  int64_t best = -1;
  int64_t best_gap = std::numeric_limits<int64_t>::max();
  int64_t end = 0;
  for (const Placed& other : placed) {
    if (other.last < buffer.first || buffer.last < other.first) continue;
    const int64_t gap = other.begin - end;
    if (gap >= size_bytes && gap < best_gap) {
      best = end;
      best_gap = gap;
    }
    end = std::max(end, other.end);
  }
  return best >= 0 ? best : end;
}

}  // namespace

MemoryPlan plan_memory(std::span<const BufferLife> buffers) {
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return buffers[a].size_bytes > buffers[b].size_bytes; });

  MemoryPlan plan;
  plan.offsets.assign(buffers.size(), 0);
  std::vector<Placed> placed;
  placed.reserve(buffers.size());
  for (const size_t i : order) {
    const int64_t size_bytes = aligned(buffers[i].size_bytes);
    if (size_bytes == 0) continue;
    const int64_t begin = best_offset(placed, buffers[i], size_bytes);
    const Placed entry{begin, checked_add(begin, size_bytes, "memory plan"), buffers[i].first, buffers[i].last};
    plan.offsets[i] = begin;
    plan.arena_bytes = std::max(plan.arena_bytes, entry.end);
    placed.insert(std::ranges::upper_bound(placed, begin, {}, &Placed::begin), entry);
  }
  return plan;
}

}  // namespace fettle
