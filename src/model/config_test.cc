#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace fettle {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// As `save_pretrained` of transformers 4.30 writes it, shortened.
constexpr std::string_view kBert = R"({
  "_name_or_path": "bert-base-uncased",
  "architectures": ["BertForSequenceClassification"],
  "attention_probs_dropout_prob": 0.2,
  "classifier_dropout": null,
  "gradient_checkpointing": false,
  "hidden_act": "gelu_new",
  "hidden_dropout_prob": 0.15,
  "hidden_size": 96,
  "id2label": {"0": "play", "1": "pause", "10": "k", "2": "c", "3": "d", "4": "e", "5": "f", "6": "g", "7": "h", "8": "i", "9": "j"},
  "initializer_range": 0.03,
  "intermediate_size": 200,
  "label2id": {"play": 0, "pause": 1},
  "layer_norm_eps": 1e-06,
  "max_position_embeddings": 64,
  "model_type": "bert",
  "num_attention_heads": 6,
  "num_hidden_layers": 3,
  "pad_token_id": 7,
  "position_embedding_type": "absolute",
  "transformers_version": "4.30.2",
  "type_vocab_size": 3,
  "vocab_size": 1000
})";

constexpr std::string_view kDistilBert = R"({
  "activation": "gelu", "architectures": ["DistilBertForMaskedLM"], "attention_dropout": 0.1, "dim": 64, "dropout": 0.1,
  "hidden_dim": 256, "initializer_range": 0.02, "max_position_embeddings": 512, "model_type": "distilbert", "n_heads": 4,
  "n_layers": 2, "pad_token_id": 0, "qa_dropout": 0.1, "seq_classif_dropout": 0.25, "sinusoidal_pos_embds": false,
  "tie_weights_": true, "vocab_size": 300
})";

// roberta-base with a head of its own, as transformers writes it, shortened.
constexpr std::string_view kRoberta = R"({
  "architectures": ["RobertaForSequenceClassification"], "attention_probs_dropout_prob": 0.1, "bos_token_id": 0,
  "classifier_dropout": null, "eos_token_id": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.15, "hidden_size": 64,
  "id2label": {"0": "no", "1": "yes"}, "initializer_range": 0.02, "intermediate_size": 256,
  "label2id": {"no": 0, "yes": 1}, "layer_norm_eps": 1e-05, "max_position_embeddings": 514, "model_type": "roberta",
  "num_attention_heads": 4, "num_hidden_layers": 2, "pad_token_id": 1, "position_embedding_type": "absolute",
  "type_vocab_size": 1, "vocab_size": 50265
})";

Json json_of(std::string_view text) {
  return parse_json(text, "config.json");
}

ModelConfig parse(const Json& json) {
  return parse_config(json, "m/config.json");
}

// The message of the error that the changed configuration gives.
std::string refusal(std::string_view text, const std::function<void(Json&)>& change) {
  Json json = json_of(text);
  change(json);
  try {
    parse(json);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    EXPECT_THAT(error.what(), HasSubstr("m/config.json"));
    return error.what();
  }
  return "accepted";
}

TEST(Config, ReadsBert) {
  const ModelConfig config = parse(json_of(kBert));
  EXPECT_EQ(config.architecture, Architecture::kBert);
  EXPECT_EQ(config.vocab_size, 1000);
  EXPECT_EQ(config.hidden_size, 96);
  EXPECT_EQ(config.max_positions, 64);
  EXPECT_EQ(config.n_token_types, 3);
  const LayerConfig layer{.n_heads = 6, .head_dim = 16, .intermediate_size = 200};
  EXPECT_THAT(config.layers, ElementsAre(layer, layer, layer));
  EXPECT_EQ(config.activation, "gelu_tanh");
  EXPECT_EQ(config.layer_norm_eps, 1e-6);
  EXPECT_EQ(config.hidden_dropout, 0.15);
  EXPECT_EQ(config.attention_dropout, 0.2);
  EXPECT_EQ(config.classifier_dropout, 0.15);
  EXPECT_EQ(config.initializer_range, 0.03);
  EXPECT_EQ(config.pad_token_id, 7);
  EXPECT_THAT(config.labels, ElementsAre("play", "pause", "c", "d", "e", "f", "g", "h", "i", "j", "k"));
}

TEST(Config, ReadsDistilBert) {
  const ModelConfig config = parse(json_of(kDistilBert));
  EXPECT_EQ(config.architecture, Architecture::kDistilBert);
  EXPECT_EQ(config.hidden_size, 64);
  EXPECT_EQ(config.n_token_types, 0);
  EXPECT_EQ(config.layers.size(), 2u);
  EXPECT_EQ(config.layers[1], (LayerConfig{.n_heads = 4, .head_dim = 16, .intermediate_size = 256}));
  EXPECT_EQ(config.classifier_dropout, 0.25);
  EXPECT_EQ(config.layer_norm_eps, 1e-12);
  EXPECT_TRUE(config.labels.empty());
}

