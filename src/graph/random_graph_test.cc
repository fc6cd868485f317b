#include "graph/random_graph_check.h"

#include <gtest/gtest.h>

namespace fettle {
namespace {

TEST(RandomGraphs, PassesKeepResultsAndGradientsAreSound) {
  int n_differentiated = 0;
  int n_rewritten = 0;
  int n_read_early = 0;
  constexpr int kGraphs = 300;
  for (int seed = 0; seed < kGraphs; ++seed) {
    Philox bytes_of(static_cast<uint64_t>(seed));
    std::vector<uint8_t> bytes(20 + bytes_of.below(100));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(bytes_of.next_u32());
    const RandomGraph random(bytes);
    verify(random.graph);
    EXPECT_EQ(pass_at_fault(random), "") << "seed " << seed << "\n" << print(random.graph);
    n_differentiated += differentiates(random) ? 1 : 0;
    Graph graph = random.graph;
    for (const Pass& pass : inference_passes()) {
      const int64_t n = pass.run(graph);
      n_rewritten += pass.name.starts_with("fuse") && n > 0 ? 1 : 0;
      n_read_early += pass.name == "read_first_tokens_early" && n > 0 ? 1 : 0;
    }
  }
  // The generator is worth its name.
  EXPECT_GT(n_differentiated, kGraphs / 10);
  EXPECT_GT(n_rewritten, kGraphs / 10);
  EXPECT_GT(n_read_early, kGraphs / 10);
}

}  // namespace
}  // namespace fettle
