#include "graph/passes.h"

#include "graph/passes/rewrite.h"

namespace fettle {
namespace {

int64_t remove_dead(Graph& graph, FusionReports*) {
  const size_t before = graph.nodes().size() + graph.parameters().size();
  graph.remove_dead();
  return static_cast<int64_t>(before - graph.nodes().size() - graph.parameters().size());
}

}  // namespace

std::span<const Pass> inference_passes() {
  static constexpr Pass kPasses[] = {
      {"remove_dropout", remove_dropout},
      {"fuse_linear_activation", fuse_linear_activation},
      {"fuse_embeddings", fuse_embeddings},  // before the sum's last part becomes the norm's residual
      {"fuse_add_layer_norm", fuse_add_layer_norm},
      {"fuse_qkv", fuse_qkv},
      {"read_first_tokens_early", read_first_tokens_early},
      {"remove_dead", remove_dead},
  };
  return kPasses;
}

std::span<const Pass> training_passes() {
  static constexpr Pass kPasses[] = {
      {"sum_squares_of_outputs", sum_squares_of_outputs},
  };
  return kPasses;
}

}  // namespace fettle
