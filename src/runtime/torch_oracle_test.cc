// Whole models written by fettle, read and run by PyTorch's own ops (tests/oracle/bert_forward.py).
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdlib>

#include "base/json.h"
#include "base/scratch_folder.h"
#include "runtime/session.h"
#include "runtime/test_graphs.h"

namespace fettle {
namespace {

Json rows_of(const std::vector<int32_t>& ids, const std::vector<int32_t>& offsets) {
  Json rows = Json::array();
  for (size_t s = 0; s + 1 < offsets.size(); ++s) {
    rows.push_back(std::vector<int32_t>(ids.begin() + offsets[s], ids.begin() + offsets[s + 1]));
  }
  return rows;
}

// False where there is no PyTorch.
bool run_torch(const std::vector<std::string>& folders) {
  std::string command = "/usr/bin/python3 '" + std::string(FETTLE_SOURCE_DIR) + "/tests/oracle/bert_forward.py'";
  for (const std::string& folder : folders) command += " '" + folder + "'";
  const int status = std::system(command.c_str());
  if (WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127)) return false;
  EXPECT_EQ(status, 0) << command;
  return true;
}

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

void expect_logits(const std::string& folder, const RaggedBatch& batch) {
  SCOPED_TRACE(folder);
  const auto model = std::make_shared<const Model>(load_model(folder));
  const Json rows = read_json(folder + "/logits.json");
  for (const bool fast_path : {false, true}) {
    Session session(model, {.n_threads = 1, .fast_path = fast_path});
    const Tensor logits = session.classify(batch);
    ASSERT_EQ(static_cast<size_t>(logits.dim(0)), rows.size());
    double largest = 0;
    for (int64_t i = 0; i < logits.size(); ++i) {
      const double expected = rows[static_cast<size_t>(i / 7)][static_cast<size_t>(i % 7)].get<double>();
      EXPECT_NEAR(logits.floats()[static_cast<size_t>(i)], expected, 1e-4);
      largest = std::max(largest, std::fabs(expected));
    }
    EXPECT_GT(largest, 0.5) << "logits too small to tell";
  }
}

TEST(TorchOracle, GivesTheSameLogits) {
  const ScratchFolder scratch;
  const RaggedBatch batch = test::random_batch({1, 17, 4, 48, 9}, 211, 8);
  std::vector<std::string> folders;
  for (const Architecture architecture : {Architecture::kBert, Architecture::kDistilBert}) {
    folders.push_back((scratch / std::to_string(folders.size())).string());
    save_model(test::random_model(config_of(architecture), 21), folders.back(), false);
    write_json(folders.back() + "/batch.json", {{"token_ids", rows_of(batch.token_ids, batch.offsets)},
                                                {"type_ids", rows_of(batch.type_ids, batch.offsets)}});
  }
  if (!run_torch(folders)) GTEST_SKIP() << "PyTorch is not installed";
  for (const std::string& folder : folders) expect_logits(folder, batch);
}

}  // namespace
}  // namespace fettle
