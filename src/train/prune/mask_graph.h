// Puts masks between parameters of a graph and the nodes that read them.
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/mask_blocks.h"

namespace fettle {

struct MaskSite {
  std::string weight;  // a parameter [rows, columns] of the graph
  std::string mask;    // of the input to add, [mask_rows, mask_columns]
  std::string scores;  // of the parameter to add, of the mask's shape; "" where scores are not learned
  MaskBlocks blocks;
};

// The input [1] that says whether gates are stochastic.
inline constexpr const char* kGateNoise = "prune.gate_noise";

// Every reader of the weights reads them under the mask: straight through to the scores, or, with `gates`, times
// hard-concrete gates of which the scores are log α and the mask says which may be open. Error kFailed when the graph
// does not have a parameter.
void insert_masks(Graph& graph, const std::vector<MaskSite>& sites, bool gates);

// β, γ and ζ of the gates, as their paper has them.
inline constexpr double kGateBeta = 2.0 / 3.0;
inline constexpr double kGateGamma = -0.1;
inline constexpr double kGateZeta = 1.1;

}  // namespace fettle
