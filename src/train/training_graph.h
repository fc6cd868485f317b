// The graph that a step of training runs: an objective's loss and the gradients of all parameters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "model/config.h"
#include "train/table_rows.h"

namespace fettle {

struct TrainingGraph {
  Graph graph;
  // Of each parameter that the loss depends on: its name, the output with its gradient, and the output with the sum of
  // that gradient's squares ("" where there is none).
  std::vector<std::string> parameters;
  std::vector<std::string> gradients;
  std::vector<std::string> squares;
  // Where it is a table whose gradient is given as rows; its entry in `gradients` names those.
  std::vector<std::optional<TableOutputs>> tables;
};

// `loss_graph` has the output "loss", and may have "minimized", of which the gradient is then taken. With `recompute`
// the activations of all layers but the last are computed again in the backward pass (graph/recompute.h): same bytes,
// less memory. `tables`: gradients of large tables as rows.
TrainingGraph make_training_graph(Graph loss_graph, const ModelConfig& config, bool recompute, bool tables);

// Positions in the graph one past the last node of each encoder layer; ALBERT's blocks count one by one.
std::vector<int64_t> layer_ends(const Graph& graph, const ModelConfig& config);

}  // namespace fettle
