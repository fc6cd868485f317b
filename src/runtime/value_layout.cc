#include "runtime/value_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/checked.h"
#include "base/error.h"
#include "base/memory.h"

namespace fettle {
namespace {

// The next multiple of a quarter of the power of two below, at least 16: growing batches soon stop asking for new
// plans.
int64_t roomy(int64_t n) {
  constexpr int64_t kSmallest = 16;
  if (n <= kSmallest) return kSmallest;
  const int64_t step =
      std::max<int64_t>(kSmallest, static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(n - 1))) / 4);
  return checked_add(n, step - 1, "batch") / step * step;
}

int64_t bound_dim(const Dim& dim, const SymbolBindings& bindings) {
  return dim.is_constant() ? dim.value : bindings[static_cast<size_t>(dim.symbol)] + dim.value;
}

void set_size(const TensorType& type, const SymbolBindings& bindings, Slot& slot) {
  slot.rows = type.shape.empty() ? 1 : bound_dim(type.shape[0], bindings);
  slot.width = 1;
  for (size_t i = 1; i < type.shape.size(); ++i) slot.width *= bound_dim(type.shape[i], bindings);
}

int64_t size_bytes(const TensorType& type, const SymbolBindings& bindings) {
  int64_t size = dtype_size(type.dtype);
  for (const Dim& dim : type.shape) size = checked_mul(size, bound_dim(dim, bindings), "batch");
  return size;
}

std::shared_ptr<std::byte> allocate_arena(int64_t size_bytes) {
  auto memory = allocate_block(size_bytes);
  if (memory == nullptr) {
    failed("run", fmt::format("not enough memory for {} bytes of intermediate values", size_bytes));
  }
  return memory;
}

}  // namespace

ValueLayout::ValueLayout(const Graph& graph)
    : graph_(graph),
      slots_(graph.values().size()),
      n_uses_(graph.values().size(), 0),
      last_use_(graph.values().size(), -1),
      buffer_(graph.values().size(), -1),
      bound_(graph.symbols().size(), -1),
      capacity_(graph.symbols().size(), -1) {
  find_lives();
  for (size_t i = 0; i < graph.nodes().size(); ++i) place_outputs(graph.nodes()[i], static_cast<int32_t>(i));
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Value& value = graph.values()[i];
    const bool is_sized = std::ranges::any_of(value.type.shape, [](const Dim& dim) { return !dim.is_constant(); });
    const bool exists = value.kind != ValueKind::kComputed || buffer_[i] >= 0;
    if (!is_sized) set_size(value.type, bound_, slots_[i]);
    if (is_sized && exists) sized_.push_back(static_cast<ValueId>(i));
  }
}

void ValueLayout::find_lives() {
  const auto use = [&](ValueId id, int32_t step) {
    if (id == kNoValue) return;
    ++n_uses_[static_cast<size_t>(id)];
    last_use_[static_cast<size_t>(id)] = step;
  };
  const auto n_nodes = static_cast<int32_t>(graph_.nodes().size());
  for (int32_t step = 0; step < n_nodes; ++step) {
    for (const ValueId id : graph_.nodes()[static_cast<size_t>(step)].inputs) use(id, step);
  }
  for (const auto& [name, id] : graph_.outputs()) use(id, n_nodes);
}

bool ValueLayout::can_overwrite(const Node& node, size_t input, int32_t step) const {
  const ValueId id = node.inputs[input];
  if (id == kNoValue || buffer_[static_cast<size_t>(id)] < 0) return false;
  return last_use_[static_cast<size_t>(id)] == step && std::ranges::count(node.inputs, id) == 1 &&
         graph_.type(id) == graph_.type(node.outputs[0]);
}

void ValueLayout::place_outputs(const Node& node, int32_t step) {
  const OpKernel* kernel = find_op_kernel(node.op->name());
  const uint32_t in_place = kernel == nullptr ? 0 : kernel->in_place_inputs;
  for (size_t o = 0; o < node.outputs.size(); ++o) {
    const auto output = static_cast<size_t>(node.outputs[o]);
    const int32_t last = std::max(step, last_use_[output]);
    for (size_t i = 0; o == 0 && i < node.inputs.size() && buffer_[output] < 0; ++i) {
      if ((in_place >> i & 1) == 0 || !can_overwrite(node, i, step)) continue;
      buffer_[output] = buffer_[static_cast<size_t>(node.inputs[i])];
      buffers_[static_cast<size_t>(buffer_[output])].life.last = last;
    }
    if (buffer_[output] >= 0) continue;
    buffer_[output] = static_cast<int32_t>(buffers_.size());
    buffers_.push_back({.life = {.size_bytes = 0, .first = step, .last = last}, .first_value = node.outputs[o]});
  }
}

void ValueLayout::plan() {
  std::vector<BufferLife> lives;
  for (Buffer& buffer : buffers_) {
    buffer.life.size_bytes = size_bytes(graph_.type(buffer.first_value), capacity_);
    lives.push_back(buffer.life);
  }
  plan_ = plan_memory(lives);
  arena_.reset();
  arena_ = allocate_arena(plan_.arena_bytes);
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (buffer_[i] >= 0) slots_[i].data = arena_.get() + plan_.offsets[static_cast<size_t>(buffer_[i])];
  }
}

void ValueLayout::bind(const SymbolBindings& bindings) {
  if (arena_ != nullptr && bindings == bound_) return;
  bool outgrown = arena_ == nullptr;
  for (size_t i = 0; i < bindings.size(); ++i) {
    if (bindings[i] <= capacity_[i]) continue;
    capacity_[i] = roomy(bindings[i]);
    outgrown = true;
  }
  if (outgrown) plan();
  bound_ = bindings;
  for (const ValueId id : sized_) set_size(graph_.type(id), bound_, slots_[static_cast<size_t>(id)]);
}

}  // namespace fettle
