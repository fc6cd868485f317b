#include "train/training_graph.h"

#include "graph/autodiff.h"
#include "graph/passes.h"
#include "graph/recompute.h"
#include "model/layer_names.h"

namespace fettle {

std::vector<int64_t> layer_ends(const Graph& graph, const ModelConfig& config) {
  std::vector<int64_t> ends;
  size_t at = 0;
  for (int64_t layer = 0; layer < static_cast<int64_t>(config.layers.size()); ++layer) {
    for (int64_t block = 0; block < config.blocks_per_group; ++block) {
      const std::string last = encoder_layer_names(config, layer, block).output_norm;
      while (at < graph.nodes().size() && graph.nodes()[at].name != last) ++at;
      if (at == graph.nodes().size()) return ends;
      ends.push_back(static_cast<int64_t>(++at));
    }
  }
  return ends;
}

TrainingGraph make_training_graph(Graph loss_graph, const ModelConfig& config, bool recompute, bool tables) {
  TrainingGraph result{.graph = std::move(loss_graph), .parameters = {}, .gradients = {}, .squares = {}, .tables = {}};
  Graph& graph = result.graph;
  const auto n_forward = static_cast<int64_t>(graph.nodes().size());
  std::vector<int64_t> ends = layer_ends(graph, config);
  const std::vector<ValueId> parameters = graph.parameters();
  const ValueId minimized = graph.find("minimized");
  const std::vector<ValueId> gradients =
      differentiate(graph, minimized != kNoValue ? minimized : graph.find("loss"), parameters);
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (gradients[i] == kNoValue) continue;
    result.parameters.push_back(graph.value(parameters[i]).name);
    if (tables) result.tables.push_back(add_table_outputs(graph, gradients[i], result.parameters.back()));
    if (tables && result.tables.back()) {
      result.gradients.push_back(result.tables.back()->rows);
      continue;
    }
    result.gradients.push_back("gradient of " + result.parameters.back());
    graph.add_output(result.gradients.back(), gradients[i]);
  }
  result.tables.resize(result.parameters.size());
  if (recompute && !ends.empty()) {
    ends.pop_back();
    recompute_segments(graph, n_forward, ends);
  }
  if (tables) graph.remove_dead();
  for (const Pass& pass : training_passes()) pass.run(graph);
  for (size_t i = 0; i < result.gradients.size(); ++i) {
    const std::string squares = result.tables[i] ? result.tables[i]->squares : "squares of " + result.gradients[i];
    result.squares.push_back(graph.find(squares) == kNoValue ? "" : squares);
  }
  return result;
}

}  // namespace fettle
