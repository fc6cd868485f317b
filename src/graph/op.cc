#include "graph/op.h"

#include "base/error.h"
#include "graph/infer.h"

namespace fettle {

void Op::gradient(GradientContext& context) const {
  failed(node_label(context.node), "has no gradient");
}

Cost Op::cost(const NodeView& view, const SymbolBindings& bindings) const {
  return {.flops = 0, .bytes = bytes_touched(view, bindings)};
}

const Op& find_op(std::string_view name) {
  for (const Op* op : all_ops()) {
    if (op->name() == name) return *op;
  }
  failed("graph", "there is no op '" + std::string(name) + "'");
}

}  // namespace fettle
