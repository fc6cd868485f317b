// Sparse models in files: what comes back, what other readers find, and what malformed files are told.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <functional>

#include "base/error.h"
#include "base/file.h"

#include "base/scratch_folder.h"
#include "format/safetensors.h"
#include "model/model.h"
#include "tensor/sparse.h"

namespace fettle {
namespace {

using testing::HasSubstr;

constexpr const char* kModule = "bert.encoder.layer.0.intermediate.dense";
const std::string kWeight = std::string(kModule) + ".weight";

ModelConfig small_config() {
  ModelConfig config;
  config.vocab_size = 50;
  config.hidden_size = 64;
  config.max_positions = 20;
  config.layers.assign(2, {.n_heads = 4, .head_dim = 16, .intermediate_size = 96});
  config.labels = {"a", "b", "c"};
  return config;
}

// Of every four neighbours the first two, and of 32 columns the even blocks, so that every pattern fits.
Tensor thinned(const Tensor& values) {
  Tensor out = values.clone();
  for (int64_t i = 0; i < out.size(); ++i) {
    const int64_t column = i % out.dim(1);
    if (column % 4 >= 2 || column / 32 % 2 == 1) out.mutable_data<float>()[i] = 0;
  }
  return out;
}

Model sparse_model(const Encoding& numbers, SparsePattern pattern) {
  Model model = make_model(small_config(), nullptr, 5);
  for (const std::string& name : model.parameters.names()) {
    if (!name.ends_with("dense.weight") || name.find("encoder") == std::string::npos) continue;
    const EncodedTensor dense = encode(thinned(model.parameters.get(name).decode()), numbers);
    model.parameters.set(name, to_sparse(dense, pattern));
  }
  return model;
}

void expect_same_bytes(const Tensor& a, const Tensor& b, const std::string& name) {
  ASSERT_EQ(a.defined(), b.defined()) << name;
  if (!a.defined()) return;
  ASSERT_EQ(a.shape(), b.shape()) << name;
  ASSERT_EQ(a.dtype(), b.dtype()) << name;
  EXPECT_EQ(0, std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.size_bytes()))) << name;
}

void expect_equal(const Model& a, const Model& b) {
  ASSERT_EQ(a.parameters.names(), b.parameters.names());
  for (const std::string& name : a.parameters.names()) {
    const EncodedTensor& first = a.parameters.get(name);
    const EncodedTensor& second = b.parameters.get(name);
    EXPECT_EQ(first.encoding, second.encoding) << name;
    expect_same_bytes(first.data, second.data, name);
    expect_same_bytes(first.scales, second.scales, name);
    expect_same_bytes(first.index, second.index, name);
  }
}

std::vector<Encoding> number_kinds() {
  Encoding weights_alone = Encoding::int8_channel();
  weights_alone.input_bits = 16;
  return {Encoding::dense(DType::kF32), Encoding::dense(DType::kBF16), Encoding::int8_channel(), weights_alone};
}

TEST(SparseIo, EveryPatternAndNumberComesBack) {
  const ScratchFolder scratch;
  int n = 0;
  for (const SparsePattern pattern : kSparsePatterns) {
    for (const Encoding& numbers : number_kinds()) {
      SCOPED_TRACE(encoding_name(Encoding::sparse(numbers, pattern)));
      const auto folder = scratch / std::to_string(n++);
      const Model model = sparse_model(numbers, pattern);
      const int64_t size_bytes = save_model(model, folder, false);
      const Model loaded = load_model(folder);
      expect_equal(loaded, model);
      EXPECT_FALSE(loaded.config.other.contains("quantization_config"));
      save_model(loaded, scratch / "again", true);
      EXPECT_EQ(read_file(scratch / "again" / "model.safetensors"), read_file(folder / "model.safetensors"));
      EXPECT_EQ(read_file(scratch / "again" / "config.json"), read_file(folder / "config.json"));
      Model dense = model;
      for (const std::string& name : dense.parameters.names()) {
        dense.parameters.set(name, to_dense(dense.parameters.get(name)));
      }
      EXPECT_LT(size_bytes, save_model(dense, scratch / "dense", true));
    }
  }
}