TEST(Config, ReadsRoberta) {
  Json json = json_of(kRoberta);
  for (const bool multilingual : {false, true}) {
    const ModelConfig config = parse(json);
    EXPECT_EQ(config.architecture, multilingual ? Architecture::kXlmRoberta : Architecture::kRoberta);
    EXPECT_EQ(config.max_positions, 512);
    EXPECT_EQ(config.first_position(), 2);
    EXPECT_EQ(config.n_position_rows(), 514);
    EXPECT_EQ(config.n_token_types, 1);
    EXPECT_EQ(config.layer_norm_eps, 1e-5);
    EXPECT_EQ(config.classifier_dropout, 0.15);
    EXPECT_THAT(config.labels, ElementsAre("no", "yes"));
    json["model_type"] = "xlm-roberta";
    json["architectures"] = Json::array({"XLMRobertaForSequenceClassification"});
  }
  json.erase("pad_token_id");
  EXPECT_EQ(parse(json).pad_token_id, 1) << "what transformers takes for it";
  json["architectures"] = Json::array({"RobertaForSequenceClassification"});
  EXPECT_THROW(parse(json), Error) << "a class of another model type";
}

// albert-base-v2, shortened.
constexpr std::string_view kAlbert = R"({
  "architectures": ["AlbertForMaskedLM"], "attention_probs_dropout_prob": 0, "bos_token_id": 2,
  "classifier_dropout_prob": 0.1, "down_scale_factor": 1, "embedding_size": 32, "eos_token_id": 3,
  "hidden_act": "gelu_new", "hidden_dropout_prob": 0, "hidden_size": 64, "initializer_range": 0.02,
  "inner_group_num": 1, "intermediate_size": 256, "layer_norm_eps": 1e-12, "max_position_embeddings": 512,
  "model_type": "albert", "num_attention_heads": 4, "num_hidden_groups": 2, "num_hidden_layers": 6, "pad_token_id": 0,
  "type_vocab_size": 2, "vocab_size": 30000
})";

TEST(Config, ReadsAlbert) {
  Json json = json_of(kAlbert);
  const ModelConfig config = parse(json);
  EXPECT_EQ(config.architecture, Architecture::kAlbert);
  EXPECT_TRUE(config.shares_layers());
  EXPECT_EQ(config.table_width(), 32);
  EXPECT_EQ(config.n_layer_groups, 2);
  EXPECT_EQ(config.blocks_per_group, 1);
  EXPECT_EQ(config.group_of_layer(2), 0);
  EXPECT_EQ(config.group_of_layer(3), 1);
  EXPECT_EQ(config.activation, "gelu_tanh");
  EXPECT_EQ(config.hidden_dropout, 0);
  EXPECT_EQ(config.classifier_dropout, 0.1);
  EXPECT_THAT(refusal(kAlbert, [](Json& changed) { changed["num_hidden_groups"] = 7; }),
              HasSubstr("num_hidden_groups"));
  EXPECT_THAT(refusal(kAlbert, [](Json& changed) { changed["inner_group_num"] = 1000; }), HasSubstr("1000"));
  EXPECT_THAT(refusal(kAlbert, [](Json& changed) { changed["embedding_size"] = 0; }), HasSubstr("embedding_size"));
  EXPECT_THAT(refusal(kAlbert, [](Json& changed) { changed["fettle_layers"] = Json::array(); }),
              HasSubstr("fettle_layers"));
  for (const char* key : {"embedding_size", "num_hidden_groups", "inner_group_num", "hidden_act"}) json.erase(key);
  EXPECT_EQ(parse(json).table_width(), 128) << "transformers' default";
  EXPECT_EQ(parse(json).n_layer_groups, 1);
  EXPECT_EQ(parse(json).activation, "gelu_tanh");
  ModelConfig uneven = config;
  uneven.layers[1].intermediate_size = 100;
  EXPECT_THROW(config_to_json(uneven), Error);
  // Groups may differ from each other.
  for (int64_t i = 0; i < 3; ++i) uneven.layers[static_cast<size_t>(i)] = {1, 16, 100};
  Json groups = config_to_json(uneven);
  EXPECT_EQ(parse(groups).layers, uneven.layers);
  groups["fettle_layers"][2]["n_heads"] = 2;
  EXPECT_THROW(parse(groups), Error);
}

