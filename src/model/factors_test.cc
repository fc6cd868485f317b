// Factors and shared layers: what config.json says, what is refused, and that factors multiply to the matrix.
#include "model/factors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "base/error.h"
#include "base/scratch_folder.h"
#include "graph/evaluate.h"

namespace fettle {
namespace {

using testing::HasSubstr;

constexpr const char* kQuery0 = "bert.encoder.layer.0.attention.self.query";
constexpr const char* kQuery1 = "bert.encoder.layer.1.attention.self.query";
constexpr const char* kWords = "bert.embeddings.word_embeddings";

ModelConfig small_config(std::vector<std::string> labels = {"a", "b", "c"}) {
  ModelConfig config = make_encoder_config(3, 64, 120);
  config.max_positions = 32;
  config.labels = std::move(labels);
  return config;
}

ModelConfig factored_config(std::vector<std::string> labels = {"a", "b", "c"}) {
  ModelConfig config = small_config(std::move(labels));
  config.ranks = {{"bert.encoder.layer.2.intermediate.dense", 20},
                  {kWords, 12},
                  {"bert.encoder.layer.0.output.dense", 64},
                  {"bert.embeddings.position_embeddings", 9},
                  {"bert.pooler.dense", 1},
                  {"classifier", 3}};
  if (config.labels.empty()) config.ranks.erase("classifier");
  config.stacked = {{kQuery0, {.owner = kQuery0, .in_rank = 10, .out_rank = 6}},
                    {kQuery1, {.owner = kQuery0, .in_rank = 10, .out_rank = 6}}};
  return config;
}

Tensor run(const Model& model, GraphOptions::Head head) {
  const Graph graph = build_graph(model.config, {.head = head});
  std::map<std::string, Tensor> values;
  for (const std::string& name : model.parameters.names()) values[name] = model.parameters.get(name).decode();
  const auto ids = [](std::vector<int32_t> list) {
    return Tensor::from_i32(list, {static_cast<int64_t>(list.size())});
  };
  values["token_ids"] = ids({5, 17, 3, 99, 4});
  values["position_ids"] = ids({0, 1, 2, 0, 1});
  values["type_ids"] = ids({0, 0, 1, 0, 0});
  values["offsets"] = ids({0, 3, 5});
  values["first_tokens"] = ids({0, 3});
  values["masked_positions"] = ids({1, 4});
  return evaluate_reference(graph, values, values).at(head == GraphOptions::Head::kHidden ? "hidden" : "logits");
}

void expect_near(const Tensor& a, const Tensor& b, double tolerance) {
  ASSERT_EQ(a.shape(), b.shape());
  for (int64_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a.floats()[i], b.floats()[i], tolerance) << i;
}

// Weights large enough that what is computed from them shows.
Model enlarged(Model model) {
  for (const std::string& name : model.parameters.names()) {
    Tensor& data = model.parameters.get_mutable(name).data;
    if (data.rank() != 2) continue;
    for (int64_t i = 0; i < data.size(); ++i) data.mutable_data<float>()[i] *= 4;
  }
  return model;
}

TEST(Factors, ParametersHaveTheShapesOfFactors) {
  std::map<std::string, Shape> shapes;
  for (const auto& [name, shape] : parameter_shapes(factored_config(), {})) shapes[name] = shape;
  EXPECT_EQ(shapes.at("bert.encoder.layer.2.intermediate.dense.factor_in.weight"), (Shape{20, 64}));
  EXPECT_EQ(shapes.at("bert.encoder.layer.2.intermediate.dense.factor_out.weight"), (Shape{256, 20}));
  EXPECT_EQ(shapes.at("bert.encoder.layer.2.intermediate.dense.bias"), (Shape{256}));
  EXPECT_FALSE(shapes.contains("bert.encoder.layer.2.intermediate.dense.weight"));
  EXPECT_EQ(shapes.at("bert.embeddings.word_embeddings.weight"), (Shape{120, 12}));
  EXPECT_EQ(shapes.at("bert.embeddings.word_embeddings.factor_out.weight"), (Shape{64, 12}));
  EXPECT_EQ(shapes.at(std::string(kQuery0) + ".factor_in.weight"), (Shape{10, 64}));
  EXPECT_EQ(shapes.at(std::string(kQuery0) + ".factor_out.weight"), (Shape{64, 6}));
  EXPECT_EQ(shapes.at(std::string(kQuery1) + ".core.weight"), (Shape{6, 10}));
  EXPECT_FALSE(shapes.contains(std::string(kQuery1) + ".factor_in.weight"));
}

TEST(Factors, MultiplyToTheMatrix) {
  for (const bool has_labels : {true, false}) {
    const ModelConfig config =
        factored_config(has_labels ? std::vector<std::string>{"a", "b", "c"} : std::vector<std::string>{});
    const Model factored = enlarged(make_model(config, nullptr, 3));
    Model whole = factored;
    merge_factors(whole);
    EXPECT_FALSE(whole.config.has_factors());
    EXPECT_EQ(whole.parameters.get(std::string(kQuery1) + ".weight").shape, (Shape{64, 64}));
    EXPECT_FALSE(whole.parameters.has(std::string(kQuery0) + ".factor_in.weight"));
    for (const auto head : {GraphOptions::Head::kClassifier, GraphOptions::Head::kMaskedLm}) {
      if ((head == GraphOptions::Head::kClassifier) != has_labels) continue;
      expect_near(run(factored, head), run(whole, head), 2e-5);
    }
  }
}

TEST(Factors, OneMatrixMadeWholeLeavesTheStack) {
  for (const char* name : {kQuery0, kQuery1}) {
    const Model factored = enlarged(make_model(factored_config(), nullptr, 3));
    Model changed = factored;
    make_whole(changed, name);
    EXPECT_EQ(changed.config.stacked.size(), 1u);
    EXPECT_NO_THROW(check_factors(changed.config, "here"));
    expect_near(run(factored, GraphOptions::Head::kClassifier), run(changed, GraphOptions::Head::kClassifier), 2e-5);
  }
}

TEST(Factors, SharedLayersAreStoredOnce) {
  ModelConfig config = small_config();
  const int64_t n_alone = make_model(config, nullptr, 1).parameters.parameter_count();
  config.layer_sources = {0, 1, 1};
  const Model shared = enlarged(make_model(config, nullptr, 1));
  const int64_t layer = 4 * (64 * 64 + 64) + 2 * 64 * 256 + 256 + 64 + 4 * 64;
  EXPECT_EQ(shared.parameters.parameter_count(), n_alone - layer);
  Model copied = shared;
  unshare_layers(copied);
  EXPECT_TRUE(copied.config.layer_sources.empty());
  EXPECT_EQ(copied.parameters.parameter_count(), n_alone);
  expect_near(run(shared, GraphOptions::Head::kClassifier), run(copied, GraphOptions::Head::kClassifier), 0);
}

TEST(Factors, SharedLayersMayHaveFactors) {
  ModelConfig config = factored_config();
  config.ranks.erase("bert.encoder.layer.2.intermediate.dense");
  config.ranks["bert.encoder.layer.1.output.dense"] = 5;
  config.layer_sources = {0, 1, 1};
  const Model shared = enlarged(make_model(config, nullptr, 1));
  Model copied = shared;
  unshare_layers(copied);
  EXPECT_NO_THROW(check_factors(copied.config, "here"));
  EXPECT_EQ(copied.config.ranks.at("bert.encoder.layer.2.output.dense"), 5);
  expect_near(run(shared, GraphOptions::Head::kClassifier), run(copied, GraphOptions::Head::kClassifier), 0);
  merge_factors(copied);
  expect_near(run(shared, GraphOptions::Head::kClassifier), run(copied, GraphOptions::Head::kClassifier), 2e-5);
}

TEST(Factors, SavedAndLoadedAgain) {
  const ScratchFolder scratch;
  ModelConfig config = factored_config();
  config.ranks.erase("bert.encoder.layer.2.intermediate.dense");
  config.layer_sources = {0, 1, 1};
  Model model = enlarged(make_model(config, nullptr, 7));
  int i = 0;
  for (const Encoding& encoding : {Encoding::dense(DType::kF32), Encoding::dense(DType::kBF16),
                                   Encoding::int8_channel(), Encoding::int4_group(8, 16)}) {
    Model stored = model;
    for (const std::string& name : model.parameters.names()) {
      const EncodedTensor& value = model.parameters.get(name);
      const bool is_table = name.find("embeddings.weight") != std::string::npos;
      if (value.shape.size() != 2 || (is_table && encoding.bits == 4)) continue;
      stored.parameters.set(name, encode(value.decode(), encoding));
    }
    const auto folder = scratch / std::to_string(i++);
    save_model(stored, folder, false);
    const Model loaded = load_model(folder);
    EXPECT_EQ(loaded.config.ranks, config.ranks);
    EXPECT_EQ(loaded.config.stacked, config.stacked);
    EXPECT_EQ(loaded.config.layer_sources, config.layer_sources);
    for (const std::string& name : stored.parameters.names()) {
      EXPECT_EQ(loaded.parameters.get(name).encoding, stored.parameters.get(name).encoding) << name;
    }
    expect_near(run(loaded, GraphOptions::Head::kClassifier), run(stored, GraphOptions::Head::kClassifier), 0);
  }
}

TEST(Factors, NewLabelsGetAWholeHead) {
  const ScratchFolder scratch;
  const Model model = enlarged(make_model(factored_config(), nullptr, 7));
  save_model(model, scratch / "m", false);
  const Model turned = load_model(scratch / "m", {.allow_new_head = true, .labels = {"c", "a", "b"}});
  const Tensor before = run(model, GraphOptions::Head::kClassifier);
  const Tensor after = run(turned, GraphOptions::Head::kClassifier);
  for (int64_t r = 0; r < 2; ++r) EXPECT_EQ(after.floats()[3 * r], before.floats()[3 * r + 2]);
  const Model fresh = load_model(scratch / "m", {.allow_new_head = true, .labels = {"x", "y"}});
  EXPECT_FALSE(fresh.config.ranks.contains("classifier"));
  EXPECT_EQ(fresh.parameters.get("classifier.weight").shape, (Shape{2, 64}));
}

std::string refusal(const std::function<void(Json&)>& change, bool albert = false) {
  ModelConfig config = small_config();
  if (albert) config.architecture = Architecture::kAlbert;
  Json json = config_to_json(config);
  change(json);
  try {
    parse_config(json, "config.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    return error.what();
  }
  return "accepted";
}

TEST(Factors, HostileConfigsAreRefused) {
  const auto ranks = [](Json value) { return refusal([&](Json& json) { json["fettle_ranks"] = value; }); };
  EXPECT_EQ(ranks({{kQuery0, 64}}), "accepted");
  EXPECT_THAT(ranks({{kQuery0, 0}}), HasSubstr(kQuery0));
  EXPECT_THAT(ranks({{kQuery0, 65}}), HasSubstr("1 to 64"));
  EXPECT_THAT(ranks({{kQuery0, uint64_t{1} << 63}}), HasSubstr(kQuery0));
  EXPECT_THAT(ranks({{kQuery0, "4"}}), HasSubstr(kQuery0));
  EXPECT_THAT(ranks({{"bert.encoder.layer.7.output.dense", 4}}), HasSubstr("no matrix"));
  EXPECT_THAT(ranks({{"bert.embeddings.LayerNorm", 1}}), HasSubstr("no matrix"));
  EXPECT_THAT(ranks(Json::array({1})), HasSubstr("fettle_ranks"));

  const auto sources = [](Json value) { return refusal([&](Json& json) { json["fettle_shared_layers"] = value; }); };
  EXPECT_EQ(sources({0, 0, 0}), "accepted");
  EXPECT_THAT(sources({0, 2, 2}), HasSubstr("layer 1"));
  EXPECT_THAT(sources({0, 0, 1}), HasSubstr("none of its own"));
  EXPECT_THAT(sources({1, 0, 2}), HasSubstr("layer 0"));
  EXPECT_THAT(sources({0, -1, 0}), HasSubstr("layer 1"));
  EXPECT_THAT(sources({0, 0, uint64_t{1} << 63}), HasSubstr("layer 2"));
  EXPECT_THAT(sources({0, 0}), HasSubstr("3 layers"));
  EXPECT_THAT(sources({0, 0, 1.5}), HasSubstr("number"));
  EXPECT_THAT(refusal([](Json& json) { json["fettle_shared_layers"] = {0, 0, 0}; }, true), HasSubstr("ALBERT"));
  EXPECT_THAT(refusal([](Json& json) {
                json["fettle_shared_layers"] = {0, 0, 0};
                json["fettle_layers"] = Json::array();
                for (const int width : {8, 8, 9}) {
                  json["fettle_layers"].push_back({{"n_heads", 1}, {"head_dim", 64}, {"intermediate_size", width}});
                }
              }),
              HasSubstr("differ in width"));

  const auto stacked = [](Json value) { return refusal([&](Json& json) { json["fettle_stacked"] = value; }); };
  const auto under = [](const char* owner, int in = 4, int out = 4) {
    return Json{{"owner", owner}, {"in_rank", in}, {"out_rank", out}};
  };
  EXPECT_EQ(stacked({{kQuery0, under(kQuery0)}, {kQuery1, under(kQuery0)}}), "accepted");
  EXPECT_THAT(stacked({{kQuery1, under(kQuery0)}}), HasSubstr("owner"));
  EXPECT_THAT(stacked({{kQuery0, under(kQuery1)}, {kQuery1, under(kQuery0)}}), HasSubstr("owner"));
  EXPECT_THAT(stacked({{kQuery0, under(kQuery0, 65)}}), HasSubstr("core"));
  EXPECT_THAT(stacked({{kQuery0, under(kQuery0)}, {kQuery1, under(kQuery0, 5)}}), HasSubstr("owner"));
  EXPECT_THAT(stacked({{kQuery0, under(kQuery0)}, {"bert.encoder.layer.0.output.dense", under(kQuery0)}}),
              HasSubstr("owner"));
  EXPECT_THAT(stacked({{kWords, under(kWords)}}), HasSubstr("table"));
  EXPECT_THAT(stacked({{kQuery0, 3}}), HasSubstr(kQuery0));
  EXPECT_THAT(refusal([&](Json& json) {
                json["fettle_ranks"] = {{kQuery0, 4}};
                json["fettle_stacked"] = {{kQuery0, under(kQuery0)}};
              }),
              HasSubstr("stacked too"));
}

}  // namespace
}  // namespace fettle