TEST(SparseIo, NamesAndConfigAreThoseOfCompressedTensors) {
  const ScratchFolder scratch;
  save_model(sparse_model(Encoding{}, SparsePattern::kBitmask), scratch / "m", false);
  const SafetensorsFile file = SafetensorsFile::open(scratch / "m" / "model.safetensors");
  const std::string module = kModule;
  EXPECT_FALSE(file.contains(kWeight));
  EXPECT_EQ(file.tensor(module + ".compressed").shape(), (Shape{96 * 16}));
  EXPECT_EQ(file.tensor(module + ".bitmask").shape(), (Shape{96, 8}));
  EXPECT_EQ(file.tensor(module + ".bitmask").dtype(), DType::kU8);
  EXPECT_EQ(file.tensor(module + ".row_offsets").data<int64_t>()[2], 32);
  EXPECT_EQ(file.tensor(module + ".shape").data<int64_t>()[0], 96);
  const Json quantization = read_json(scratch / "m" / "config.json")["quantization_config"];
  EXPECT_EQ(quantization["quant_method"], "compressed-tensors");
  EXPECT_EQ(quantization["sparsity_config"]["format"], "sparse-bitmask");
  EXPECT_EQ(quantization["sparsity_config"]["sparsity_structure"], "unstructured");
  EXPECT_THAT(quantization["sparsity_config"]["targets"].get<std::vector<std::string>>(), testing::Contains(module));
  EXPECT_FALSE(quantization.contains("config_groups"));

  save_model(sparse_model(Encoding::dense(DType::kBF16), SparsePattern::kTwoOfFour), scratch / "t", false);
  const SafetensorsFile two = SafetensorsFile::open(scratch / "t" / "model.safetensors");
  EXPECT_EQ(two.tensor(module + ".compressed").shape(), (Shape{96, 32}));
  EXPECT_EQ(two.tensor(module + ".bitmask").shape(), (Shape{96, 8}));
  EXPECT_EQ(two.tensor(module + ".shape").shape(), (Shape{2, 1}));
  EXPECT_FALSE(two.contains(module + ".row_offsets"));
  EXPECT_EQ(read_json(scratch / "t" / "config.json")["quantization_config"]["sparsity_config"]["format"],
            "sparse-24-bitmask");

  save_model(sparse_model(Encoding::int8_channel(), SparsePattern::kBlock4x1), scratch / "i", false);
  const Json integers = read_json(scratch / "i" / "config.json")["quantization_config"];
  EXPECT_EQ(integers["sparsity_config"]["format"], "fettle-block-4x1");
  EXPECT_EQ(integers["config_groups"]["group_0"]["weights"]["num_bits"], 8);
  const SafetensorsFile blocks = SafetensorsFile::open(scratch / "i" / "model.safetensors");
  EXPECT_EQ(blocks.tensor(kWeight + "_4x1_values").shape(), (Shape{96 * 8, 4}));
  EXPECT_EQ(blocks.tensor(kWeight + "_4x1_mask").shape(), (Shape{96, 2}));
  EXPECT_EQ(blocks.tensor(kWeight + "_scale").shape(), (Shape{96, 1}));
}

// What numpy makes of a sparse-bitmask file is what was stored.
TEST(SparseIo, NumpyUnpacksTheBitmask) {
  const ScratchFolder scratch;
  const Model model = sparse_model(Encoding{}, SparsePattern::kBitmask);
  save_model(model, scratch / "m", false);
  const SafetensorsFile file = SafetensorsFile::open(scratch / "m" / "model.safetensors");
  const Tensor& mask = file.tensor(std::string(kModule) + ".bitmask");
  const Tensor& kept = file.tensor(std::string(kModule) + ".compressed");
  const Tensor expected = model.parameters.get(kWeight).decode();
  int64_t n = 0;
  for (int64_t i = 0; i < expected.size(); ++i) {
    const bool bit = (mask.data<uint8_t>()[i / 8] >> (i % 8) & 1) != 0;
    ASSERT_EQ(expected.floats()[static_cast<size_t>(i)], bit ? kept.floats()[static_cast<size_t>(n++)] : 0.0f);
  }
  EXPECT_EQ(n, kept.size());
}

TEST(SparseIo, PatternsMayDifferFromModuleToModule) {
  const ScratchFolder scratch;
  Model model = sparse_model(Encoding::int8_channel(), SparsePattern::kBlock4x1);
  const std::string other = "bert.encoder.layer.1.output.dense.weight";
  model.parameters.set(
      other, to_sparse(EncodedTensor::dense(model.parameters.get(other).decode()), SparsePattern::kBlock32x32));
  save_model(model, scratch / "m", false);
  expect_equal(load_model(scratch / "m"), model);
}

class MalformedSparse : public testing::Test {
 protected:
  // The message that a change of one tensor of a saved model gives.
  std::string error_of(SparsePattern pattern, const Encoding& numbers, const std::string& tensor,
                       const std::function<Tensor(const Tensor&)>& change) {
    const auto folder = scratch_ / "m";
    save_model(sparse_model(numbers, pattern), folder, true);
    std::vector<NamedTensor> tensors;
    {
      const SafetensorsFile file = SafetensorsFile::open(folder / "model.safetensors");
      bool found = false;
      for (const std::string& name : file.names()) {
        Tensor value = file.tensor(name).clone();
        found = found || name == tensor;
        if (name == tensor) value = change(value);
        if (value.defined()) tensors.push_back({name, value});
      }
      EXPECT_TRUE(found) << tensor;
    }
    write_safetensors(folder / "model.safetensors", tensors, {});
    try {
      load_model(folder);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("model.safetensors"));
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      return error.what();
    }
    return "no error";
  }
  static Tensor flip(const Tensor& tensor) {
    Tensor changed = tensor.clone();
    changed.mutable_data<uint8_t>()[0] ^= 0x01;
    return changed;
  }

  const ScratchFolder scratch_;
  const std::string module_ = kModule;
};

