// Runs any op by its reference, on copies of the values.
#include <cstring>
#include <vector>

#include "runtime/node_kernel.h"

namespace fettle {
namespace {

class ReferenceNode : public NodeKernel {
 public:
  explicit ReferenceNode(const NodeBinding& binding) : graph_(binding.graph), node_(binding.node) {
    for (size_t i = 0; i < node_.inputs.size(); ++i) binding.input(i);
  }

  void run(const RunContext& context) override {
    std::vector<Tensor> inputs;
    for (const ValueId id : node_.inputs) inputs.push_back(id == kNoValue ? Tensor() : view(context, id));
    std::vector<Tensor> outputs;
    for (const ValueId id : node_.outputs) outputs.emplace_back(graph_.type(id).dtype, shape(context, id));
    EvalContext eval{.view = {graph_, node_}, .inputs = inputs, .outputs = outputs, .seed = context.seed};
    node_.op->reference(eval);
    for (size_t i = 0; i < outputs.size(); ++i) {
      const auto size_bytes = static_cast<size_t>(outputs[i].size_bytes());
      if (size_bytes > 0) std::memcpy(context[node_.outputs[i]].data, outputs[i].raw(), size_bytes);
    }
  }

 private:
  Shape shape(const RunContext& context, ValueId id) const { return bind_shape(graph_.type(id), *context.bindings); }
  Tensor view(const RunContext& context, ValueId id) const {
    return Tensor::view(graph_.type(id).dtype, shape(context, id), context[id].data, nullptr);
  }

  const Graph& graph_;
  const Node& node_;
};

}  // namespace

std::unique_ptr<NodeKernel> make_reference_node(const NodeBinding& binding) {
  return std::make_unique<ReferenceNode>(binding);
}

}  // namespace fettle
