#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/philox.h"
#include "base/scratch_folder.h"
#include "format/safetensors.h"
#include "model/model.h"

namespace fettle {
namespace {

using testing::HasSubstr;

ModelConfig small_config(Architecture architecture, std::vector<std::string> labels) {
  ModelConfig config = make_encoder_config(2, 64, 120);
  config.architecture = architecture;
  config.n_token_types = architecture == Architecture::kDistilBert ? 0 : 2;
  if (architecture == Architecture::kAlbert) config.embedding_size = 16;
  config.max_positions = 32;
  config.labels = std::move(labels);
  return config;
}

void expect_equal(const EncodedTensor& a, const EncodedTensor& b, const std::string& name) {
  EXPECT_EQ(a.encoding, b.encoding) << name;
  EXPECT_EQ(a.shape, b.shape) << name;
  ASSERT_EQ(a.data.size_bytes(), b.data.size_bytes()) << name;
  EXPECT_EQ(0, std::memcmp(a.data.raw(), b.data.raw(), static_cast<size_t>(a.data.size_bytes()))) << name;
  ASSERT_EQ(a.scales.shape(), b.scales.shape()) << name;
  ASSERT_EQ(a.scales.dtype(), b.scales.dtype()) << name;
  EXPECT_EQ(0, std::memcmp(a.scales.raw(), b.scales.raw(), static_cast<size_t>(a.scales.size_bytes()))) << name;
  EXPECT_EQ(a.input_scale, b.input_scale) << name;
  ASSERT_EQ(a.zeros.shape(), b.zeros.shape()) << name;
  EXPECT_EQ(0, std::memcmp(a.zeros.raw(), b.zeros.raw(), static_cast<size_t>(a.zeros.size_bytes()))) << name;
}

void expect_equal(const Model& a, const Model& b) {
  EXPECT_EQ(a.parameters.parameter_count(), b.parameters.parameter_count());
  for (const std::string& name : b.parameters.names())
    expect_equal(a.parameters.get(name), b.parameters.get(name), name);
  EXPECT_EQ(a.config.labels, b.config.labels);
  EXPECT_EQ(a.config.layers, b.config.layers);
}

// Rewrites the tensors of a saved model.
void change_weights(const std::filesystem::path& folder, const std::function<void(std::vector<NamedTensor>&)>& change) {
  std::vector<NamedTensor> tensors;
  {
    const SafetensorsFile file = SafetensorsFile::open(folder / "model.safetensors");
    for (const std::string& name : file.names()) tensors.push_back({name, file.tensor(name).clone()});
  }
  change(tensors);
  write_safetensors(folder / "model.safetensors", tensors);
}

void change_config(const std::filesystem::path& folder, const std::function<void(Json&)>& change) {
  Json json = read_json(folder / "config.json");
  change(json);
  write_json(folder / "config.json", json);
}

std::string error_of(const std::filesystem::path& folder, const LoadOptions& options = {}) {
  try {
    load_model(folder, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    return error.what();
  }
  return "loaded";
}

TEST(ModelIo, WhatIsSavedLoadsAgain) {
  const ScratchFolder scratch;
  for (const Architecture architecture : {Architecture::kBert, Architecture::kDistilBert, Architecture::kRoberta,
                                          Architecture::kXlmRoberta, Architecture::kAlbert}) {
    for (const bool has_labels : {true, false}) {
      const auto folder =
          scratch / ("model" + std::to_string(static_cast<int>(architecture)) + (has_labels ? "c" : "m"));
      const Model model = make_model(
          small_config(architecture, has_labels ? std::vector<std::string>{"a", "b", "c"} : std::vector<std::string>{}),
          nullptr, 5);
      const int64_t size_bytes = save_model(model, folder, false);
      EXPECT_EQ(size_bytes, size_on_disk(folder / "model.safetensors"));
      EXPECT_GT(size_bytes, model.parameters.size_bytes());
      const Model loaded = load_model(folder);
      expect_equal(loaded, model);
      EXPECT_EQ(loaded.source, folder);
      EXPECT_FALSE(loaded.parameters.get(loaded.parameters.names()[0]).data.writable()) << "not mapped";
      const std::string head = read_json(folder / "config.json")["architectures"][0];
      EXPECT_TRUE(head.ends_with(has_labels ? "ForSequenceClassification" : "ForMaskedLM")) << head;
    }
  }
}

TEST(ModelIo, LayersOfUnequalWidthLoadAgain) {
  const ScratchFolder scratch;
  ModelConfig config = small_config(Architecture::kBert, {"a", "b"});
  config.layers[1] = {.n_heads = 3, .head_dim = 8, .intermediate_size = 33};
  const Model model = make_model(config, nullptr, 5);
  EXPECT_EQ(model.parameters.get("bert.encoder.layer.1.attention.output.dense.weight").shape, (Shape{64, 24}));
  save_model(model, scratch / "m", false);
  expect_equal(load_model(scratch / "m"), model);
}

TEST(ModelIo, SameModelSameBytes) {
  const ScratchFolder scratch;
  for (const char* name : {"a", "b"}) {
    Model model = make_model(small_config(Architecture::kBert, {"x", "y"}), nullptr, 9);
    model.manifest["steps"] = Json::array({{{"verb", "train"}}});
    save_model(model, scratch / name, false);
  }
  for (const char* file : {"config.json", "model.safetensors", "fettle.json"}) {
    EXPECT_EQ(read_file(scratch / "a" / file), read_file(scratch / "b" / file)) << file;
  }
}

TEST(ModelIo, Int8ModelsKeepTheirEncodingAndSaySo) {
  const ScratchFolder scratch;
  Model model = make_model(small_config(Architecture::kBert, {"a", "b", "c"}), nullptr, 5);
  const std::string linear = "bert.encoder.layer.0.intermediate.dense.weight";
  const std::string table = "bert.embeddings.word_embeddings.weight";
  for (const std::string& name : {linear, table}) {
    model.parameters.set(name, encode(model.parameters.get(name).decode(), Encoding::int8_channel()));
  }
  save_model(model, scratch / "m", false);
  const Model loaded = load_model(scratch / "m");
  expect_equal(loaded, model);
  EXPECT_FALSE(loaded.config.other.contains("quantization_config"));

  const Json quantization = read_json(scratch / "m" / "config.json")["quantization_config"];
  EXPECT_EQ(quantization["quant_method"], "compressed-tensors");
  EXPECT_EQ(quantization["config_groups"]["group_0"]["targets"][0], "Linear");
  EXPECT_EQ(quantization["config_groups"]["group_1"]["targets"][0], "Embedding");
  const std::vector<std::string> ignored = quantization["ignore"];
  EXPECT_THAT(ignored, testing::Contains("classifier"));
  EXPECT_THAT(ignored, testing::Contains("bert.embeddings.position_embeddings"));
  EXPECT_THAT(ignored, testing::Not(testing::Contains("bert.encoder.layer.0.intermediate.dense")));
  const SafetensorsFile file = SafetensorsFile::open(scratch / "m" / "model.safetensors");
  EXPECT_EQ(file.tensor(linear).dtype(), DType::kI8);
  EXPECT_EQ(file.tensor(linear + "_scale").shape(), (Shape{256, 1}));
}

// Linears of 4 bits but for some, tables and classifier as asked.
Model int4_model(int group_size, int input_bits) {
  Model model = make_model(small_config(Architecture::kBert, {"a", "b", "c"}), nullptr, 5);
  for (const std::string& name : model.parameters.names()) {
    if (!name.ends_with("dense.weight") || name.find("encoder") == std::string::npos) continue;
    model.parameters.set(name,
                         encode(model.parameters.get(name).decode(), Encoding::int4_group(group_size, input_bits)));
  }
  return model;
}

constexpr const char* kInt4Linear = "bert.encoder.layer.0.intermediate.dense.weight";

TEST(ModelIo, FourBitModelsKeepTheirEncodingAndSaySo) {
  const ScratchFolder scratch;
  for (const int input_bits : {8, 16}) {
    // The last group of a row is shorter with 48 columns a group.
    for (const int group_size : {32, 48}) {
      const auto folder = scratch / fmt::format("m{}-{}", input_bits, group_size);
      const Model model = int4_model(group_size, input_bits);
      save_model(model, folder, false);
      const Model loaded = load_model(folder);
      expect_equal(loaded, model);
      EXPECT_FALSE(loaded.parameters.get(kInt4Linear).data.writable()) << "not mapped";

      const Json quantization = read_json(folder / "config.json")["quantization_config"];
      EXPECT_EQ(quantization["format"], "pack-quantized");
      const Json& group = quantization["config_groups"]["group_0"];
      EXPECT_EQ(quantization["config_groups"].size(), 1u);
      EXPECT_EQ(group["targets"], Json::array({"Linear"}));
      EXPECT_EQ(group["weights"]["num_bits"], 4);
      EXPECT_EQ(group["weights"]["group_size"], group_size);
      EXPECT_EQ(group["weights"]["strategy"], "group");
      EXPECT_EQ(group["weights"]["symmetric"], true);
      EXPECT_EQ(group["input_activations"].is_null(), input_bits == 16);
      EXPECT_FALSE(group.contains("format"));
      const std::vector<std::string> ignored = quantization["ignore"];
      EXPECT_THAT(ignored, testing::Contains("bert.encoder.layer.0.attention.self.query"));

      const SafetensorsFile file = SafetensorsFile::open(folder / "model.safetensors");
      const std::string name = kInt4Linear;
      EXPECT_FALSE(file.contains(name));
      EXPECT_EQ(file.tensor(name + "_packed").dtype(), DType::kI32);
      EXPECT_EQ(file.tensor(name + "_packed").shape(), (Shape{256, 8}));
      EXPECT_EQ(file.tensor(name + "_scale").shape(), (Shape{256, 2}));
      EXPECT_EQ(file.tensor(name + "_shape").data<int64_t>()[0], 256);
      EXPECT_EQ(file.tensor(name + "_shape").data<int64_t>()[1], 64);
    }
  }
}

// Int8 weights whose inputs are not quantized, as other programs write them.
TEST(ModelIo, Int8WeightsAlone) {
  const ScratchFolder scratch;
  const auto folder = scratch / "m";
  Model model = make_model(small_config(Architecture::kBert, {"a", "b", "c"}), nullptr, 5);
  const std::string linear = "bert.encoder.layer.0.intermediate.dense.weight";
  const std::string table = "bert.embeddings.word_embeddings.weight";
  for (const std::string& name : {linear, table}) {
    model.parameters.set(name, encode(model.parameters.get(name).decode(), Encoding::int8_channel()));
  }
  save_model(model, folder, false);
  const auto with_inputs = [&](const Json& inputs) {
    change_config(folder, [&](Json& json) {
      json["quantization_config"]["config_groups"]["group_0"]["input_activations"] = inputs;
    });
  };
  with_inputs(nullptr);
  const Model loaded = load_model(folder);
  Encoding weights_alone = Encoding::int8_channel();
  weights_alone.input_bits = 16;
  EXPECT_EQ(loaded.parameters.get(linear).encoding, weights_alone);
  EXPECT_EQ(loaded.parameters.get(table).encoding, Encoding::int8_channel());
  save_model(loaded, scratch / "again", false);
  expect_equal(load_model(scratch / "again"), loaded);
  EXPECT_TRUE(read_json(scratch / "again" /
                        "config.json")["quantization_config"]["config_groups"]["group_0"]["input_activations"]
                  .is_null());

  // Inputs quantized otherwise than fettle does are not taken for what it does.
  with_inputs({{"num_bits", 8}, {"type", "int"}, {"strategy", "tensor"}, {"symmetric", true}, {"dynamic", true}});
  EXPECT_THAT(error_of(folder), HasSubstr("input_activations: are not supported"));
  // A group for embeddings only says nothing of linears.
  with_inputs(nullptr);
  change_config(folder, [](Json& json) { json["quantization_config"]["config_groups"].erase("group_0"); });
  EXPECT_THAT(error_of(folder), HasSubstr("no int8 group"));
}

TEST(ModelIo, EncodingsMayDifferFromModuleToModule) {
  const ScratchFolder scratch;
  Model model = int4_model(32, 8);
  const auto change = [&](const std::string& name, const Encoding& encoding) {
    model.parameters.set(name, encode(model.parameters.get(name).decode(), encoding));
  };
  change("bert.encoder.layer.1.output.dense.weight", Encoding::int4_group(16, 16));
  change("bert.embeddings.word_embeddings.weight", Encoding::int8_channel());
  change("bert.pooler.dense.weight", Encoding::int8_channel());
  save_model(model, scratch / "m", false);
  expect_equal(load_model(scratch / "m"), model);

  const Json quantization = read_json(scratch / "m" / "config.json")["quantization_config"];
  EXPECT_EQ(quantization["format"], "mixed-precision");
  std::vector<std::string> described;
  for (const auto& [name, group] : quantization["config_groups"].items()) {
    described.push_back(group["targets"][0].get<std::string>() + " " + group["format"].get<std::string>());
  }
  EXPECT_EQ(described,
            (std::vector<std::string>{"Linear pack-quantized", "bert.encoder.layer.1.output.dense pack-quantized",
                                      "bert.pooler.dense int-quantized", "Embedding int-quantized"}));
}

TEST(ModelIo, MalformedFourBitFoldersAreNamed) {
  const ScratchFolder scratch;
  const auto folder = scratch / "m";
  const Model model = int4_model(32, 8);
  const std::string name = kInt4Linear;
  const auto with_tensor = [&](const std::string& suffix, const std::optional<Tensor>& value) {
    save_model(model, folder, true);
    change_weights(folder, [&](std::vector<NamedTensor>& tensors) {
      std::erase_if(tensors, [&](const NamedTensor& tensor) { return tensor.name == name + suffix; });
      if (value) tensors.push_back({name + suffix, *value});
    });
    return error_of(folder);
  };
  const auto with_group = [&](const std::function<void(Json&)>& change) {
    save_model(model, folder, true);
    change_config(folder, [&](Json& json) { change(json["quantization_config"]["config_groups"]["group_0"]); });
    return error_of(folder);
  };
  using testing::AllOf;
  EXPECT_THAT(with_tensor("_packed", std::nullopt), HasSubstr("has no tensor '" + name + "'"));
  EXPECT_THAT(with_tensor("_packed", Tensor(DType::kI32, {256, 9})),
              AllOf(HasSubstr("[256, 9]"), HasSubstr("[256, 8]")));
  EXPECT_THAT(with_tensor("_packed", Tensor(DType::kF32, {256, 8})), HasSubstr("f32"));
  EXPECT_THAT(with_tensor("_scale", std::nullopt), HasSubstr(name + "_scale"));
  EXPECT_THAT(with_tensor("_scale", Tensor(DType::kF32, {256, 1})), HasSubstr("[256, 2], one for each 32 columns"));
  EXPECT_THAT(with_tensor("_scale", Tensor(DType::kI32, {256, 2})), HasSubstr("i32"));
  EXPECT_THAT(with_tensor("_scale", Tensor(DType::kF32, {})), HasSubstr(name + "_scale"));
  EXPECT_THAT(with_tensor("_shape", std::nullopt), HasSubstr(name + "_shape"));
  EXPECT_THAT(with_tensor("_shape", Tensor(DType::kI64, {2})), HasSubstr("[0, 0], the config needs [256, 64]"));
  EXPECT_THAT(with_tensor("_shape", Tensor(DType::kI64, {})), HasSubstr("two i64 numbers"));
  EXPECT_THAT(with_tensor("_zero_point", Tensor(DType::kI32, {32, 2})), HasSubstr("is symmetric"));
  EXPECT_THAT(with_tensor("_g_idx", Tensor(DType::kI32, {64})), HasSubstr("own order"));

  EXPECT_THAT(with_group([](Json& group) { group["weights"]["group_size"] = 12; }), HasSubstr("a multiple of 8"));
  EXPECT_THAT(with_group([](Json& group) { group["weights"]["group_size"] = 0; }), HasSubstr("group_size"));
  EXPECT_THAT(with_group([](Json& group) { group["weights"].erase("group_size"); }), HasSubstr("group_size"));
  EXPECT_THAT(with_group([](Json& group) { group["weights"]["symmetric"] = false; }),
              HasSubstr("dense.weight_zero_point"));
  EXPECT_THAT(with_group([](Json& group) { group["weights"]["num_bits"] = 3; }), HasSubstr("[64, 7] for 3 bits"));
  EXPECT_THAT(with_group([](Json& group) { group["weights"]["num_bits"] = 5; }), HasSubstr("2, 3, 4, 6 or 8 bits"));
  EXPECT_THAT(with_group([](Json& group) { group["weights"]["type"] = "float"; }), HasSubstr("4-bit float"));
  EXPECT_THAT(with_group([](Json& group) { group["weights"]["strategy"] = "block"; }), HasSubstr("per block"));
  EXPECT_THAT(with_group([](Json& group) { group["input_activations"]["dynamic"] = false; }),
              HasSubstr("input_activations"));
  EXPECT_THAT(with_group([](Json& group) {
                group["input_activations"]["dynamic"] = false;
                group["input_activations"]["strategy"] = "tensor";
              }),
              HasSubstr("dense.input_scale"));
  EXPECT_THAT(with_group([](Json& group) { group["targets"] = 3; }), HasSubstr("targets"));
  EXPECT_THAT(with_group([](Json& group) {
                group["weights"] = {{"num_bits", 8}, {"strategy", "channel"}};
                group["format"] = "int-quantized";
              }),
              AllOf(HasSubstr("_packed"), HasSubstr("no packed group")));
  // A scheme for some module alone is for all when it is the only one.
  EXPECT_EQ(with_group([](Json& group) { group["targets"] = Json::array({"re:.*dense$"}); }), "loaded");
  save_model(model, folder, true);
  change_config(folder, [](Json& json) { json.erase("quantization_config"); });
  EXPECT_THAT(error_of(folder), HasSubstr("no packed group"));
}

// Every way in which integers are stored.
std::vector<Encoding> all_schemes() {
  std::vector<Encoding> all;
  for (const int input_bits : {8, 16}) {
    Encoding encoding = Encoding::int8_channel();
    encoding.input_bits = input_bits;
    all.push_back(encoding);
    encoding.per_tensor = true;
    all.push_back(encoding);
    for (const int bits : {2, 3, 4, 6, 8}) {
      for (const int group : {0, 32, 48}) {
        for (const bool asymmetric : {false, true}) {
          all.push_back({.kind = EncodingKind::kIntGroup,
                         .bits = bits,
                         .group_size = group,
                         .asymmetric = asymmetric,
                         .input_bits = input_bits});
        }
      }
    }
  }
  for (Encoding& encoding : std::vector<Encoding>(all)) {
    if (encoding.input_bits != 8) continue;
    encoding.static_input = true;
    all.push_back(encoding);
  }
  return all;
}

// One linear and the word table of a scheme, the linear's inputs with a scale of their own where it wants one.
Model model_of(const Encoding& encoding) {
  Model model = make_model(small_config(Architecture::kBert, {"a", "b", "c"}), nullptr, 5);
  EncodedTensor linear = encode(model.parameters.get(kInt4Linear).decode(), encoding);
  if (encoding.static_input) linear.input_scale = 0.015625f;
  model.parameters.set(kInt4Linear, linear);
  const std::string table = "bert.embeddings.word_embeddings.weight";
  Encoding of_table = encoding;
  of_table.static_input = false;
  of_table.input_bits = encoding.kind == EncodingKind::kIntGroup ? 16 : 8;
  of_table.per_tensor = false;
  model.parameters.set(table, encode(model.parameters.get(table).decode(), of_table));
  return model;
}

TEST(ModelIo, EverySchemeLoadsAgainAndSaysWhatItIs) {
  const ScratchFolder scratch;
  for (const Encoding& encoding : all_schemes()) {
    SCOPED_TRACE(fmt::format("{} {} {}", encoding_name(encoding), encoding.input_bits, encoding.static_input));
    const Model model = model_of(encoding);
    save_model(model, scratch / "m", true);
    const Model loaded = load_model(scratch / "m");
    expect_equal(loaded, model);
    EXPECT_FALSE(loaded.parameters.get(kInt4Linear).data.writable()) << "not mapped";
    const Json group = read_json(scratch / "m" / "config.json")["quantization_config"]["config_groups"]["group_0"];
    EXPECT_EQ(group["weights"]["num_bits"], encoding.bits);
    EXPECT_EQ(group["weights"]["symmetric"], !encoding.asymmetric);
    EXPECT_EQ(group["weights"]["strategy"], encoding.per_tensor       ? "tensor"
                                            : encoding.group_size > 0 ? "group"
                                                                      : "channel");
    EXPECT_EQ(group["weights"].contains("group_size"), encoding.group_size > 0);
    EXPECT_EQ(group["input_activations"].is_null(), encoding.input_bits == 16);
    if (encoding.input_bits == 8) {
      EXPECT_EQ(group["input_activations"]["dynamic"], !encoding.static_input);
      EXPECT_EQ(group["input_activations"]["strategy"], encoding.static_input ? "tensor" : "token");
    }
    // What is counted is what the file has, but for the shape of packed ones.
    const SafetensorsFile file = SafetensorsFile::open(scratch / "m" / "model.safetensors");
    const std::string module = std::string(kInt4Linear).substr(0, std::string(kInt4Linear).size() - 6);
    int64_t bytes = 0;
    for (const std::string& name : file.names()) {
      const bool mine = name.starts_with(module) && !name.ends_with("bias") && !name.ends_with("_shape");
      if (mine) bytes += file.tensor(name).size_bytes();
    }
    EXPECT_EQ(bytes, model.parameters.get(kInt4Linear).size_bytes());
  }
}

TEST(ModelIo, MalformedZeroPointsAndScalesAreNamed) {
  const ScratchFolder scratch;
  const std::string name = kInt4Linear;
  const auto error_with = [&](const Encoding& encoding, const std::string& tensor, const std::optional<Tensor>& value) {
    save_model(model_of(encoding), scratch / "m", true);
    change_weights(scratch / "m", [&](std::vector<NamedTensor>& tensors) {
      std::erase_if(tensors, [&](const NamedTensor& other) { return other.name == tensor; });
      if (value) tensors.push_back({tensor, *value});
    });
    return error_of(scratch / "m");
  };
  Encoding zp = Encoding::int4_group(32, 16);
  zp.asymmetric = true;
  const std::string zero_point = name + "_zero_point";
  EXPECT_THAT(error_with(zp, zero_point, std::nullopt), HasSubstr("no '" + zero_point));
  EXPECT_THAT(error_with(zp, zero_point, Tensor(DType::kI32, {256, 2})), HasSubstr("not i32 [32, 2] for [256, 2]"));
  EXPECT_THAT(error_with(zp, zero_point, Tensor(DType::kF32, {32, 2})), HasSubstr("f32 [32, 2], not i32"));
  EXPECT_THAT(error_with(zp, zero_point, Tensor(DType::kI32, {})), HasSubstr("not i32"));
  // Not packed, as older writers have it: from -8 to 7.
  EXPECT_EQ(error_with(zp, zero_point, Tensor(DType::kI8, {256, 2})), "loaded");
  Tensor beyond(DType::kI8, {256, 2});
  beyond.mutable_data<int8_t>()[3] = 8;
  EXPECT_THAT(error_with(zp, zero_point, beyond), HasSubstr("number 3 is 8, none of 4 bits"));

  Encoding tensor = Encoding::int8_channel();
  tensor.per_tensor = true;
  EXPECT_THAT(error_with(tensor, name + "_scale", Tensor(DType::kF32, {256, 1})), HasSubstr("not one scale for all"));
  EXPECT_EQ(error_with(tensor, name + "_scale", Tensor::from({0.5f}, {})), "loaded");
  EXPECT_THAT(error_with(Encoding::int8_channel(), name + "_scale", Tensor(DType::kF32, {1})),
              HasSubstr("one scale for each of 256 rows"));

  Encoding fixed = Encoding::int8_channel();
  fixed.static_input = true;
  const std::string input_scale = name.substr(0, name.size() - 6) + "input_scale";
  EXPECT_THAT(error_with(fixed, input_scale, std::nullopt), HasSubstr("no tensor '" + input_scale));
  for (const float bad : {0.0f, -1.0f, NAN, INFINITY}) {
    EXPECT_THAT(error_with(fixed, input_scale, Tensor::from({bad}, {1})), HasSubstr("no number above 0")) << bad;
  }
  EXPECT_THAT(error_with(fixed, input_scale, Tensor::from({1, 1}, {2})), HasSubstr("no number above 0"));
  EXPECT_THAT(error_with(fixed, input_scale, Tensor(DType::kI32, {1})), HasSubstr("no number above 0"));
}

// 6 layers as wide as BERT-base, the size that techniques C6 has its figures of. On paper: nothing is written.
TEST(ModelIo, SizesOfAWholeModelInIntegers) {
  ModelConfig config = make_encoder_config(6, 768, 30522);
  config.architecture = Architecture::kDistilBert;
  config.n_token_types = 0;
  for (int i = 0; i < 151; ++i) config.labels.push_back(std::to_string(i));
  const auto size_mb = [&](const Encoding& encoding) {
    int64_t bytes = 0;
    for (const auto& [name, shape] : parameter_shapes(config, {})) {
      if (shape.size() != 2) {
        bytes += 4 * element_count(shape);
        continue;
      }
      // A few rows stand for all of a matrix.
      const int64_t n_rows = 16;
      EncodedTensor some = encode(Tensor(DType::kF32, {n_rows, shape[1]}), encoding);
      bytes += some.size_bytes() * shape[0] / n_rows;
    }
    return static_cast<double>(bytes) / (1024 * 1024);
  };
  EXPECT_NEAR(size_mb(Encoding::dense(DType::kF32)), 255.85, 0.01);
  EXPECT_NEAR(size_mb(Encoding::int8_channel()), 64.0, 0.5);
  EXPECT_LT(size_mb(Encoding::int4_group(128, 16)), 34.0);
  EXPECT_GT(size_mb(Encoding::int4_group(128, 16)), 33.0);
  // C6: of the weights alone, without what is not a matrix.
  const EncodedTensor matrix = encode(Tensor(DType::kF32, {4, 40000}), Encoding::int8_channel());
  EXPECT_NEAR(4.0 * 4 * 40000 / static_cast<double>(matrix.size_bytes()), 3.9996, 1e-4);
}

TEST(ModelIo, HalfPrecisionStaysHalf) {
  const ScratchFolder scratch;
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    const auto folder = scratch / std::string(dtype_name(dtype));
    Model model = make_model(small_config(Architecture::kDistilBert, {"a", "b"}), nullptr, 5);
    for (const std::string& name : model.parameters.names()) {
      model.parameters.set(name, EncodedTensor::dense(model.parameters.get(name).data.to(dtype)));
    }
    save_model(model, folder, false);
    expect_equal(load_model(folder), model);
    EXPECT_EQ(read_json(folder / "config.json")["torch_dtype"], dtype == DType::kBF16 ? "bfloat16" : "float16");
  }
}

TEST(ModelIo, ManifestAndThresholdAreKept) {
  const ScratchFolder scratch;
  Model model = make_model(small_config(Architecture::kBert, {"a", "b"}), nullptr, 5);
  model.manifest["steps"] = Json::array({{{"verb", "train"}, {"seed", 3}}});
  model.oos_threshold = 0.625;
  save_model(model, scratch / "m", false);
  const Model loaded = load_model(scratch / "m");
  EXPECT_EQ(loaded.manifest, model.manifest);
  EXPECT_EQ(loaded.oos_threshold, 0.625);
  EXPECT_TRUE(read_json(scratch / "m" / "fettle.json").contains("fettle_version"));
  model.oos_threshold = std::nan("");
  save_model(model, scratch / "m", true);
  EXPECT_TRUE(std::isnan(load_model(scratch / "m").oos_threshold));
}

TEST(ModelIo, RefusesToOverwriteUnlessAsked) {
  const ScratchFolder scratch;
  const Model model = make_model(small_config(Architecture::kBert, {"a", "b"}), nullptr, 5);
  save_model(model, scratch / "m", false);
  EXPECT_THROW(save_model(model, scratch / "m", false), Error);
  // A model may replace the folder that it is mapped from.
  const Model loaded = load_model(scratch / "m");
  save_model(loaded, scratch / "m", true);
  expect_equal(load_model(scratch / "m"), model);
}

TEST(ModelIo, ABrokenModelIsNotWritten) {
  const ScratchFolder scratch;
  Model model = make_model(small_config(Architecture::kBert, {"a", "b"}), nullptr, 5);
  model.config.labels.push_back("c");
  EXPECT_THROW(save_model(model, scratch / "m", false), Error);
  EXPECT_FALSE(std::filesystem::exists(scratch / "m"));
}

TEST(ModelIo, AcceptsTheNamesOfOtherCheckpoints) {
  const ScratchFolder scratch;
  const Model model = make_model(small_config(Architecture::kBert, {"a", "b"}), nullptr, 5);
  save_model(model, scratch / "m", false);
  change_weights(scratch / "m", [](std::vector<NamedTensor>& tensors) {
    for (NamedTensor& tensor : tensors) {
      std::string& name = tensor.name;
      if (name.starts_with("bert.")) name = name.substr(5);
      if (name.ends_with("LayerNorm.weight")) name.replace(name.size() - 6, 6, "gamma");
      if (name.ends_with("LayerNorm.bias")) name.replace(name.size() - 4, 4, "beta");
    }
    tensors.push_back({"embeddings.position_ids", Tensor(DType::kI64, {1, 32})});
    tensors.push_back({"cls.seq_relationship.weight", Tensor(DType::kF32, {2, 64})});
  });
  expect_equal(load_model(scratch / "m"), model);
}

TEST(ModelIo, RobertaHeads) {
  const ScratchFolder scratch;
  const Model pretrained = make_model(small_config(Architecture::kRoberta, {}), nullptr, 5);
  save_model(pretrained, scratch / "m", false);
  change_weights(scratch / "m", [](std::vector<NamedTensor>& tensors) {
    for (auto& tensor : tensors) {
      if (tensor.name == "lm_head.bias") tensor.name = "lm_head.decoder.bias";
    }
    tensors.push_back({"roberta.pooler.dense.bias", Tensor(DType::kF32, {64})});  // nothing here reads it
  });
  const Model loaded = load_model(scratch / "m");
  expect_equal(loaded, pretrained);

  const Model first = load_model(scratch / "m", {.allow_new_head = true, .labels = {"x", "y", "z"}, .seed = 4});
  EXPECT_EQ(first.parameters.get("classifier.dense.weight").shape, (Shape{64, 64}));
  EXPECT_EQ(first.parameters.get("classifier.out_proj.weight").shape, (Shape{3, 64}));
  save_model(first, scratch / "c", false);
  const Model other = load_model(scratch / "c", {.allow_new_head = true, .labels = {"p", "q"}, .seed = 4});
  EXPECT_EQ(other.parameters.get("classifier.out_proj.weight").shape, (Shape{2, 64}));
  expect_equal(other.parameters.get("classifier.dense.weight"), first.parameters.get("classifier.dense.weight"),
               "the dense layer stays");
  EXPECT_THAT(error_of(scratch / "m"), HasSubstr("loaded"));
}

TEST(ModelIo, AlbertKeepsSharedParametersOnce) {
  const ScratchFolder scratch;
  ModelConfig config = small_config(Architecture::kAlbert, {"a", "b"});
  const int64_t n_of_two = make_model(config, nullptr, 5).parameters.parameter_count();
  config.layers.resize(6, config.layers[0]);
  const Model model = make_model(config, nullptr, 5);
  EXPECT_EQ(model.parameters.parameter_count(), n_of_two);
  EXPECT_EQ(model.parameters.get("albert.embeddings.word_embeddings.weight").shape, (Shape{120, 16}));
  EXPECT_TRUE(model.parameters.has("albert.encoder.albert_layer_groups.0.albert_layers.0.ffn_output.weight"));
  save_model(model, scratch / "m", false);
  // As AlbertModel saves it.
  change_weights(scratch / "m", [](std::vector<NamedTensor>& tensors) {
    for (auto& tensor : tensors) {
      if (tensor.name.starts_with("albert.")) tensor.name = tensor.name.substr(7);
    }
  });
  expect_equal(load_model(scratch / "m"), model);

  ModelConfig grouped = config;
  grouped.n_layer_groups = 3;
  grouped.blocks_per_group = 2;
  EXPECT_TRUE(make_model(grouped, nullptr, 5)
                  .parameters.has("albert.encoder.albert_layer_groups.2.albert_layers.1.attention.query.weight"));
}

TEST(ModelIo, ANewHeadIsMadeOnlyWhenAllowed) {
  const ScratchFolder scratch;
  const Model pretrained = make_model(small_config(Architecture::kBert, {}), nullptr, 5);
  save_model(pretrained, scratch / "m", false);
  EXPECT_TRUE(load_model(scratch / "m").parameters.has("cls.predictions.bias"));

  const LoadOptions options{.allow_new_head = true, .labels = {"x", "y", "z"}, .seed = 4};
  const Model first = load_model(scratch / "m", options);
  EXPECT_EQ(first.config.labels, options.labels);
  EXPECT_FALSE(first.parameters.has("cls.predictions.bias"));
  expect_equal(first.parameters.get("bert.encoder.layer.1.output.dense.weight"),
               pretrained.parameters.get("bert.encoder.layer.1.output.dense.weight"), "kept");
  EXPECT_EQ(first.parameters.get("classifier.weight").shape, (Shape{3, 64}));
  expect_equal(load_model(scratch / "m", options), first);
  save_model(first, scratch / "c", false);
  expect_equal(load_model(scratch / "c"), first);

  // Another set of labels replaces the classifier and keeps the pooler.
  const Model other = load_model(scratch / "c", {.allow_new_head = true, .labels = {"p", "q"}, .seed = 4});
  EXPECT_EQ(other.parameters.get("classifier.weight").shape, (Shape{2, 64}));
  expect_equal(other.parameters.get("bert.pooler.dense.weight"), first.parameters.get("bert.pooler.dense.weight"),
               "pooler");
  // The same labels keep it.
  expect_equal(load_model(scratch / "c", {.allow_new_head = true, .labels = {"x", "y", "z"}, .seed = 99}), first);
  // In another order they take their rows with them.
  const Model turned = load_model(scratch / "c", {.allow_new_head = true, .labels = {"z", "x", "y"}, .seed = 99});
  EXPECT_EQ(turned.config.labels, (std::vector<std::string>{"z", "x", "y"}));
  const Tensor before = first.parameters.get("classifier.weight").decode();
  const Tensor after = turned.parameters.get("classifier.weight").decode();
  for (const auto& [from, to] : {std::pair{2, 0}, {0, 1}, {1, 2}}) {
    EXPECT_EQ(0, std::memcmp(before.rows(from, from + 1).raw(), after.rows(to, to + 1).raw(), 64 * sizeof(float)));
  }

  change_weights(scratch / "c", [](std::vector<NamedTensor>& tensors) {
    std::erase_if(tensors, [](const NamedTensor& tensor) { return tensor.name == "classifier.bias"; });
  });
  EXPECT_THAT(error_of(scratch / "c"), HasSubstr("classifier.bias"));
}

TEST(ModelIo, AHeadOfAnotherProblemIsANewOne) {
  const ScratchFolder scratch;
  const Model pretrained = make_model(small_config(Architecture::kBert, {}), nullptr, 5);
  save_model(pretrained, scratch / "m", false);
  const LoadOptions sets{.allow_new_head = true, .labels = {"x", "y"}, .problem = ProblemType::kMultiLabel, .seed = 4};
  const Model first = load_model(scratch / "m", sets);
  EXPECT_EQ(first.config.problem, ProblemType::kMultiLabel);
  save_model(first, scratch / "c", false);
  EXPECT_EQ(load_model(scratch / "c").config.problem, ProblemType::kMultiLabel);
  expect_equal(load_model(scratch / "c"), first);
  // The same problem keeps the head, another one replaces it.
  LoadOptions again = sets;
  again.seed = 9;
  expect_equal(load_model(scratch / "c", again), first);
  again.problem = ProblemType::kSingleLabel;
  const Model other = load_model(scratch / "c", again);
  EXPECT_EQ(other.config.problem, ProblemType::kSingleLabel);
  EXPECT_NE(0, std::memcmp(other.parameters.get("classifier.weight").decode().raw(),
                           first.parameters.get("classifier.weight").decode().raw(), 64 * sizeof(float)));
  save_model(other, scratch / "s", false);
  EXPECT_EQ(load_model(scratch / "s").config.problem, ProblemType::kSingleLabel);
}

TEST(ModelIo, DisagreementsNameTensorAndFile) {
  const ScratchFolder scratch;
  const Model model = make_model(small_config(Architecture::kBert, {"a", "b"}), nullptr, 5);
  const auto folder = scratch / "m";
  const std::string query = "bert.encoder.layer.0.attention.self.query.weight";
  const auto fresh = [&] { save_model(model, folder, true); };
  const auto find = [](std::vector<NamedTensor>& tensors, const std::string& name) -> NamedTensor& {
    return *std::ranges::find(tensors, name, &NamedTensor::name);
  };

  fresh();
  change_config(folder, [](Json& json) { json["hidden_size"] = 128; });
  EXPECT_THAT(error_of(folder),
              testing::AllOf(HasSubstr("model.safetensors"), HasSubstr("[120, 64]"), HasSubstr("[120, 128]")));
  fresh();
  change_config(folder, [](Json& json) { json["num_hidden_layers"] = 3; });
  EXPECT_THAT(error_of(folder), HasSubstr("has no tensor 'bert.encoder.layer.2"));
  fresh();
  change_config(folder, [](Json& json) { json["num_hidden_layers"] = 1; });
  EXPECT_EQ(error_of(folder), "loaded");
  fresh();
  change_config(folder, [](Json& json) { json["id2label"]["2"] = "c"; });
  EXPECT_THAT(error_of(folder), HasSubstr("classifier.weight"));
  fresh();
  change_weights(folder, [&](auto& tensors) { find(tensors, query).tensor = Tensor(DType::kI64, {64, 64}); });
  EXPECT_THAT(error_of(folder), testing::AllOf(HasSubstr(query), HasSubstr("i64")));
  fresh();
  change_weights(folder, [&](auto& tensors) { find(tensors, query).tensor = Tensor(DType::kI8, {64, 64}); });
  EXPECT_THAT(error_of(folder), HasSubstr(query + "_scale"));
  fresh();
  change_weights(folder, [&](auto& tensors) {
    find(tensors, query).tensor = Tensor(DType::kI8, {64, 64});
    tensors.push_back({query + "_scale", Tensor(DType::kF32, {64, 2})});
  });
  EXPECT_THAT(error_of(folder), HasSubstr("one scale for each of 64 rows"));
  // One row, and a scale that has no dimensions at all.
  save_model(make_model(small_config(Architecture::kBert, {"a"}), nullptr, 5), folder, true);
  change_weights(folder, [&](auto& tensors) {
    find(tensors, "classifier.weight").tensor = Tensor(DType::kI8, {1, 64});
    tensors.push_back({"classifier.weight_scale", Tensor(DType::kF32, {})});
  });
  EXPECT_THAT(error_of(folder), HasSubstr("one scale for each of 1 rows"));
  fresh();
  change_config(folder, [](Json& json) { json["quantization_config"] = {{"quant_method", "gptq"}, {"bits", 4}}; });
  EXPECT_THAT(error_of(folder), HasSubstr("gptq"));
  fresh();
  write_file(folder / "fettle.json", "[]");
  EXPECT_THAT(error_of(folder), HasSubstr("fettle.json"));
}

TEST(ModelIo, InitialWeightsDependOnNameAndSeedOnly) {
  const Model deep = make_model(small_config(Architecture::kBert, {"a", "b"}), nullptr, 5);
  ModelConfig config = small_config(Architecture::kBert, {"a", "b"});
  config.layers.resize(1);
  const Model shallow = make_model(config, nullptr, 5);
  for (const std::string& name : shallow.parameters.names()) {
    expect_equal(shallow.parameters.get(name), deep.parameters.get(name), name);
  }
  const EncodedTensor& weight = deep.parameters.get("bert.embeddings.word_embeddings.weight");
  double sum = 0;
  double squares = 0;
  for (const float w : weight.data.floats()) {
    EXPECT_LE(std::fabs(w), 0.04f + 1e-6f);
    sum += w;
    squares += static_cast<double>(w) * w;
  }
  const auto n = static_cast<double>(weight.data.size());
  EXPECT_NEAR(sum / n, 0, 1e-3);
  EXPECT_NEAR(std::sqrt(squares / n), 0.02 * 0.8796, 5e-4);  // deviation of a normal cut at two deviations
  EXPECT_EQ(deep.parameters.get("bert.embeddings.LayerNorm.weight").data.floats()[3], 1.0f);
  EXPECT_EQ(deep.parameters.get("bert.embeddings.LayerNorm.bias").data.floats()[3], 0.0f);
}

}  // namespace
}  // namespace fettle
