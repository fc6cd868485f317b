// Whole models written by fettle, read and run by PyTorch.
#include "runtime/torch_oracle.h"

#include "base/scratch_folder.h"
#include "runtime/test_graphs.h"

namespace fettle {
namespace {

ModelConfig config_of(Architecture architecture) {
  ModelConfig config = make_encoder_config(3, 64, 211);
  config.architecture = architecture;
  config.n_token_types = architecture == Architecture::kBert ? 2 : 0;
  config.activation = architecture == Architecture::kBert ? "gelu" : "gelu_tanh";
  config.max_positions = 48;
  config.labels = {"a", "b", "c", "d", "e", "f", "g"};
  for (LayerConfig& layer : config.layers) layer = {.n_heads = 4, .head_dim = 16, .intermediate_size = 100};
  return config;
}

TEST(TorchOracle, GivesTheSameLogits) {
  if (!python_has("torch")) GTEST_SKIP() << "python3-torch is not installed";
  const ScratchFolder scratch;
  std::vector<std::string> folders;
  for (const Architecture architecture : {Architecture::kBert, Architecture::kDistilBert}) {
    folders.push_back((scratch / std::to_string(folders.size())).string());
    save_model(test::random_model(config_of(architecture), 21), folders.back(), false);
  }
  test::expect_logits_of_torch(folders, test::random_batch({1, 17, 4, 48, 9}, 211, 8));
}

}  // namespace
}  // namespace fettle
