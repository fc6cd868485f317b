// A pruned tokenizer cuts whole corpora as the full one does.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/scratch_folder.h"
#include "text/oracle_test.h"
#include "text/tokenizer.h"

namespace fettle {
namespace {

using testing::shared_data;

std::vector<std::string> corpus() {
  std::vector<std::string> texts = testing::clinc_texts();
  for (const char* file : {"train.csv", "test.csv"}) {
    const std::string banking = read_file(shared_data() / "datasets/banking77" / file);
    for (size_t at = 0; at < banking.size();) {
      const size_t end = std::min(banking.find('\n', at), banking.size());
      texts.push_back(banking.substr(at, end - at));
      at = end + 1;
    }
  }
  for (std::string& text : testing::tricky_texts(2000, 3)) texts.push_back(std::move(text));
  for (const char* text : {"", "[CLS] a [SEP] <s> </s> <mask> [MASK]", "unbelievable\xe2\x98\x83s",
                           "supercalifragilisticexpialidocious"}) {
    texts.emplace_back(text);
  }
  return texts;
}

std::vector<int32_t> ids_of(const Tokenizer& tokenizer, const std::string& text, bool split_special = true) {
  std::vector<int32_t> ids;
  tokenizer.encode(text, {.split_special_tokens = split_special}, ids);
  return ids;
}

// New ids by old ones, by the pieces.
std::vector<int32_t> renumbering(const Tokenizer& before, const Tokenizer& after) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < before.vocab_size(); ++id) {
    ids.push_back(before.piece(id).empty() ? -1 : after.find(before.piece(id)).value_or(-1));
  }
  return ids;
}

int64_t n_differences(const Tokenizer& before, const Tokenizer& after, const std::vector<std::string>& texts) {
  const std::vector<int32_t> ids = renumbering(before, after);
  int64_t n = 0;
  for (const std::string& text : texts) {
    for (const bool split_special : {true, false}) {
      std::vector<int32_t> expected = ids_of(before, text, split_special);
      for (int32_t& id : expected) id = ids[static_cast<size_t>(id)];
      n += expected != ids_of(after, text, split_special);
    }
  }
  return n;
}

class PrunedTokenizer : public ::testing::TestWithParam<const char*> {};

TEST_P(PrunedTokenizer, CutsCorporaAsBefore) {
  FETTLE_NEED_SHARED_DATA();
  const auto before = Tokenizer::load(shared_data() / "tokenizers" / GetParam());
  const std::vector<std::string> texts = corpus();
  const std::vector<bool> needed = before->needed_pieces(texts);
  const auto after = before->with_pieces(needed);
  EXPECT_EQ(after->vocab_size(), std::ranges::count(needed, true));
  EXPECT_LT(after->vocab_size(), before->vocab_size() / 2);
  EXPECT_EQ(n_differences(*before, *after, texts), 0);
  // Order is kept, and so are all single characters.
  const std::vector<int32_t> ids = renumbering(*before, *after);
  int32_t last = -1;
  for (const int32_t id : ids) {
    if (id < 0) continue;
    EXPECT_EQ(id, last + 1);
    last = id;
  }
  EXPECT_EQ(after->cls_id().has_value(), before->cls_id().has_value());
  EXPECT_EQ(after->n_special_single(), before->n_special_single());
  for (const char* letter : {"a", "z", "7"})
    EXPECT_EQ(after->find(letter).has_value(), before->find(letter).has_value());

  const ScratchFolder scratch;
  std::filesystem::create_directory(scratch / "saved");
  after->save(scratch / "saved");
  const auto loaded = Tokenizer::load(scratch / "saved");
  EXPECT_EQ(loaded->vocab_size(), after->vocab_size());
  EXPECT_EQ(n_differences(*before, *loaded, texts), 0);

  // More pieces than needed change nothing either; a needed one less does.
  std::vector<bool> keep = needed;
  for (size_t id = 0; id < keep.size(); id += 3) keep[id] = true;
  EXPECT_EQ(n_differences(*before, *before->with_pieces(keep), texts), 0);
  const std::vector<int32_t> used = ids_of(*before, "please transfer money");
  keep = needed;
  for (const int32_t id : used) keep[static_cast<size_t>(id)] = before->is_special(id);
  EXPECT_GT(n_differences(*before, *before->with_pieces(keep), {"please transfer money"}), 0);
}

INSTANTIATE_TEST_SUITE_P(All, PrunedTokenizer,
                         ::testing::Values("bert-base-uncased", "bert-base-cased", "koelectra", "gpt2", "roberta-base",
                                           "t5-small"));

TEST(PrunedTokenizerOfWords, KeepsWhatUnknownWordsTry) {
  // "abc" begins with "ab", whose rest is not there: unknown. Without "ab", "a" and "##bc" would make it known.
  const auto before =
      Tokenizer::from_vocab({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ab", "##bc", "a", "word", "##ab"});
  const std::vector<std::string> texts = {"abc"};
  const std::vector<bool> needed = before->needed_pieces(texts);
  EXPECT_TRUE(needed[5]);
  EXPECT_FALSE(needed[8]);
  EXPECT_EQ(n_differences(*before, *before->with_pieces(needed), texts), 0);
  std::vector<bool> without = needed;
  without[5] = false;
  without[6] = true;
  EXPECT_EQ(n_differences(*before, *before->with_pieces(without), texts), 2);
}

TEST(PrunedTokenizerOfWords, RefusesAnotherVocabularysList) {
  const auto tokenizer = Tokenizer::from_vocab({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"});
  EXPECT_THROW(tokenizer->with_pieces({true}), Error);
}

}  // namespace
}  // namespace fettle
