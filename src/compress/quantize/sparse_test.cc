// What is quantized or cast stays sparse.
#include <gtest/gtest.h>

#include "base/scratch_folder.h"
#include "compress/quantize/cast.h"
#include "compress/quantize/dynamic.h"
#include "tensor/sparse.h"

namespace fettle {
namespace {

constexpr const char* kLinear = "bert.encoder.layer.0.intermediate.dense.weight";
constexpr const char* kOther = "bert.encoder.layer.0.output.dense.weight";

// Of one linear only every fifth quad is left.
Model thin_model() {
  ModelConfig config;
  config.vocab_size = 50;
  config.hidden_size = 64;
  config.max_positions = 20;
  config.layers.assign(1, {.n_heads = 4, .head_dim = 16, .intermediate_size = 96});
  config.labels = {"a", "b", "c"};
  Model model = make_model(config, nullptr, 5);
  Tensor values = model.parameters.get(kLinear).decode().clone();
  for (int64_t i = 0; i < values.size(); ++i) {
    if (i / 4 % 5 != 0) values.mutable_data<float>()[i] = 0;
  }
  model.parameters.set(kLinear, EncodedTensor::dense(values));
  return model;
}

TEST(QuantizeSparse, QuantizedAndCastModelsStaySparse) {
  Model model = thin_model();
  model.parameters.set(kLinear, to_smallest(model.parameters.get(kLinear)));
  Model cast = model;
  cast_parameters(cast, DType::kBF16);
  EXPECT_EQ(encoding_name(cast.parameters.get(kLinear).encoding), "bf16-4x1");
  EXPECT_EQ(encoding_name(cast.parameters.get(kOther).encoding), "bf16");

  Model int8 = model;
  quantize_dynamic(int8, {});
  EXPECT_EQ(encoding_name(int8.parameters.get(kLinear).encoding), "int8-4x1");
  EXPECT_EQ(encoding_name(int8.parameters.get(kOther).encoding), "int8-channel");
  Model dense = thin_model();
  dense.parameters.set(kLinear, encode(dense.parameters.get(kLinear).decode(), Encoding::int8_channel()));
  const Tensor expected = dense.parameters.get(kLinear).decode();
  const Tensor actual = int8.parameters.get(kLinear).decode();
  for (int64_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(actual.floats()[static_cast<size_t>(i)], expected.floats()[static_cast<size_t>(i)]);
  }

  const ScratchFolder scratch;
  save_model(int8, scratch / "m", false);
  EXPECT_EQ(load_model(scratch / "m").parameters.get(kLinear).encoding, int8.parameters.get(kLinear).encoding);
}

// Zeros of a model that says nothing of being sparse.
TEST(QuantizeSparse, QuantizeSeesZerosOfDenseModels) {
  Model model = thin_model();
  quantize_dynamic(model, {});
  EXPECT_EQ(encoding_name(model.parameters.get(kLinear).encoding), "int8-4x1");
  EXPECT_EQ(encoding_name(model.parameters.get(kOther).encoding), "int8-channel");
}

}  // namespace
}  // namespace fettle
