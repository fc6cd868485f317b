// Where each value of a graph lies in a run: sizes from the bound symbols, computed values in one arena.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "graph/graph.h"
#include "runtime/node_kernel.h"
#include "runtime/planner.h"

namespace fettle {

class ValueLayout {
 public:
  // Finds when each value lives, and which outputs may be written over an input that nobody reads any more.
  explicit ValueLayout(const Graph& graph);

  // Sizes all slots. The arena is planned for more than was asked, and again only when some symbol has outgrown it.
  void bind(const SymbolBindings& bindings);
  void set_data(ValueId id, const void* data) { slots_[static_cast<size_t>(id)].data = const_cast<void*>(data); }
  void set_bf16(ValueId id) { slots_[static_cast<size_t>(id)].is_bf16 = true; }
  const Slot* slots() const { return slots_.data(); }
  const Slot& slot(ValueId id) const { return slots_[static_cast<size_t>(id)]; }
  // Times that nodes and graph outputs read each value.
  const std::vector<int32_t>& n_uses() const { return n_uses_; }
  const std::shared_ptr<std::byte>& arena() const { return arena_; }
  int64_t arena_bytes() const { return plan_.arena_bytes; }

 private:
  // Values that share memory one after another.
  struct Buffer {
    BufferLife life;      // size_bytes by the capacity
    ValueId first_value;  // all of them have its type
  };

  void find_lives();
  void place_outputs(const Node& node, int32_t step);
  bool can_overwrite(const Node& node, size_t input, int32_t step) const;
  void plan();

  const Graph& graph_;
  std::vector<Slot> slots_;      // by ValueId
  std::vector<int32_t> n_uses_;  // by ValueId
  std::vector<int32_t>
      last_use_;                 // by ValueId: step of the last node that reads it, or the number of nodes for outputs
  std::vector<int32_t> buffer_;  // by ValueId: index into buffers_, -1 when not in the arena
  std::vector<ValueId> sized_;   // values whose sizes depend on symbols
  std::vector<Buffer> buffers_;
  SymbolBindings bound_;
  SymbolBindings capacity_;
  MemoryPlan plan_;
  std::shared_ptr<std::byte> arena_;
};

}  // namespace fettle