TEST(Config, HeadsThatAreGoneAreSaidInTransformersWayToo) {
  ModelConfig config = make_encoder_config(3, 256, 500);
  config.layers[1].n_heads = 1;
  config.layers[2].n_heads = 3;
  Json json = config_to_json(config);
  EXPECT_EQ(json["num_attention_heads"], 4);
  EXPECT_EQ(json["pruned_heads"], (Json{{"1", {1, 2, 3}}, {"2", {3}}}));
  EXPECT_EQ(parse(json).layers, config.layers);
  json.erase("fettle_layers");
  EXPECT_EQ(parse(json).layers, config.layers);
  json["pruned_heads"] = {{"1", {0, 2}}, {"2", Json::array()}};
  EXPECT_EQ(parse(json).layers[1].n_heads, 2);
  EXPECT_EQ(parse(json).layers[2].n_heads, 4);
  for (const Json& bad : {Json{{"3", {0}}}, Json{{"x", {0}}}, Json{{"1", {4}}}, Json{{"1", {0, 1, 2, 3}}},
                          Json{{"1", 2}}, Json{{"1", {"a"}}}, Json(5)}) {
    json["pruned_heads"] = bad;
    EXPECT_THROW(parse(json), Error) << bad;
  }
  // Nor where neurons are gone as well.
  config.layers[0].intermediate_size = 700;
  EXPECT_FALSE(config_to_json(config).contains("pruned_heads"));
}

TEST(Config, UnknownKeysAreWrittenBack) {
  for (const std::string_view text : {kBert, kDistilBert, kRoberta, kAlbert}) {
    const Json before = json_of(text);
    const Json after = config_to_json(parse(before));
    for (const auto& [key, value] : before.items()) {
      if (key == "id2label" || key == "label2id" || key == "classifier_dropout") continue;
      EXPECT_EQ(after.value(key, Json()), value) << key;
    }
  }
  EXPECT_EQ(config_to_json(parse(json_of(kBert)))["label2id"]["k"], 10);
}

TEST(Config, WritingIsStable) {
  for (const std::string_view text : {kBert, kDistilBert, kRoberta, kAlbert}) {
    const Json once = config_to_json(parse(json_of(text)));
    EXPECT_EQ(config_to_json(parse(once)).dump(), once.dump());
  }
  // One that does not say what its head is.
  Json bare = json_of(kDistilBert);
  bare.erase("architectures");
  const Json once = config_to_json(parse(bare));
  EXPECT_EQ(config_to_json(parse(once)).dump(), once.dump());
}

TEST(Config, LayersOfUnequalWidthSurvive) {
  ModelConfig config = make_encoder_config(3, 128, 500);
  config.layers[0] = {.n_heads = 1, .head_dim = 64, .intermediate_size = 300};
  config.layers[2] = {.n_heads = 3, .head_dim = 32, .intermediate_size = 17};
  const Json json = config_to_json(config);
  EXPECT_TRUE(json.contains("fettle_layers"));
  EXPECT_EQ(parse(json).layers, config.layers);
  EXPECT_FALSE(config_to_json(make_encoder_config(3, 128, 500)).contains("fettle_layers"));
  // Equal among each other, but narrower than the hidden states: plain keys would be misread.
  for (LayerConfig& layer : config.layers) layer = {.n_heads = 1, .head_dim = 64, .intermediate_size = 300};
  EXPECT_EQ(parse(config_to_json(config)).layers, config.layers);
}

TEST(Config, MakesEncoders) {
  EXPECT_EQ(make_encoder_config(2, 256, 100).layers[1],
            (LayerConfig{.n_heads = 4, .head_dim = 64, .intermediate_size = 1024}));
  EXPECT_EQ(make_encoder_config(2, 96, 100).layers[1],
            (LayerConfig{.n_heads = 3, .head_dim = 32, .intermediate_size = 384}));
  EXPECT_THROW(make_encoder_config(2, 100, 100), Error);
  EXPECT_THROW(make_encoder_config(0, 64, 100), Error);
}

TEST(Config, LabelsWithoutNames) {
  Json json = json_of(kBert);
  json.erase("id2label");
  json.erase("label2id");
  EXPECT_THAT(parse(json).labels, ElementsAre("LABEL_0", "LABEL_1"));
  json["num_labels"] = 3;
  EXPECT_THAT(parse(json).labels, ElementsAre("LABEL_0", "LABEL_1", "LABEL_2"));
  json["label2id"] = {{"b", 1}, {"a", 0}, {"c", 2}};
  EXPECT_THAT(parse(json).labels, ElementsAre("a", "b", "c"));
}

struct Refused {
  const char* key;
  Json value;  // discarded: the key is erased
  const char* message;
};

