#include "runtime/embedder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "base/scratch_folder.h"
#include "runtime/test_graphs.h"
#include "runtime/torch_oracle.h"

namespace fettle {
namespace {

using testing::HasSubstr;

const std::vector<std::string> kTexts = {"the big red house", "a", "", "one two three the a the a one",
                                         "one two three the a the a one house"};

std::shared_ptr<const Tokenizer> tokenizer() {
  return Tokenizer::from_vocab(
      {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "big", "red", "house", "one", "two", "three"});
}

EncodedTensor random_dense(const Shape& shape, uint64_t seed) {
  Tensor values(DType::kF32, shape);
  Philox random(seed);
  for (int64_t i = 0; i < values.size(); ++i) values.mutable_data<float>()[i] = 0.2f * random.normal();
  return EncodedTensor::dense(values);
}

Model sentence_model(Architecture architecture, SentencePipeline pipeline) {
  Model model = test::random_model(test::small_config(architecture, 0), 3);
  model.tokenizer = tokenizer();
  model.sentence = std::move(pipeline);
  return model;
}

std::vector<SentencePipeline> pipelines() {
  std::vector<SentencePipeline> list(5);
  list[1].pooling = {Pooling::kCls};
  list[1].steps.emplace_back();
  list[2].pooling = {Pooling::kMax};
  list[3].pooling = {Pooling::kCls, Pooling::kMax, Pooling::kMean, Pooling::kMeanSqrtLength};
  list[4].pooling = {Pooling::kMean, Pooling::kMeanSqrtLength};
  list[4].steps = {{.weight = random_dense({20, 96}, 1), .bias = random_dense({20}, 2), .activation = "tanh"},
                   {.weight = random_dense({7, 20}, 3), .bias = {}},
                   {}};
  return list;
}

RaggedBatch batch_of(const Model& model, const std::vector<std::string>& texts) {
  RaggedBatch batch;
  for (const std::string& text : texts) {
    std::vector<int32_t> ids;
    model.tokenizer->encode(text, 0, ids);
    batch.append(ids.data(), std::ssize(ids));
  }
  return batch;
}

void expect_rows(const Tensor& actual, const Json& expected) {
  ASSERT_EQ(static_cast<size_t>(actual.dim(0)), expected.size());
  const int64_t width = actual.dim(1);
  for (int64_t i = 0; i < actual.size(); ++i) {
    const Json& row = expected[static_cast<size_t>(i / width)];
    ASSERT_EQ(row.size(), static_cast<size_t>(width));
    EXPECT_NEAR(actual.floats()[static_cast<size_t>(i)], row[static_cast<size_t>(i % width)].get<double>(), 1e-5);
  }
}

TEST(Embedder, GivesPyTorchsEmbeddings) {
  if (!python_has("torch")) GTEST_SKIP() << "python3-torch is not installed";
  const ScratchFolder scratch;
  std::string arguments;
  std::vector<std::string> folders;
  for (const Architecture architecture : {Architecture::kBert, Architecture::kRoberta, Architecture::kAlbert}) {
    for (const SentencePipeline& pipeline : pipelines()) {
      const Model model = sentence_model(architecture, pipeline);
      folders.push_back((scratch / std::to_string(folders.size())).string());
      save_model(model, folders.back(), false);
      const RaggedBatch batch = batch_of(model, kTexts);
      write_json(folders.back() + "/batch.json", {{"token_ids", test::rows_of(batch.token_ids, batch.offsets)},
                                                  {"type_ids", test::rows_of(batch.type_ids, batch.offsets)}});
      arguments += " '" + folders.back() + "'";
    }
  }
  const PythonResult result = run_oracle("bert_forward.py", arguments);
  ASSERT_EQ(result.status, 0) << result.output;
  for (const std::string& folder : folders) {
    SCOPED_TRACE(folder);
    const auto model = std::make_shared<const Model>(load_model(folder));
    ASSERT_TRUE(model->sentence);
    Embedder embedder(model, *model->sentence, {.n_threads = 1});
    expect_rows(embedder.embed(kTexts), read_json(folder + "/embeddings.json"));
  }
}

TEST(Embedder, TogetherAsOneByOne) {
  const auto model = std::make_shared<const Model>(sentence_model(Architecture::kBert, pipelines()[3]));
  Embedder embedder(model, *model->sentence, {.n_threads = 1});
  std::vector<std::string> texts;
  for (int i = 0; i < 30; ++i) texts.insert(texts.end(), kTexts.begin(), kTexts.end());
  const Tensor together = embedder.embed(texts);
  for (size_t i = 0; i < texts.size(); ++i) {
    const Tensor alone = embedder.embed({&texts[i], 1});
    for (int64_t c = 0; c < embedder.width(); ++c) {
      EXPECT_NEAR(alone.floats()[static_cast<size_t>(c)],
                  together.data<float>()[static_cast<int64_t>(i) * embedder.width() + c], 2e-5);
    }
  }
}

TEST(Embedder, CutsAtTheFoldersLengthAndLowersCase) {
  SentencePipeline pipeline;
  pipeline.max_length = 4;
  pipeline.lowercase = true;
  const auto model = std::make_shared<const Model>(sentence_model(Architecture::kBert, pipeline));
  Embedder embedder(model, pipeline, {.n_threads = 1});
  const std::vector<std::string> texts = {"the big red house", "THE BIG"};
  const Tensor rows = embedder.embed(texts);
  for (int64_t c = 0; c < rows.dim(1); ++c) EXPECT_EQ(rows.data<float>()[c], rows.data<float>()[rows.dim(1) + c]);
}

std::string error_of(const std::filesystem::path& folder) {
  try {
    load_model(folder);
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "loaded";
}

TEST(SentencePipeline, SavedFoldersLoadAgainToTheSameBytes) {
  const ScratchFolder scratch;
  SentencePipeline pipeline = pipelines()[4];
  pipeline.max_length = 30;
  save_model(sentence_model(Architecture::kBert, pipeline), scratch / "a", false);
  save_model(load_model(scratch / "a"), scratch / "b", false);
  for (const char* name : {"modules.json", "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors",
                           "3_Dense/config.json", "sentence_bert_config.json", "model.safetensors"}) {
    EXPECT_EQ(read_file(scratch / "a" / name), read_file(scratch / "b" / name)) << name;
  }
  EXPECT_EQ(load_model(scratch / "b").sentence->max_length, 30);

  // The layout of old folders.
  std::filesystem::create_directory(scratch / "a" / "0_Transformer");
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.json", "sentence_bert_config.json"}) {
    std::filesystem::rename(scratch / "a" / name, scratch / "a" / "0_Transformer" / name);
  }
  Json modules = read_json(scratch / "a" / "modules.json");
  modules[0]["path"] = "0_Transformer";
  write_json(scratch / "a" / "modules.json", modules);
  const Model old = load_model(scratch / "a");
  EXPECT_EQ(old.sentence->max_length, 30);
  EXPECT_EQ(old.sentence->steps.size(), 3u);
  EXPECT_NE(old.tokenizer, nullptr);
  // A classifier is no sentence encoder any more.
  EXPECT_FALSE(load_model(scratch / "a", {.allow_new_head = true, .labels = {"x", "y"}}).sentence);
}

TEST(SentencePipeline, RefusesWhatItCannotCompute) {
  const ScratchFolder scratch;
  const std::filesystem::path folder = scratch / "m";
  const auto refusal = [&](const char* file, const std::function<void(Json&)>& change) {
    save_model(sentence_model(Architecture::kBert, pipelines()[4]), folder, true);
    Json json = read_json(folder / file);
    change(json);
    write_json(folder / file, json);
    return error_of(folder);
  };
  const auto pooling = [&](const char* key, Json value) {
    return refusal("1_Pooling/config.json", [&](Json& json) { json[key] = value; });
  };
  EXPECT_THAT(pooling("pooling_mode_lasttoken", true), HasSubstr("lasttoken"));
  EXPECT_THAT(pooling("word_embedding_dimension", 47), HasSubstr("47"));
  EXPECT_THAT(pooling("pooling_mode_cls_token", true), HasSubstr("dense layer takes 96"));
  EXPECT_THAT(refusal("1_Pooling/config.json", [](Json& json) { json = Json::object(); }), HasSubstr("no pooling"));
  EXPECT_THAT(refusal("modules.json", [](Json& json) { json[2]["type"] = "x.LSTM"; }), HasSubstr("LSTM"));
  EXPECT_THAT(refusal("modules.json", [](Json& json) { json.erase(1); }), HasSubstr("Pooling"));
  EXPECT_THAT(refusal("modules.json", [](Json& json) { json = Json::object(); }), HasSubstr("modules"));
  EXPECT_THAT(refusal("modules.json", [](Json& json) { json[1]["path"] = "../x"; }), HasSubstr("out of the folder"));
  EXPECT_THAT(refusal("modules.json", [](Json& json) { json[1]["path"] = "nowhere"; }), HasSubstr("nowhere"));
  EXPECT_THAT(refusal("2_Dense/config.json", [](Json& json) { json["activation_function"] = "SiLU"; }),
              HasSubstr("SiLU"));
  EXPECT_THAT(refusal("2_Dense/config.json", [](Json& json) { json["in_features"] = 95; }), HasSubstr("linear.weight"));
  EXPECT_THAT(refusal("1_Pooling/config.json",
                      [](Json& json) {
                        json = {{"pooling_mode", "cls+mean"}};
                      }),
              HasSubstr("loaded"));
  EXPECT_THROW(parse_pooling("median"), Error);
}

}  // namespace
}  // namespace fettle
