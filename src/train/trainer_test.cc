#include <gtest/gtest.h>

#include "base/cancel.h"
#include "base/error.h"
#include "train/test_models.h"
#include "train/trainer.h"

namespace fettle {
namespace {

TrainOptions toy_options() {
  TrainOptions options;
  options.epochs = 6;
  options.batch_size = 16;
  options.learning_rate = 3e-3;
  options.warmup_ratio = 0.1;
  options.max_length = 16;
  options.n_threads = 1;
  options.seed = 5;
  return options;
}

TEST(TrainClassifier, LearnsAToyTask) {
  const Dataset train = test::toy_data(256, 1);
  const Dataset eval = test::toy_data(64, 2);
  for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
    Model model = test::toy_model(train.labels);
    TrainOptions options = toy_options();
    options.precision = precision;
    const TrainResult result = train_classifier(model, train, &eval, options);
    EXPECT_EQ(result.accuracy, 1.0);
    EXPECT_EQ(result.steps, 96);
    EXPECT_EQ(result.samples, 6 * 256);
    ASSERT_EQ(result.epochs.size(), 6u);
    EXPECT_LT(result.epochs.back().loss, 0.3 * result.epochs.front().loss);
  }
}

TEST(Pretrain, LossFalls) {
  Model model = test::toy_model({});
  std::vector<std::string> texts;
  for (int i = 0; i < 64; ++i) {
    texts.push_back("the big red house");
    texts.push_back("a small green tree");
    if (i % 4 == 3) texts.push_back("");
  }
  TrainOptions options = toy_options();
  options.epochs = 40;
  const TrainResult result = pretrain_masked_lm(model, texts, options);
  EXPECT_LT(result.epochs.back().loss, 0.5 * result.epochs.front().loss);
  EXPECT_GT(result.epochs.back().accuracy, 0.5);
  EXPECT_TRUE(model.parameters.has("cls.predictions.bias"));
}

}  // namespace
}  // namespace fettle
