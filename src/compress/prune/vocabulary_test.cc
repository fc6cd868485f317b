// Vocabulary pruning: the same answers for the kept texts, whatever the table is stored as, from disk too.
#include "compress/prune/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/scratch_folder.h"
#include "compress/factorize/factorize.h"
#include "model/config_keys.h"
#include "runtime/session.h"
#include "train/test_models.h"

namespace fettle {
namespace {

using testing::HasSubstr;

const std::vector<std::string> kTexts = {"w1 w2 the house", "w40 w41", "w7", "unheard of", ""};

Model model_of(Architecture architecture, bool has_labels = true) {
  std::vector<std::string> words = test::toy_words();
  for (const char* letter : {"a", "o", "f", "x", "##a", "##x"}) words.emplace_back(letter);
  for (int i = 0; i < 60; ++i) words.push_back("w" + std::to_string(i));
  words.erase(std::ranges::find(words, "a"));
  auto tokenizer = test::word_tokenizer(words);
  ModelConfig config = make_encoder_config(1, 64, tokenizer->vocab_size() + 3);
  config.architecture = architecture;
  config.n_token_types = architecture == Architecture::kDistilBert ? 0 : 2;
  if (architecture == Architecture::kAlbert) config.embedding_size = 16;
  config.max_positions = 32;
  if (has_labels) config.labels = {"x", "y", "z"};
  return make_model(config, tokenizer, 4);
}

std::vector<float> logits(const Model& model) {
  Session session(std::make_shared<Model>(model), {.n_threads = 1});
  const Tensor result = session.classify_texts(kTexts);
  return {result.floats().begin(), result.floats().end()};
}

std::string table_of(const Model& model) {
  return std::string(architecture_keys(model.config.architecture).parameter_prefix) +
         "embeddings.word_embeddings.weight";
}

TEST(PruneVocabulary, AnswersStayTheSame) {
  const ScratchFolder scratch;
  int n_saved = 0;
  for (const Architecture architecture : {Architecture::kBert, Architecture::kDistilBert, Architecture::kAlbert}) {
    Encoding with_zeros = Encoding::int4_group(8, 16);
    with_zeros.asymmetric = true;
    Encoding of_all = Encoding::int8_channel();
    of_all.per_tensor = true;
    for (const Encoding& encoding :
         {Encoding::dense(DType::kF32), Encoding::dense(DType::kBF16), Encoding::int8_channel(), of_all,
          Encoding::int4_group(8, 16), with_zeros, Encoding::int4_group(0, 16)}) {
      Model model = model_of(architecture);
      const std::string table = table_of(model);
      if (encoding.bits != 32) model.parameters.set(table, encode(model.parameters.get(table).decode(), encoding));
      const std::vector<float> expected = logits(model);
      const int64_t before = model.parameters.size_bytes();
      const VocabularyReport report = prune_vocabulary(model, kTexts, {});
      EXPECT_EQ(report.n_after, report.n_needed);
      EXPECT_LT(report.n_after, 30);
      EXPECT_EQ(model.config.vocab_size, report.n_after);
      EXPECT_EQ(model.parameters.get(table).shape[0], report.n_after);
      EXPECT_EQ(model.parameters.get(table).encoding, encoding.bits == 32 ? Encoding::dense(DType::kF32) : encoding);
      EXPECT_LT(model.parameters.size_bytes(), before);
      EXPECT_EQ(logits(model), expected);
      const auto folder = scratch / std::to_string(n_saved++);
      save_model(model, folder, false);
      EXPECT_EQ(logits(load_model(folder)), expected);
    }
  }
}

TEST(PruneVocabulary, OfTablesWithFactors) {
  Model model = model_of(Architecture::kBert);
  factorize_word_table(model, {.rank = 8});
  const std::vector<float> expected = logits(model);
  prune_vocabulary(model, kTexts, {});
  EXPECT_EQ(logits(model), expected);
}

TEST(PruneVocabulary, TakesTheHeadsBiasAlong) {
  Model model = model_of(Architecture::kBert, false);
  float* bias = model.parameters.get_mutable("cls.predictions.bias").data.mutable_data<float>();
  for (int64_t i = 0; i < model.config.vocab_size; ++i) bias[i] = static_cast<float>(i);
  const auto before = model.tokenizer;
  prune_vocabulary(model, kTexts, {});
  const Tensor after = model.parameters.get("cls.predictions.bias").data;
  ASSERT_EQ(after.size(), model.config.vocab_size);
  for (int32_t id = 0; id < after.size(); ++id) {
    EXPECT_EQ(after.floats()[id], static_cast<float>(*before->find(model.tokenizer->piece(id))));
  }
}

TEST(PruneVocabulary, RoomIsFilledInTheOrderOfIds) {
  Model model = model_of(Architecture::kBert);
  const std::vector<float> expected = logits(model);
  const VocabularyReport report = prune_vocabulary(model, kTexts, {.keep_words = 40});
  EXPECT_EQ(report.n_after, 40);
  EXPECT_TRUE(model.tokenizer->find("w0").has_value());
  EXPECT_FALSE(model.tokenizer->find("w59").has_value());
  EXPECT_EQ(logits(model), expected);
  Model share = model_of(Architecture::kBert);
  EXPECT_EQ(prune_vocabulary(share, kTexts, {.target = 0.5}).n_after, share.config.vocab_size);
  EXPECT_EQ(share.config.vocab_size, model_of(Architecture::kBert).config.vocab_size / 2);
  try {
    prune_vocabulary(share, kTexts, {.keep_words = 9});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("room for 9"));
  }
}

TEST(PruneVocabulary, SaysWhatBecomesOfOtherWords) {
  Model model = model_of(Architecture::kBert);
  const auto before = model.tokenizer;
  prune_vocabulary(model, kTexts, {});
  const VocabularyEffect effect =
      compare_vocabularies(*before, *model.tokenizer, std::vector<std::string>{"w1 w9 w9", "nothing known", "w9 w8"});
  EXPECT_EQ(effect.n_words, 7);
  EXPECT_EQ(effect.n_unknown, 4);
  EXPECT_EQ(effect.n_split, 0);
  ASSERT_EQ(effect.changed.size(), 2u);
  EXPECT_EQ(effect.changed[0].word, "w9");
  EXPECT_EQ(effect.changed[0].count, 3);
  EXPECT_TRUE(effect.changed[0].is_unknown);
}

}  // namespace
}  // namespace fettle
