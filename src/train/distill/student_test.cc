#include <gtest/gtest.h>

#include "base/error.h"
#include "runtime/session.h"
#include "train/distill/student_rule.h"
#include "train/test_models.h"
#include "train/trainer.h"

namespace fettle {
namespace {

using test::toy_model;

Model distilbert_model() {
  Model teacher = toy_model({"red", "green"}, 1, 2, 32);
  ModelConfig config = teacher.config;
  config.architecture = Architecture::kDistilBert;
  config.n_token_types = 0;
  return make_model(config, teacher.tokenizer, 4);
}

Model model_of(Architecture architecture) {
  Model teacher = toy_model({"red", "green"}, 1, 2, 32);
  ModelConfig config = teacher.config;
  config.architecture = architecture;
  return make_model(config, teacher.tokenizer, 4);
}

std::vector<float> logits(const Model& model) {
  Session session(std::make_shared<const Model>(model), {.n_threads = 1});
  const std::vector<std::string> texts = {"the big red house", "a", "one two three"};
  const Tensor result = session.classify_texts(texts);
  return {result.floats().begin(), result.floats().end()};
}

TEST(StudentRule, Reads) {
  ModelConfig teacher = make_encoder_config(6, 256, 100);
  const StudentRule copied = parse_student_rule("layers=0,2,4", teacher);
  EXPECT_EQ(copied.layers, (std::vector<int64_t>{0, 2, 4}));
  EXPECT_EQ(copied.hidden, 256);
  EXPECT_EQ(copied.heads, (std::vector<int64_t>{4, 4, 4}));
  for (const char* text : {"layers=5 hidden=128", "layers=5,hidden=128", " hidden=128;layers=5"}) {
    const StudentRule narrow = parse_student_rule(text, teacher);
    EXPECT_EQ(narrow.layers, (std::vector<int64_t>{5}));
    EXPECT_EQ(narrow.hidden, 128);
    EXPECT_EQ(narrow.heads, (std::vector<int64_t>{2}));
    EXPECT_EQ(narrow.intermediate, (std::vector<int64_t>{512}));
  }
  EXPECT_EQ(parse_student_rule("heads=1 intermediate=7", teacher).layers.size(), 6u);
}

TEST(StudentRule, RefusesNonsense) {
  const ModelConfig teacher = make_encoder_config(2, 128, 100);
  for (const char* text : {"", "layers", "layers=", "layers=2", "layers=-1", "hidden=0", "hidden=129", "hidden=1,2",
                           "heads=3", "vocab=9", "layers=0 layers=1", "3", "layers=a", "hidden=99999999999999999999"}) {
    try {
      parse_student_rule(text, teacher);
      FAIL() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUsage) << text;
    }
  }
}

// With every layer and width kept, a rule changes nothing: full-width selections and projections are exact.
TEST(Student, WholeCopyGivesTheSameLogits) {
  for (const Model& teacher :
       {toy_model({"red", "green"}, 1, 2, 32), distilbert_model(), model_of(Architecture::kRoberta)}) {
    const std::vector<float> expected = logits(teacher);
    const Model copy = make_student(teacher, "layers=0,1 heads=2 intermediate=64", 0);
    const std::vector<float> actual = logits(copy);
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1e-6);
  }
}

TEST(Student, NothingIsCutOutOfSharedLayers) {
  const Model teacher = model_of(Architecture::kAlbert);
  for (const char* rule : {"layers=0", "hidden=16", "intermediate=10"}) {
    try {
      make_student(teacher, rule, 0);
      ADD_FAILURE() << rule;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUsage);
      EXPECT_NE(std::string(error.what()).find("share"), std::string::npos) << error.what();
    }
  }
}

TEST(Student, HasTheShapesOfItsRule) {
  for (const Model& teacher :
       {toy_model({"red", "green"}, 1, 2, 32), distilbert_model(), model_of(Architecture::kRoberta)}) {
    const Model student = make_student(teacher, "layers=1 hidden=16 intermediate=10", 0);
    EXPECT_EQ(student.config.hidden_size, 16);
    ASSERT_EQ(student.config.layers.size(), 1u);
    EXPECT_EQ(student.config.layers[0], (LayerConfig{.n_heads = 1, .head_dim = 16, .intermediate_size = 10}));
    const auto shapes = parameter_shapes(student.config, {});
    EXPECT_EQ(shapes.size(), student.parameters.names().size());
    for (const auto& [name, shape] : shapes) EXPECT_EQ(student.parameters.get(name).shape, shape) << name;
    for (float value : logits(student)) EXPECT_TRUE(std::isfinite(value));
  }
}

TEST(Student, DoesNotShareMemoryWithItsTeacher) {
  const Model teacher = toy_model({"red", "green"}, 1, 2, 32);
  Model student = make_student(teacher, "layers=0", 0);
  const float before = teacher.parameters.get("classifier.weight").data.data<float>()[0];
  student.parameters.get_mutable("classifier.weight").data.mutable_data<float>()[0] = before + 1;
  EXPECT_EQ(teacher.parameters.get("classifier.weight").data.data<float>()[0], before);
}

// Embeddings that lie in a subspace are kept whole by as many directions as it has.
TEST(Student, ProjectionKeepsDistancesWithinTheSubspace) {
  Model teacher = toy_model({"red", "green"}, 1, 2, 32);
  const std::string name = "bert.embeddings.word_embeddings.weight";
  Tensor table = teacher.parameters.get(name).decode().clone();
  const int64_t rows = table.dim(0);
  for (int64_t r = 0; r < rows; ++r) {
    float* row = table.mutable_data<float>() + r * 32;
    for (int64_t c = 0; c < 32; ++c) row[c] = std::sin(0.1f * static_cast<float>(c % 8) * static_cast<float>(r + 1));
  }
  teacher.parameters.set(name, EncodedTensor::dense(table));
  const Model student = make_student(teacher, "hidden=8", 0);
  const Tensor narrow = student.parameters.get(name).decode();
  for (int64_t a = 0; a < rows; ++a) {
    for (int64_t b = 0; b < a; ++b) {
      double wide_distance = 0;
      double narrow_distance = 0;
      for (int64_t c = 0; c < 32; ++c) {
        wide_distance += std::pow(table.data<float>()[a * 32 + c] - table.data<float>()[b * 32 + c], 2);
      }
      for (int64_t c = 0; c < 8; ++c) {
        narrow_distance += std::pow(narrow.data<float>()[a * 8 + c] - narrow.data<float>()[b * 8 + c], 2);
      }
      EXPECT_NEAR(narrow_distance, wide_distance, 1e-3);
    }
  }
}

}  // namespace
}  // namespace fettle
