// Whole models written by fettle, read and run by PyTorch.
#include "runtime/torch_oracle.h"

#include "base/scratch_folder.h"
#include "runtime/test_graphs.h"

namespace fettle {
namespace {

ModelConfig config_of(Architecture architecture) {
  ModelConfig config = make_encoder_config(3, 64, 211);
  test::set_architecture(config, architecture);
  config.activation = architecture == Architecture::kDistilBert ? "gelu_tanh" : "gelu";
  config.max_positions = 48;
  config.labels = {"a", "b", "c", "d", "e", "f", "g"};
  if (config.shares_layers()) {
    config.n_layer_groups = 2;
    config.blocks_per_group = 2;
  }
  for (LayerConfig& layer : config.layers) layer = {.n_heads = 4, .head_dim = 16, .intermediate_size = 100};
  return config;
}

TEST(TorchOracle, GivesTheSameLogits) {
  if (!python_has("torch")) GTEST_SKIP() << "python3-torch is not installed";
  const ScratchFolder scratch;
  std::vector<std::string> folders;
  for (const Architecture architecture : test::kArchitectures) {
    folders.push_back((scratch / std::to_string(folders.size())).string());
    save_model(test::random_model(config_of(architecture), 21), folders.back(), false);
  }
  RaggedBatch batch = test::random_batch({1, 17, 4, 48, 9}, 211, 8);
  const auto of_one_type = folders.begin() + 3;  // RoBERTa and XLM-R
  test::expect_logits_of_torch({folders.begin(), of_one_type}, batch);
  std::ranges::fill(batch.type_ids, 0);
  test::expect_logits_of_torch({of_one_type, folders.end()}, batch);
}

}  // namespace
}  // namespace fettle