TEST_F(MalformedSparse, CountsThatLie) {
  EXPECT_THAT(error_of(SparsePattern::kBitmask, {}, module_ + ".bitmask", flip), HasSubstr("the values are"));
  const auto other_offset = [](const Tensor& tensor) {
    Tensor changed = tensor.clone();
    changed.mutable_data<int64_t>()[5] = int64_t{1} << 60;
    return changed;
  };
  EXPECT_THAT(error_of(SparsePattern::kBitmask, {}, module_ + ".row_offsets", other_offset),
              HasSubstr("says that row 5 begins at"));
  const auto one_less = [](const Tensor& tensor) { return tensor.rows(0, tensor.dim(0) - 1).clone(); };
  for (const SparsePattern pattern : {SparsePattern::kBlock4x1, SparsePattern::kBlock32x32}) {
    const std::string form = fmt::format("{}_{}", kWeight, pattern_name(pattern));
    EXPECT_THAT(error_of(pattern, Encoding::int8_channel(), form + "_mask", flip), HasSubstr("the values are"));
    EXPECT_THAT(error_of(pattern, Encoding::int8_channel(), form + "_mask", one_less), HasSubstr("mask's bytes are"));
    EXPECT_THAT(error_of(pattern, Encoding::int8_channel(), form + "_values", one_less), HasSubstr("the values are"));
  }
}

TEST_F(MalformedSparse, IndicesOutOfRange) {
  const auto beyond = [](const Tensor& tensor) {
    Tensor changed = tensor.clone();
    changed.mutable_data<uint8_t>()[3] = 255;
    return changed;
  };
  EXPECT_THAT(error_of(SparsePattern::kTwoOfFour, Encoding::int8_channel(), kWeight + "_2of4_index", beyond),
              HasSubstr("is 255, not below 216"));
  EXPECT_THAT(error_of(SparsePattern::kTwoOfFour, {}, module_ + ".bitmask", beyond),
              HasSubstr("no mask of two of every four"));
}

TEST_F(MalformedSparse, ShapesTypesAndMissingParts) {
  const auto missing = [](const Tensor&) { return Tensor(); };
  EXPECT_THAT(error_of(SparsePattern::kBitmask, {}, module_ + ".bitmask", missing), HasSubstr("but no '"));
  EXPECT_THAT(error_of(SparsePattern::kBitmask, {}, module_ + ".shape", missing), HasSubstr("but no '"));
  // Without offsets it would be two of four.
  EXPECT_THAT(error_of(SparsePattern::kBitmask, {}, module_ + ".row_offsets", missing), HasSubstr("tensor '"));
  EXPECT_THAT(error_of(SparsePattern::kBlock4x1, Encoding::int8_channel(), kWeight + "_scale", missing),
              HasSubstr("is int8 but there is no"));
  const auto other_shape = [](const Tensor& tensor) {
    Tensor changed = tensor.clone();
    changed.mutable_data<int64_t>()[1] = 1 << 30;
    return changed;
  };
  EXPECT_THAT(error_of(SparsePattern::kBlock4x1, {}, kWeight + "_shape", other_shape), HasSubstr("the config needs"));
  const auto as_ints = [](const Tensor& tensor) { return Tensor(DType::kI32, tensor.shape()); };
  EXPECT_THAT(error_of(SparsePattern::kBlock4x1, {}, kWeight + "_4x1_values", as_ints), HasSubstr("is no parameter"));
  EXPECT_THAT(error_of(SparsePattern::kBlock4x1, {}, kWeight + "_4x1_mask", as_ints), HasSubstr("mask's bytes are"));
  EXPECT_THAT(error_of(SparsePattern::kBitmask, {}, module_ + ".shape", as_ints), HasSubstr("not two i64 numbers"));
}

TEST(SparseIo, UnknownFormatsAreNamed) {
  const ScratchFolder scratch;
  save_model(sparse_model(Encoding{}, SparsePattern::kBitmask), scratch / "m", false);
  Json config = read_json(scratch / "m" / "config.json");
  config["quantization_config"]["sparsity_config"]["format"] = "sparse-other";
  write_json(scratch / "m" / "config.json", config);
  try {
    load_model(scratch / "m");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("\"sparse-other\" is not supported"));
  }
}

}  // namespace
}  // namespace fettle