// transformers: "problem_type", or by the number of labels where it is absent.
TEST(Config, ProblemsSurvive) {
  const auto problem_of = [](const Json& json) { return parse_config(json, "config.json").problem; };
  Json json = json_of(kRoberta);
  EXPECT_EQ(problem_of(json), ProblemType::kSingleLabel);
  json["problem_type"] = nullptr;
  EXPECT_EQ(problem_of(json), ProblemType::kSingleLabel);
  json["problem_type"] = "multi_label_classification";
  EXPECT_EQ(problem_of(json), ProblemType::kMultiLabel);
  json["problem_type"] = "regression";
  EXPECT_EQ(problem_of(json), ProblemType::kRegression);
  json["id2label"] = {{"0", "LABEL_0"}};
  json["problem_type"] = "single_label_classification";
  EXPECT_EQ(problem_of(json), ProblemType::kSingleLabel);
  json.erase("problem_type");
  EXPECT_EQ(problem_of(json), ProblemType::kRegression);
  json["problem_type"] = "ranking";
  try {
    problem_of(json);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("\"ranking\" is not known"));
  }

  for (const size_t n_labels : {1, 2}) {
    for (const ProblemType problem : {ProblemType::kSingleLabel, ProblemType::kMultiLabel, ProblemType::kRegression}) {
      ModelConfig config = make_encoder_config(1, 32, 10);
      config.labels.assign(n_labels, "a");
      if (n_labels == 2) config.labels[1] = "b";
      config.problem = problem;
      const Json written = config_to_json(config);
      const ModelConfig read = parse_config(written, "config.json");
      EXPECT_EQ(read.problem, problem);
      EXPECT_EQ(config_to_json(read).dump(), written.dump());
    }
  }
}

TEST(Config, RefusesWhatItCannotCompute) {
  const Json absent = Json::value_t::discarded;
  const std::vector<Refused> cases = {
      {"model_type", "roberta", "RobertaForSequenceClassification"},
      {"model_type", "gpt2", "roberta"},
      {"model_type", absent, "model_type"},
      {"model_type", 3, "model_type"},
      {"architectures", Json::array({"BertForTokenClassification"}), "BertForTokenClassification"},
      {"architectures", "Bert", "architectures"},
      {"position_embedding_type", "relative_key", "relative_key"},
      {"is_decoder", true, "is_decoder"},
      {"hidden_act", "silu", "silu"},
      {"vocab_size", absent, "vocab_size"},
      {"vocab_size", 0, "vocab_size"},
      {"vocab_size", -5, "vocab_size"},
      {"vocab_size", 5'000'000, "vocab_size"},
      {"vocab_size", 10.5, "vocab_size"},
      {"hidden_size", "96", "hidden_size"},
      {"hidden_size", 97, "multiple"},
      {"hidden_size", (int64_t{1} << 20) + 6, "hidden_size"},
      {"num_hidden_layers", 1025, "num_hidden_layers"},
      {"num_attention_heads", 1025, "num_attention_heads"},
      {"num_attention_heads", 0, "num_attention_heads"},
      {"max_position_embeddings", int64_t{1} << 25, "max_position_embeddings"},
      {"intermediate_size", uint64_t{1} << 63, "intermediate_size"},
      {"hidden_dropout_prob", 1.0, "hidden_dropout_prob"},
      {"hidden_dropout_prob", -0.1, "hidden_dropout_prob"},
      {"layer_norm_eps", 0, "layer_norm_eps"},
      {"initializer_range", -1, "initializer_range"},
      {"num_labels", 4, "num_labels"},
      {"id2label", {{"0", "a"}, {"2", "b"}}, "id2label"},
      {"id2label", {{"0", "a"}, {"00", "b"}}, "id2label"},
      {"id2label", {{"0", "a"}, {"-1", "b"}}, "id2label"},
      {"id2label", {{"0", "a"}, {"99999999999999999999", "b"}}, "id2label"},
      {"id2label", {{"0", "a"}, {"1", "a"}}, "twice"},
      {"id2label", {{"0", 1}}, "id2label"},
      {"id2label", Json::object(), "no labels"},
      {"id2label", Json::array(), "id2label"},
      {"fettle_layers", Json::array(), "fettle_layers"},
      {"fettle_layers", Json::array({1, 2, 3}), "fettle_layers[0]"},
  };
  for (const Refused& refused : cases) {
    const std::string message = refusal(kBert, [&](Json& json) {
      if (refused.value.is_discarded()) {
        json.erase(refused.key);
      } else {
        json[refused.key] = refused.value;
      }
    });
    EXPECT_THAT(message, HasSubstr(refused.message)) << refused.key << " = " << refused.value;
  }
  EXPECT_THROW(parse(Json::array()), Error);
  EXPECT_THAT(refusal(kRoberta, [](Json& json) { json["max_position_embeddings"] = 2; }),
              HasSubstr("max_position_embeddings"));
}

}  // namespace
}  // namespace fettle
