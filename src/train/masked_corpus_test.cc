#include "train/masked_corpus.h"

#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "base/philox.h"
#include "train/test_models.h"

namespace fettle {
namespace {

constexpr int32_t kCls = 2;
constexpr int32_t kSep = 3;
constexpr int32_t kMask = 4;

std::vector<std::string> some_texts(int64_t n) {
  const std::vector<std::string> words = test::toy_words();
  Philox random(3);
  std::vector<std::string> texts;
  for (int64_t i = 0; i < n; ++i) {
    std::string text;
    const uint64_t length = 1 + random.below(9);
    for (uint64_t w = 0; w < length; ++w) text += words[random.below(words.size())] + " ";
    texts.push_back(std::move(text));
    if (random.below(5) == 0) texts.emplace_back();
  }
  return texts;
}

// The batch with its masks undone.
std::vector<int32_t> unmasked(const MaskedBatch& batch) {
  std::vector<int32_t> ids = batch.tokens.token_ids;
  for (size_t i = 0; i < batch.masked_positions.size(); ++i) ids[batch.masked_positions[i]] = batch.masked_labels[i];
  return ids;
}

TEST(MaskedCorpus, EveryTokenOnceInWellFormedSequences) {
  const auto tokenizer = test::word_tokenizer(test::toy_words());
  const std::vector<std::string> texts = some_texts(700);
  std::map<int32_t, int64_t> expected;
  for (const std::string& text : texts) {
    std::vector<int32_t> ids;
    tokenizer->encode(text, {.add_special_tokens = false}, ids);
    for (int32_t id : ids) ++expected[id];
  }
  for (const bool join : {true, false}) {
    MaskedCorpus corpus(texts, *tokenizer, {.max_length = 24, .token_budget = 300, .join_texts = join});
    std::map<int32_t, int64_t> seen;
    int64_t n_sequences = 0;
    MaskedBatch batch;
    for (int64_t b = 0; b < corpus.n_batches(1); ++b) {
      corpus.load(1, b, batch);
      EXPECT_LE(batch.tokens.n_tokens(), 300);
      const std::vector<int32_t> ids = unmasked(batch);
      n_sequences += batch.tokens.n_sequences();
      for (int64_t s = 0; s < batch.tokens.n_sequences(); ++s) {
        const int32_t begin = batch.tokens.offsets[s];
        const int32_t end = batch.tokens.offsets[s + 1];
        EXPECT_LE(end - begin, 24);
        EXPECT_EQ(batch.tokens.token_ids[begin], kCls);
        EXPECT_EQ(batch.tokens.token_ids[end - 1], kSep);
        for (int32_t i = begin; i < end; ++i) {
          EXPECT_EQ(batch.tokens.position_ids[i], i - begin);
          if (ids[i] != kCls && ids[i] != kSep) ++seen[ids[i]];
        }
      }
      EXPECT_FALSE(batch.masked_positions.empty());
      EXPECT_TRUE(std::is_sorted(batch.masked_positions.begin(), batch.masked_positions.end()));
      for (int32_t label : batch.masked_labels) EXPECT_GT(label, kMask);
    }
    EXPECT_EQ(seen, expected);
    EXPECT_EQ(n_sequences == 700, !join);
  }
}

TEST(MaskedCorpus, MasksInTheKnownProportions) {
  const auto tokenizer = test::word_tokenizer(test::toy_words());
  const std::vector<std::string> texts = some_texts(8000);
  MaskedCorpus corpus(texts, *tokenizer, {.probability = 0.15, .max_length = 32, .token_budget = 1000});
  double chosen = 0;
  double masked = 0;
  double kept = 0;
  MaskedBatch batch;
  for (int64_t b = 0; b < corpus.n_batches(0); ++b) {
    corpus.load(0, b, batch);
    chosen += static_cast<double>(batch.masked_labels.size());
    for (size_t i = 0; i < batch.masked_labels.size(); ++i) {
      const int32_t seen = batch.tokens.token_ids[batch.masked_positions[i]];
      masked += seen == kMask;
      kept += seen == batch.masked_labels[i];
      EXPECT_GE(seen, kMask);
    }
  }
  EXPECT_NEAR(chosen / static_cast<double>(corpus.n_tokens()), 0.15, 0.006);
  EXPECT_NEAR(masked / chosen, 0.8, 0.02);
  EXPECT_NEAR(kept / chosen, 0.1 + 0.1 / 12, 0.015);  // a random word of twelve may be the same
}

TEST(MaskedCorpus, DoesNotJoinAcrossDocuments) {
  const auto tokenizer = test::word_tokenizer(test::toy_words());
  const std::vector<std::string> texts = {"red", "green", "", "blue", "one", "", "", "two"};
  MaskedCorpus corpus(texts, *tokenizer, {.max_length = 32, .token_budget = 1000, .short_sequence_ratio = 0});
  ASSERT_EQ(corpus.n_batches(0), 1);
  MaskedBatch batch;
  corpus.load(0, 0, batch);
  std::vector<int64_t> lengths;
  for (int64_t s = 0; s < batch.tokens.n_sequences(); ++s) {
    lengths.push_back(batch.tokens.offsets[s + 1] - batch.tokens.offsets[s]);
  }
  std::sort(lengths.begin(), lengths.end());
  EXPECT_EQ(lengths, (std::vector<int64_t>{3, 5, 5}));
}

TEST(MaskedCorpus, IsAFunctionOfSeedAndEpoch) {
  const auto tokenizer = test::word_tokenizer(test::toy_words());
  const std::vector<std::string> texts = some_texts(300);
  const auto ids = [&](uint64_t seed, int64_t epoch, int64_t warm_epoch) {
    MaskedCorpus corpus(texts, *tokenizer, {.max_length = 24, .token_budget = 300, .seed = seed});
    MaskedBatch batch;
    corpus.load(warm_epoch, 0, batch);
    corpus.load(epoch, 1, batch);
    return batch.tokens.token_ids;
  };
  EXPECT_EQ(ids(1, 2, 0), ids(1, 2, 5));
  EXPECT_NE(ids(1, 2, 0), ids(1, 3, 0));
  EXPECT_NE(ids(1, 2, 0), ids(2, 2, 0));
}

TEST(MaskedCorpus, SpecialTokensInTextsAreText) {
  const auto tokenizer = test::word_tokenizer(test::toy_words());
  const std::vector<std::string> texts = {"red [SEP] green [MASK]"};
  MaskedCorpus corpus(texts, *tokenizer, {.max_length = 32, .token_budget = 100});
  MaskedBatch batch;
  corpus.load(0, 0, batch);
  const std::vector<int32_t> ids = unmasked(batch);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kSep), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kMask), 0);
}

}  // namespace
}  // namespace fettle
