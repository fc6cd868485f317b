// Models that fettle trained: learnt, written, and run by PyTorch as plain state_dicts.
#include <gtest/gtest.h>

#include "base/log.h"
#include "base/scratch_folder.h"
#include "runtime/test_graphs.h"
#include "runtime/torch_oracle.h"
#include "train/test_models.h"
#include "train/trainer.h"

namespace fettle {
namespace {

Model untrained(Architecture architecture, const std::vector<std::string>& labels) {
  ModelConfig config = test::toy_model(labels).config;
  test::set_architecture(config, architecture);
  return make_model(config, test::word_tokenizer(test::toy_words()), 4);
}

RaggedBatch batch_of(const Model& model, const Dataset& data) {
  RaggedBatch batch;
  for (const Example& example : data.examples) {
    std::vector<int32_t> ids;
    model.tokenizer->encode(example.text, 0, ids);
    batch.append(ids.data(), static_cast<int64_t>(ids.size()));
  }
  return batch;
}

TEST(TrainedModels, HaveTheLogitsThatPyTorchGives) {
  if (!python_has("torch")) GTEST_SKIP() << "python3-torch is not installed";
  set_log_level(LogLevel::kWarning);
  const ScratchFolder scratch;
  const Dataset train = test::toy_data(256, 1);
  const Dataset eval = test::toy_data(24, 2);
  TrainOptions options;
  options.epochs = 12;
  options.batch_size = 16;
  options.learning_rate = 3e-3;
  options.warmup_ratio = 0.1;
  options.max_length = 16;
  options.n_threads = 1;
  std::vector<std::string> folders;
  RaggedBatch batch;
  for (const Architecture architecture :
       {Architecture::kBert, Architecture::kDistilBert, Architecture::kRoberta, Architecture::kAlbert}) {
    Model model = untrained(architecture, train.labels);
    EXPECT_GT(train_classifier(model, train, &eval, options).accuracy, 0.9);
    folders.push_back((scratch / std::to_string(folders.size())).string());
    save_model(model, folders.back(), false);
    batch = batch_of(model, eval);
  }
  test::expect_logits_of_torch(folders, batch);
}

}  // namespace
}  // namespace fettle
