#include "compress/prune/gates.h"

#include <algorithm>

#include "base/error.h"
#include "model/config_keys.h"
#include "model/layer_names.h"

namespace fettle {
namespace {

class GateBuilder {
 public:
  GateBuilder(Graph& graph, const ModelConfig& config, PartKind kind) : graph_(graph), config_(config), kind_(kind) {}

  std::vector<GateInput> run() {
    switch (kind_) {
      case PartKind::kHidden:
        gate_hidden();
        break;
      case PartKind::kPooled:
        gate_pooled();
        break;
      default:
        for (int64_t layer = 0; layer < static_cast<int64_t>(config_.layers.size()); ++layer) gate_layer(layer);
    }
    return std::move(inputs_);
  }

 private:
  // The next node of that name: those of layers that share their parameters have the same, in the layers' order.
  size_t find_node(const std::string& name) {
    const std::vector<Node>& nodes = graph_.nodes();
    for (size_t i = at_; i < nodes.size(); ++i) {
      if (nodes[i].name != name) continue;
      at_ = i;
      return i;
    }
    failed("graph", "has no node '" + name + "' to set a gate behind");
  }
  ValueId output_of(const std::string& name) { return graph_.nodes()[find_node(name)].outputs[0]; }

  ValueId gates(int64_t layer, int64_t n) {
    std::string name = "gates." + std::string(part_name(kind_)) + "." + std::to_string(layer);
    if (const ValueId there = graph_.find(name); there != kNoValue) return there;
    inputs_.push_back({kind_, layer, n, name});
    return graph_.add_input(name, {DType::kF32, {graph_.symbol("batch"), Graph::constant_dim(n)}});
  }

  // `make` appends nodes that compute something from `value`; all that came behind it read that instead.
  template <typename Make>
  void insert_behind(ValueId value, const Make& make) {
    const size_t n_before = graph_.nodes().size();
    const ValueId result = make();
    std::vector<Node> nodes = graph_.nodes();
    const auto producer = static_cast<size_t>(graph_.value(value).producer);
    graph_.replace_uses(value, result);
    std::vector<Node> order = graph_.nodes();
    for (size_t i = n_before; i < nodes.size(); ++i) order[i] = nodes[i];
    std::rotate(order.begin() + static_cast<std::ptrdiff_t>(producer) + 1,
                order.begin() + static_cast<std::ptrdiff_t>(n_before), order.end());
    graph_.set_nodes(std::move(order));
  }

  void gate(ValueId value, int64_t layer, int64_t n) {
    const std::string name = graph_.nodes()[static_cast<size_t>(graph_.value(value).producer)].name + ".gates";
    insert_behind(value, [&] {
      return graph_.node("scale_groups", {value, gates(layer, n), graph_.find("offsets")}, {}, name);
    });
  }

  void gate_layer(int64_t layer) {
    const LayerConfig& width = config_.layers[static_cast<size_t>(layer)];
    const int64_t unit = unit_of_layer(config_, layer);
    ValueId in = kNoValue;
    for (int64_t block = 0; block < config_.blocks_per_group; ++block) {
      const EncoderLayerNames names = encoder_layer_names(config_, layer, block);
      if (kind_ == PartKind::kHeads) {
        gate(output_of(names.prefix + "attention"), unit, width.n_heads);
      } else if (kind_ == PartKind::kNeurons) {
        gate(output_of(names.intermediate + ".activation"), unit, width.intermediate_size);
      } else if (block == 0) {
        // The residual is what enters the layer, however its products are made.
        const Node& residual = graph_.nodes()[find_node(names.prefix + "attention.residual")];
        in = residual.inputs[1];
      }
      const ValueId out = output_of(names.output_norm);
      ++at_;
      if (kind_ == PartKind::kLayers && block + 1 == config_.blocks_per_group) gate_whole_layer(in, out, layer);
    }
  }

  void gate_whole_layer(ValueId in, ValueId out, int64_t layer) {
    const std::string name = "layer." + std::to_string(layer);
    insert_behind(out, [&] {
      const ValueId minus = graph_.node("scale", {in}, {{"factor", -1.0}}, name + ".minus");
      const ValueId change = graph_.node("add", {out, minus}, {}, name + ".change");
      const ValueId gated =
          graph_.node("scale_groups", {change, gates(layer, 1), graph_.find("offsets")}, {}, name + ".gates");
      return graph_.node("add", {in, gated}, {}, name + ".gated");
    });
  }

  void gate_hidden() {
    const std::string embeddings =
        config_.embedding_size > 0
            ? "albert.encoder.embedding_hidden_mapping_in"
            : std::string(architecture_keys(config_.architecture).parameter_prefix) + "embeddings.LayerNorm";
    gate(output_of(embeddings), 0, config_.hidden_size);
    for (int64_t layer = 0; layer < static_cast<int64_t>(config_.layers.size()); ++layer) {
      for (int64_t block = 0; block < config_.blocks_per_group; ++block) {
        const EncoderLayerNames names = encoder_layer_names(config_, layer, block);
        for (const std::string& norm : {names.attention_norm, names.output_norm}) {
          gate(output_of(norm), 0, config_.hidden_size);
          ++at_;
        }
      }
    }
  }

  // One row for each sequence here.
  void gate_pooled() {
    const std::string labels(architecture_keys(config_.architecture).label_layer);
    const ValueId value = graph_.nodes()[find_node(labels)].inputs[0];
    const ValueId rows = row_offsets();
    insert_behind(value, [&] {
      return graph_.node("scale_groups", {value, gates(0, config_.hidden_size), rows}, {}, labels + ".gates");
    });
  }
  ValueId row_offsets() {
    Dim n = graph_.symbol("batch");
    ++n.value;
    return graph_.add_input("row_offsets", {DType::kI32, {n}});
  }

  Graph& graph_;
  const ModelConfig& config_;
  PartKind kind_;
  std::vector<GateInput> inputs_;
  size_t at_ = 0;  // nodes before are done
};

}  // namespace

std::string_view part_name(PartKind kind) {
  switch (kind) {
    case PartKind::kHeads:
      return "heads";
    case PartKind::kNeurons:
      return "neurons";
    case PartKind::kLayers:
      return "layers";
    case PartKind::kHidden:
      return "hidden";
    case PartKind::kPooled:
      return "pooled";
  }
  return "?";
}

int64_t unit_of_layer(const ModelConfig& config, int64_t layer) {
  const std::string query = encoder_layer_names(config, layer).query;
  for (int64_t i = 0; i < layer; ++i) {
    if (encoder_layer_names(config, i).query == query) return i;
  }
  return layer;
}

ValueId find_layer_input(const Graph& graph, const ModelConfig& config, int64_t layer) {
  const std::string name = encoder_layer_names(config, layer).prefix + "attention.residual";
  const auto found = std::ranges::find(graph.nodes(), name, &Node::name);
  if (found == graph.nodes().end()) failed("graph", "has no node '" + name + "'");
  return found->inputs[1];
}

std::vector<GateInput> add_gates(Graph& graph, const ModelConfig& config, PartKind kind) {
  return GateBuilder(graph, config, kind).run();
}

}  // namespace fettle
