#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/log.h"
#include "runtime/test_graphs.h"
#include "train/pretrain.h"
#include "train/test_models.h"

namespace fettle {
namespace {

using test::toy_model;
using testing::HasSubstr;

class DistillPretrain : public testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kOff); }
  void TearDown() override { set_log_level(LogLevel::kWarning); }

  static std::vector<std::string> texts() {
    std::vector<std::string> all;
    for (int i = 0; i < 64; ++i) {
      all.emplace_back("the big red house");
      all.emplace_back("a small green tree");
      if (i % 4 == 3) all.emplace_back("");
    }
    return all;
  }
  static Model trained_teacher() {
    Model teacher = toy_model({}, 7);
    TrainOptions options = test::toy_training(10);
    options.mask_probability = 0.3;
    pretrain_masked_lm(teacher, texts(), options);
    return teacher;
  }
};

TEST_F(DistillPretrain, LearnsFromTheTeacherAndTheTexts) {
  const Model teacher = trained_teacher();
  Model student = make_student(teacher, "layers=0 hidden=32", 0);
  for (const auto& [name, shape] : parameter_shapes(student.config, kMaskedLmTraining)) {
    ASSERT_TRUE(student.parameters.has(name)) << name;
    EXPECT_EQ(student.parameters.get(name).shape, shape) << name;
  }
  TrainOptions options = test::toy_training(10);
  options.mask_probability = 0.3;
  const TrainResult result = distill_masked_lm(student, teacher, texts(), options);
  EXPECT_LT(result.epochs.back().loss, 0.7 * result.epochs.front().loss);
  const Json& step = student.manifest["steps"][0];
  EXPECT_EQ(step["verb"], "distill");
  EXPECT_EQ(step["options"]["objective"], "mlm");
  EXPECT_EQ(step["options"]["kd_weight"], 5);
  EXPECT_FALSE(student.parameters.has("distill.hidden_projection.weight"));
}

// Nothing but the masked words: the same numbers as plain pre-training.
TEST_F(DistillPretrain, WithoutTheTeachersWeightsItIsPretraining) {
  Model teacher = toy_model({}, 7);
  add_missing_head(teacher, 7);
  const TrainOptions options = test::toy_training(2);
  Model plain = toy_model({}, 3);
  const TrainResult expected = pretrain_masked_lm(plain, texts(), options);
  Model student = toy_model({}, 3);
  const TrainResult result =
      distill_masked_lm(student, teacher, texts(), options, {.mlm_weight = 1, .kd_weight = 0, .cosine_weight = 0});
  ASSERT_EQ(result.epochs.size(), expected.epochs.size());
  for (size_t i = 0; i < result.epochs.size(); ++i) {
    EXPECT_NEAR(result.epochs[i].loss, expected.epochs[i].loss, 1e-4);
  }
}

// Of its own teacher it has nothing to learn.
TEST_F(DistillPretrain, TheTeacherItselfHasNoLoss) {
  Model teacher = trained_teacher();
  Model student = teacher;
  TrainOptions options = test::toy_training(1);
  options.dropout = 0;
  options.learning_rate = 0;
  options.precision = Precision::kF32;
  const TrainResult result =
      distill_masked_lm(student, teacher, texts(), options, {.mlm_weight = 0, .kd_weight = 1, .cosine_weight = 1});
  EXPECT_NEAR(result.epochs[0].loss, 0, 1e-4);
}

TEST_F(DistillPretrain, StudentsByRuleKeepTheHeadOfEveryArchitecture) {
  for (const Architecture architecture :
       {Architecture::kBert, Architecture::kDistilBert, Architecture::kRoberta, Architecture::kXlmRoberta}) {
    ModelConfig config = toy_model({}).config;
    test::set_architecture(config, architecture);
    Model teacher = make_model(config, test::word_tokenizer(test::toy_words()), 4);
    add_missing_head(teacher, 4);
    const Model whole = make_student(teacher, "layers=0,1", 0);
    const Model narrow = make_student(teacher, "layers=1 hidden=16", 0);
    for (const auto& [name, shape] : parameter_shapes(config, kMaskedLmTraining)) {
      ASSERT_TRUE(whole.parameters.has(name)) << name;
      const Tensor copied = whole.parameters.get(name).decode();
      const Tensor original = teacher.parameters.get(name).decode();
      for (int64_t i = 0; i < copied.size(); ++i) {
        ASSERT_NEAR(copied.floats()[i], original.floats()[i], 1e-6) << name;
      }
    }
    for (const auto& [name, shape] : parameter_shapes(narrow.config, kMaskedLmTraining)) {
      ASSERT_TRUE(narrow.parameters.has(name)) << name;
      EXPECT_EQ(narrow.parameters.get(name).shape, shape) << name;
    }
  }
}

TEST_F(DistillPretrain, RefusesTeachersThatCannotTeach) {
  Model student = toy_model({}, 3);
  const auto message = [&](const Model& teacher, const MaskedDistillOptions& weights = {}) -> std::string {
    try {
      distill_masked_lm(student, teacher, texts(), test::toy_training(1), weights);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  const Model headless = toy_model({"red", "green"}, 7);
  EXPECT_THAT(message(headless), HasSubstr("has no masked-word head: 'cls.predictions."));
  Model teacher = toy_model({}, 7);
  add_missing_head(teacher, 7);
  EXPECT_THAT(message(teacher, {.kd_weight = -1}), HasSubstr("0 or more"));
  EXPECT_THAT(message(teacher, {0, 0, 0}), HasSubstr("all weights"));
  std::vector<std::string> words = test::toy_words();
  words[3] = "four";
  teacher.tokenizer = test::word_tokenizer(words);
  EXPECT_THAT(message(teacher), HasSubstr("1 only in the teacher ('four'), 1 only in the student ('one')"));
}

}  // namespace
}  // namespace fettle
