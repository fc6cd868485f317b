// Dynamic int8 and casts: which parameters, which error, which size.
#include "compress/quantize/dynamic.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "compress/quantize/cast.h"
#include "compress/quantize/plan.h"
#include "runtime/session.h"
#include "train/test_models.h"

namespace fettle {
namespace {

using test::toy_model;

bool is_int8(const Model& model, const std::string& name) {
  return model.parameters.get(name).encoding == Encoding::int8_channel();
}

TEST(QuantizeDynamic, LinearWeightsOnly) {
  Model model = toy_model({"a", "b", "c"});
  const QuantizeReport report = quantize_dynamic(model, {});
  for (const std::string& name : model.parameters.names()) {
    const bool linear = name.find(".weight") != std::string::npos && name.find("embeddings") == std::string::npos &&
                        name.find("LayerNorm") == std::string::npos;
    EXPECT_EQ(is_int8(model, name), linear) << name;
  }
  // Six of each layer, pooler and classifier.
  EXPECT_EQ(report.layers.size(), 2u * 6 + 2);
}

TEST(QuantizeDynamic, EmbeddingsAndHeadByOption) {
  Model model = toy_model({"a", "b"});
  quantize_dynamic(model, {.embeddings = true, .head = false});
  EXPECT_TRUE(is_int8(model, "bert.embeddings.word_embeddings.weight"));
  EXPECT_TRUE(is_int8(model, "bert.embeddings.position_embeddings.weight"));
  EXPECT_TRUE(is_int8(model, "bert.encoder.layer.0.intermediate.dense.weight"));
  EXPECT_FALSE(is_int8(model, "classifier.weight"));
  EXPECT_FALSE(is_int8(model, "bert.pooler.dense.weight"));
}

TEST(QuantizeDynamic, EveryWeightWithinHalfAStep) {
  Model model = toy_model({"a", "b"});
  const Model original = model;
  quantize_dynamic(model, {.embeddings = true});
  for (const std::string& name : model.parameters.names()) {
    if (!is_int8(model, name)) continue;
    const Tensor before = original.parameters.get(name).decode();
    const Tensor after = model.parameters.get(name).decode();
    const int64_t width = before.dim(1);
    for (int64_t row = 0; row < before.dim(0); ++row) {
      const float* b = before.data<float>() + row * width;
      const float* a = after.data<float>() + row * width;
      float largest = 0;
      for (int64_t c = 0; c < width; ++c) largest = std::max(largest, std::abs(b[c]));
      const float step = largest / 127;
      for (int64_t c = 0; c < width; ++c) ASSERT_LE(std::abs(a[c] - b[c]), step * 0.5001f) << name;
    }
  }
}

TEST(QuantizeDynamic, ReportAddsUp) {
  Model model = toy_model({"a", "b"});
  const auto values = static_cast<double>(model.parameters.parameter_count());
  const QuantizeReport report = quantize_dynamic(model, {.embeddings = true});
  EXPECT_DOUBLE_EQ(report.size_mb_before, values * 4 / (1 << 20));
  EXPECT_DOUBLE_EQ(report.size_mb, static_cast<double>(model.parameters.size_bytes()) / (1 << 20));
  EXPECT_NEAR(report.bits_per_weight, 8 * static_cast<double>(model.parameters.size_bytes()) / values, 1e-9);
  EXPECT_GT(report.bits_per_weight, 8);
  for (const LayerQuantization& layer : report.layers) {
    EXPECT_GT(layer.cosine, 0.9999) << layer.name;
    EXPECT_GT(layer.rmse, 0) << layer.name;
  }
}

TEST(QuantizeDynamic, FourBitsForTheEncoderOnly) {
  for (const int input_bits : {8, 16}) {
    Model model = toy_model({"a", "b", "c"});
    const QuantizeReport report =
        quantize_dynamic(model, {.embeddings = true, .bits = 4, .group_size = 64, .input_bits = input_bits});
    for (const LayerQuantization& layer : report.layers) {
      const bool encoder = layer.name.find("encoder.") != std::string::npos;
      EXPECT_EQ(layer.encoding, encoder ? "int4-group64" : "int8-channel") << layer.name;
      EXPECT_GT(layer.cosine, encoder ? 0.985 : 0.9999) << layer.name;
      if (!encoder) continue;
      const Encoding& encoding = model.parameters.get(layer.name).encoding;
      EXPECT_EQ(encoding, Encoding::int4_group(64, input_bits)) << layer.name;
    }
    EXPECT_EQ(report.layers.size(), 2u * 6 + 2 + 3);
  }
}

TEST(QuantizeDynamic, EncodingsThatOptionsMean) {
  const auto names = [](const QuantizeOptions& options) {
    Model model = toy_model({"a", "b", "c"});
    quantize_dynamic(model, options);
    const auto name_of = [&](const std::string& name) {
      const Encoding& encoding = model.parameters.get(name).encoding;
      return encoding_name(encoding) + "/" + std::to_string(encoding.input_bits);
    };
    return name_of("bert.encoder.layer.0.intermediate.dense.weight") + " " + name_of("classifier.weight") + " " +
           name_of("bert.embeddings.word_embeddings.weight");
  };
  EXPECT_EQ(names({}), "int8-channel/8 int8-channel/8 f32/0");
  EXPECT_EQ(names({.input_bits = 16}), "int8-channel/16 int8-channel/8 f32/0");
  EXPECT_EQ(names({.per_tensor = true}), "int8-tensor/8 int8-channel/8 f32/0");
  EXPECT_EQ(names({.group_size = 32}), "int8-group32/8 int8-channel/8 f32/0");
  EXPECT_EQ(names({.asymmetric = true}), "int8-channel-zp/8 int8-channel/8 f32/0");
  EXPECT_EQ(names({.bits = 6}), "int6-group32/8 int8-channel/8 f32/0");
  EXPECT_EQ(names({.bits = 3, .group_size = 0, .input_bits = 16}), "int3-channel/16 int8-channel/8 f32/0");
  EXPECT_EQ(names({.bits = 2, .group_size = 64, .asymmetric = true}), "int2-group64-zp/8 int8-channel/8 f32/0");
  EXPECT_EQ(names({.embeddings = true, .bits = 4, .embedding_bits = 4, .head_bits = 6}),
            "int4-group32/8 int6-group32/8 int4-group32/16");
  EXPECT_EQ(names({.embeddings = true, .embedding_bits = 4}), "int8-channel/8 int8-channel/8 int4-group32/16");
  EXPECT_EQ(names({.head = false}), "int8-channel/8 f32/0 f32/0");
}

TEST(QuantizeDynamic, GroupsThatDoNotDivideAreNamed) {
  const Model model = toy_model({"a", "b", "c"});
  require_whole_groups(model, make_plan(model, {.bits = 4}));
  require_whole_groups(model, make_plan(model, {.bits = 4, .group_size = 0}));
  try {
    require_whole_groups(model, make_plan(model, {.bits = 4, .group_size = 48}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    EXPECT_NE(std::string(error.what()).find("groups of 48 do not divide its"), std::string::npos) << error.what();
  }
}

TEST(QuantizeDynamic, ReportDescribesTheWeights) {
  Model model = toy_model({"a", "b", "c"});
  const std::string name = "bert.encoder.layer.0.intermediate.dense.weight";
  Tensor values = model.parameters.get(name).decode().clone();
  values.mutable_data<float>()[5] = 40;
  model.parameters.set(name, EncodedTensor::dense(values));
  const QuantizeReport report = quantize_dynamic(model, {.bits = 3, .group_size = 64});
  for (const LayerQuantization& layer : report.layers) {
    const auto n = static_cast<double>(element_count(layer.shape));
    int64_t total = 0;
    for (const int64_t count : layer.histogram) total += count;
    EXPECT_EQ(total, element_count(layer.shape));
    EXPECT_NEAR(layer.bits_per_weight, 8 * static_cast<double>(model.parameters.get(layer.name).size_bytes()) / n,
                1e-9);
    EXPECT_EQ(layer.input_bits, 8);
    if (layer.name != name) continue;
    EXPECT_EQ(layer.largest, 40);
    EXPECT_NEAR(layer.outlier_ratio, 1 / n, 1e-12);
    EXPECT_EQ(layer.histogram.back(), 1);
    EXPECT_GT(layer.histogram[layer.histogram.size() / 2], element_count(layer.shape) / 2);
  }
}

TEST(QuantizeDynamic, AgainChangesNothing) {
  Model model = toy_model({"a", "b"});
  quantize_dynamic(model, {});
  const std::string once = test::weight_bytes(model);
  EXPECT_TRUE(quantize_dynamic(model, {}).layers.empty());
  EXPECT_EQ(test::weight_bytes(model), once);
}

TEST(QuantizeDynamic, AnswersStayClose) {
  const auto plain = std::make_shared<Model>(toy_model({"a", "b", "c"}));
  const auto small = std::make_shared<Model>(*plain);
  quantize_dynamic(*small, {.embeddings = true});
  const std::vector<std::string> texts = {"the red house", "two big tree"};
  Session exact(plain);
  Session quantized(small);
  const Tensor a = exact.classify_texts(texts);
  const Tensor b = quantized.classify_texts(texts);
  ASSERT_EQ(a.size(), b.size());
  double largest = 0;
  double error = 0;
  for (int64_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, static_cast<double>(std::abs(a.data<float>()[i])));
    error = std::max(error, static_cast<double>(std::abs(a.data<float>()[i] - b.data<float>()[i])));
  }
  EXPECT_GT(error, 0);
  EXPECT_LT(error, 0.05 * largest + 0.01);
}

// What is stored decides: the kernels, with all projections of a layer packed as one, against decoded weights in f32.
TEST(QuantizeDynamic, FourBitAnswersAreThoseOfTheDecodedWeights) {
  const std::vector<std::string> texts = {"the red house", "two big tree"};
  for (const int input_bits : {8, 16}) {
    for (const int group_size : {8, 32, 64}) {
      const auto small = std::make_shared<Model>(toy_model({"a", "b", "c"}));
      const Model plain = *small;
      quantize_dynamic(*small, {.head = false, .bits = 4, .group_size = group_size, .input_bits = input_bits});
      const auto decoded = std::make_shared<Model>(*small);
      for (const std::string& name : decoded->parameters.names()) {
        decoded->parameters.set(name, EncodedTensor::dense(small->parameters.get(name).decode()));
      }
      Session exact(decoded);
      const Tensor expected = exact.classify_texts(texts);
      const Tensor original = Session(std::make_shared<Model>(plain)).classify_texts(texts);
      for (const bool fast_path : {true, false}) {
        Session session(small, {.fast_path = fast_path});
        const Tensor logits = session.classify_texts(texts);
        ASSERT_EQ(logits.size(), expected.size());
        double error = 0;
        double change = 0;
        for (int64_t i = 0; i < logits.size(); ++i) {
          error += std::pow(logits.data<float>()[i] - expected.data<float>()[i], 2);
          change += std::pow(original.data<float>()[i] - expected.data<float>()[i], 2);
        }
        EXPECT_LT(error, 0.1 * change) << input_bits << " " << group_size << " " << fast_path;
      }
    }
  }
}

TEST(CastParameters, HalvesEveryParameter) {
  for (DType dtype : {DType::kBF16, DType::kF16}) {
    Model model = toy_model({"a", "b"});
    const Model original = model;
    const QuantizeReport report = cast_parameters(model, dtype);
    EXPECT_DOUBLE_EQ(report.size_mb * 2, report.size_mb_before);
    const double relative = dtype == DType::kBF16 ? 1.0 / 256 : 1.0 / 2048;
    for (const std::string& name : model.parameters.names()) {
      const Tensor before = original.parameters.get(name).decode();
      const Tensor after = model.parameters.get(name).decode();
      for (int64_t i = 0; i < before.size(); ++i) {
        const double value = before.data<float>()[i];
        ASSERT_NEAR(after.data<float>()[i], value, std::abs(value) * relative + 1e-7) << name;
      }
    }
  }
}

}  // namespace
}  // namespace fettle
