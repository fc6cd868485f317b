// How nodes run: what a kernel sees of the values, and the table that finds the kernel of an op.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/function_ref.h"
#include "graph/op.h"
#include "kernels/kernel_table.h"
#include "runtime/parameter_binder.h"
#include "runtime/row_feed.h"

namespace fettle {

// One value in this run: rows × width elements. Vectors have width 1.
struct Slot {
  void* data = nullptr;
  int64_t rows = 0;
  int64_t width = 1;
  bool is_bf16 = false;  // in place of f32, between nodes that agreed on it (NodeKernel::takes_bf16)

  int64_t size() const { return rows * width; }
  float* f32() const { return static_cast<float*>(data); }
  const uint16_t* bf16() const { return static_cast<const uint16_t*>(data); }
  const int32_t* i32() const { return static_cast<const int32_t*>(data); }
};

struct RunContext {
  const Slot* slots = nullptr;  // by ValueId
  ThreadPool* pool = nullptr;
  const KernelTable* table = nullptr;
  uint64_t seed = 0;
  const SymbolBindings* bindings = nullptr;
  const int64_t* pair_offsets = nullptr;  // [batch + 1], Σ length² of the sequences before
  int64_t n_pairs = 0;

  const Slot& operator[](ValueId id) const { return slots[id]; }
};

class NodeKernel {
 public:
  virtual ~NodeKernel() = default;
  virtual void run(const RunContext& context) = 0;
  // Whether this value of its inputs or outputs may be bf16.
  virtual bool takes_bf16(ValueId /*value*/) const { return false; }
  // A node that can prepare the rows of output `value` for the packed linear that runs next, and that linear's node.
  virtual bool can_feed(ValueId /*value*/) const { return false; }
  virtual void feed(const PackedLinear* /*linear*/, FedRows* /*fed*/) {}
  virtual const PackedLinear* fed_by(ValueId /*input*/) const { return nullptr; }
  virtual void take_from(FedRows* /*fed*/) {}
  virtual int64_t packed_bytes() const { return 0; }
  // What the node reads first of its packed weights, null where it has none.
  virtual const PackedLinear* first_packed() const { return nullptr; }
};

// What a kernel is made from.
struct NodeBinding {
  const Graph& graph;
  const Node& node;
  const ExecutorOptions& options;
  ParameterBinder& parameters;
  std::span<const int32_t> n_uses;  // by ValueId; graph outputs count

  bool has(size_t i) const { return i < node.inputs.size() && node.inputs[i] != kNoValue; }
  // Input i, kNoValue when absent. A parameter is given to the kernel as dense f32 from now on.
  ValueId input(size_t i) const { return has(i) ? parameters.dense_slot(node.inputs[i]) : kNoValue; }
  ValueId output(size_t i) const { return node.outputs[i]; }
  // kNoValue when nobody reads output i.
  ValueId output_if_used(size_t i) const {
    return i < node.outputs.size() && n_uses[static_cast<size_t>(node.outputs[i])] > 0 ? node.outputs[i] : kNoValue;
  }
  // Whether input i is stored and does not change, so that it can be packed once.
  bool is_constant(size_t i) const { return has(i) && parameters.is_constant(node.inputs[i]); }
  const Attributes& attributes() const { return node.attributes; }
};

using NodeFactory = std::unique_ptr<NodeKernel> (*)(const NodeBinding&);

struct OpKernel {
  std::string_view op;
  NodeFactory make;              // may return nullptr: then the op's reference runs
  uint32_t in_place_inputs = 0;  // bit i: output 0 may be written over input i
};

// nullptr when the op has none.
const OpKernel* find_op_kernel(std::string_view op);
std::unique_ptr<NodeKernel> make_reference_node(const NodeBinding& binding);

// Rows handed to one task are as many as make about `grain` elements; fewer than that in all run on the calling thread.
void for_row_ranges(const RunContext& context, int64_t rows, int64_t width, int64_t grain,
                    FunctionRef<void(int64_t begin, int64_t end)> fn);

// "none", "relu", "tanh", "gelu", "gelu_tanh"; Error kFailed for any other.
Activation parse_activation(std::string_view kind);

}  // namespace fettle
