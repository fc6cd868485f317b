// The fast path gives what the slow path gives: every family, instruction set and encoding, on random ragged batches;
// and a sequence's answer does not depend on what else is in its batch.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/philox.h"
#include "kernels/dispatch.h"
#include "runtime/session.h"
#include "runtime/test_graphs.h"

namespace fettle {
namespace {

struct Format {
  std::string name;
  Encoding encoding;
  Precision precision = Precision::kF32;
  // Of the largest logit. Rounding of inputs to few bits turns small differences of sums into steps.
  double slow_tolerance = 0;
  bool same_bits_alone = false;
};

std::vector<Format> formats() {
  const Encoding f32 = Encoding::dense(DType::kF32);
  Encoding int8_weights_alone = Encoding::int8_channel();
  int8_weights_alone.input_bits = 16;
  return {{.name = "f32", .encoding = f32, .slow_tolerance = 2e-5},
          {.name = "bf16", .encoding = f32, .precision = Precision::kBF16, .slow_tolerance = 0.05},
          {.name = "int8", .encoding = Encoding::int8_channel(), .slow_tolerance = 0.05, .same_bits_alone = true},
          {.name = "int4, 8-bit inputs",
           .encoding = Encoding::int4_group(32, 8),
           .slow_tolerance = 0.05,
           .same_bits_alone = true},
          {.name = "int8, 16-bit inputs", .encoding = int8_weights_alone, .slow_tolerance = 0.05},
          {.name = "int4, 16-bit inputs", .encoding = Encoding::int4_group(32, 16), .slow_tolerance = 0.05}};
}

std::shared_ptr<const Model> random_model(const ModelConfig& config, const Format& format) {
  Model model = test::random_model(config, 1);
  for (const std::string& name : model.parameters.names()) {
    const EncodedTensor& value = model.parameters.get(name);
    // "layer.0." or, of ALBERT, "albert_layers.0."
    const bool is_layer = name.find("layer.") != std::string::npos || name.find("layers.") != std::string::npos;
    if (value.shape.size() == 2 && is_layer) model.parameters.set(name, encode(value.decode(), format.encoding));
  }
  return std::make_shared<const Model>(std::move(model));
}

RaggedBatch random_batch(uint64_t seed) {
  Philox random(seed);
  std::vector<int64_t> lengths(1 + random.below(6));
  for (int64_t& length : lengths) length = static_cast<int64_t>(1 + random.below(random.below(2) == 0 ? 8 : 36));
  return test::random_batch(lengths, 97, seed);
}

std::vector<float> logits(Session& session, const RaggedBatch& batch) {
  const Tensor result = session.classify(batch);
  return {result.floats().begin(), result.floats().end()};
}

double largest(const std::vector<float>& values) {
  double result = 0;
  for (const float value : values) result = std::max(result, double{std::fabs(value)});
  return result;
}

class FastPath : public testing::TestWithParam<const KernelTable*> {};

TEST_P(FastPath, IsTheSlowPath) {
  for (const Architecture architecture : test::kArchitectures) {
    for (const Format& format : formats()) {
      SCOPED_TRACE(testing::Message() << format.name << ", architecture " << static_cast<int>(architecture));
      const auto model = random_model(test::small_config(architecture, 5), format);
      SessionOptions options{.n_threads = 1, .isa = std::string(GetParam()->name), .precision = format.precision};
      Session fast(model, options);
      options.fast_path = false;
      Session slow(model, options);
      for (uint64_t seed = 1; seed <= 3; ++seed) {
        const RaggedBatch batch = random_batch(seed);
        const std::vector<float> expected = logits(slow, batch);
        const std::vector<float> actual = logits(fast, batch);
        ASSERT_EQ(actual.size(), expected.size());
        const double tolerance = format.slow_tolerance * largest(expected);
        for (size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], tolerance) << "batch " << seed;
      }
    }
  }
}

TEST_P(FastPath, SequencesDoNotSeeTheirBatch) {
  for (const Architecture architecture : test::kArchitectures) {
    for (const Format& format : formats()) {
      SCOPED_TRACE(testing::Message() << format.name << ", architecture " << static_cast<int>(architecture));
      const auto model = random_model(test::small_config(architecture, 5), format);
      Session session(model, {.n_threads = 2, .isa = std::string(GetParam()->name), .precision = format.precision});
      const RaggedBatch batch = random_batch(9);
      const std::vector<float> together = logits(session, batch);
      for (int64_t s = 0; s < batch.n_sequences(); ++s) {
        RaggedBatch one;
        one.assign(batch, s, s + 1);
        const std::vector<float> alone = logits(session, one);
        for (size_t i = 0; i < alone.size(); ++i) {
          const float expected = together[static_cast<size_t>(s) * alone.size() + i];
          if (format.same_bits_alone) {
            ASSERT_EQ(alone[i], expected);
          } else {
            ASSERT_NEAR(alone[i], expected, 1e-5 * (1 + std::fabs(expected)));
          }
        }
      }
    }
  }
}

// A layer of XLM-R large is 1024 wide. The whole model's shapes are tested by model/large_shapes_test.cc.
TEST(FastPathOfXlmRobertaLarge, IsTheSlowPath) {
  ModelConfig config = make_encoder_config(1, 1024, 97);
  test::set_architecture(config, Architecture::kXlmRoberta);
  config.n_token_types = 2;  // the batches have two
  config.max_positions = 40;
  config.labels = {"a", "b", "c"};
  for (const Format& format : formats()) {
    SCOPED_TRACE(format.name);
    const auto model = random_model(config, format);
    Session fast(model, {.n_threads = 2, .precision = format.precision});
    Session slow(model, {.n_threads = 2, .fast_path = false, .precision = format.precision});
    const RaggedBatch batch = random_batch(4);
    const std::vector<float> expected = logits(slow, batch);
    const std::vector<float> actual = logits(fast, batch);
    ASSERT_EQ(actual.size(), expected.size());
    const double tolerance = format.slow_tolerance * largest(expected);
    for (size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, FastPath, testing::ValuesIn(supported_tables().begin(), supported_tables().end()),
                         [](const auto& table) { return std::string(table.param->name); });

}  // namespace
}  // namespace fettle
