#include "train/classify.h"

#include <gtest/gtest.h>

#include "kernels/dispatch.h"
#include "train/test_models.h"

namespace fettle {
namespace {

TEST(LogitsRunner, KeepsTheOrderOfTheData) {
  const Dataset data = test::toy_data(37, 4);
  const Model model = test::toy_model(data.labels);
  TrainOptions options;
  options.n_threads = 1;
  options.precision = Precision::kF32;
  Machine machine(options);
  LogitsRunner runner(model, options, machine);
  const ClassificationData all = prepare(model, data, 16);
  const Tensor together = runner.run(all.texts, 8);
  for (size_t i = 0; i < data.examples.size(); ++i) {
    const Dataset one{.examples = {data.examples[i]}, .labels = data.labels};
    const Tensor alone = runner.run(prepare(model, one, 16).texts, 1);
    for (int64_t c = 0; c < 4; ++c) {
      EXPECT_NEAR(alone.data<float>()[c], together.data<float>()[4 * static_cast<int64_t>(i) + c], 1e-5);
    }
  }
}

TEST(Prepare, TruncatesToTheModelsPositions) {
  Dataset data = test::toy_data(2, 4);
  data.examples[0].text.clear();
  for (int i = 0; i < 100; ++i) data.examples[0].text += "red ";
  const Model model = test::toy_model(data.labels);  // 32 positions
  EXPECT_EQ(prepare(model, data, 1000).texts.length(0), 32);
  EXPECT_EQ(prepare(model, data, 8).texts.length(0), 8);
}

}  // namespace
}  // namespace fettle
