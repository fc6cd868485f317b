#include "text/wordpiece_trainer.h"

#include <fettle/error.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "base/file.h"
#include "base/philox.h"
#include "text/oracle_test.h"

namespace fettle {
namespace {

using Words = std::map<std::vector<std::string>, int64_t>;

std::string joined(const std::string& left, const std::string& right) {
  return left + (right.starts_with("##") ? right.substr(2) : right);
}

// The definition without any cleverness: counts every pair anew before each merge. ASCII words only.
std::vector<std::string> plain_train(const std::map<std::string, int64_t>& counts,
                                     const WordPieceTrainingOptions& options) {
  std::vector<std::string> pieces = options.special_tokens;
  const auto id_of = [&](const std::string& piece) {
    const auto it = std::find(pieces.begin(), pieces.end(), piece);
    if (it != pieces.end()) return it - pieces.begin();
    pieces.push_back(piece);
    return std::ssize(pieces) - 1;
  };
  std::set<char> alphabet;
  for (const auto& [word, count] : counts) alphabet.insert(word.begin(), word.end());
  for (const char c : alphabet) id_of(std::string(1, c));
  Words words;
  for (const auto& [word, count] : counts) {
    std::vector<std::string> symbols;
    for (const char c : word) {
      symbols.push_back((symbols.empty() ? "" : "##") + std::string(1, c));
      id_of(symbols.back());
    }
    words[symbols] += count;
  }
  while (std::cmp_less(pieces.size(), options.vocab_size)) {
    std::map<std::pair<int64_t, int64_t>, int64_t> pairs;
    for (const auto& [symbols, count] : words) {
      for (size_t i = 0; i + 1 < symbols.size(); ++i) pairs[{id_of(symbols[i]), id_of(symbols[i + 1])}] += count;
    }
    const auto best =
        std::max_element(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    if (best == pairs.end() || best->second < std::max<int64_t>(1, options.min_frequency)) break;
    const std::string left = pieces[static_cast<size_t>(best->first.first)];
    const std::string right = pieces[static_cast<size_t>(best->first.second)];
    id_of(joined(left, right));
    Words merged;
    for (const auto& [symbols, count] : words) {
      std::vector<std::string> out;
      for (size_t i = 0; i < symbols.size(); ++i) {
        const bool found = i + 1 < symbols.size() && symbols[i] == left && symbols[i + 1] == right;
        out.push_back(found ? joined(left, right) : symbols[i]);
        i += found;
      }
      merged[out] += count;
    }
    words = std::move(merged);
  }
  return pieces;
}

TEST(WordPieceTrainer, AgreesWithPlainRecounting) {
  Philox random(1);
  for (int round = 0; round < 40; ++round) {
    const WordPieceTrainingOptions options{.vocab_size = 10 + static_cast<int>(random.below(60)),
                                           .min_frequency = static_cast<int64_t>(random.below(4)),
                                           .special_tokens = {"[UNK]"}};
    std::map<std::string, int64_t> counts;
    WordPieceTrainer trainer(options);
    for (int i = 0; i < 60; ++i) {
      std::string word;
      for (uint64_t n = 1 + random.below(8); n > 0; --n) word += "abc"[random.below(round % 3 + 1)];
      const int64_t times = 1 + static_cast<int64_t>(random.below(5));
      for (int64_t k = 0; k < times; ++k) trainer.add(word);
      counts[word] += times;
    }
    ASSERT_EQ(trainer.train(), plain_train(counts, options)) << round;
  }
}

TEST(WordPieceTrainer, DoesNotDependOnTheOrderOfTexts) {
  std::vector<std::string> texts = testing::tricky_texts(200, 21);
  const WordPieceTrainingOptions options{.vocab_size = 600};
  WordPieceTrainer first(options), second(options);
  for (const std::string& text : texts) first.add(text);
  std::reverse(texts.begin(), texts.end());
  for (const std::string& text : texts) second.add(text);
  EXPECT_EQ(first.train(), second.train());
  EXPECT_EQ(first.n_words(), second.n_words());
}

TEST(WordPieceTrainer, NormalizesAndLimitsTheAlphabet) {
  WordPieceTrainer trainer({.vocab_size = 100, .min_frequency = 1, .limit_alphabet = 2});
  trainer.add("Éa ea, ea xyz " + std::string(101, 'q'));
  const std::vector<std::string> expected = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "e", "##a", "ea"};
  EXPECT_EQ(trainer.train(), expected);
  EXPECT_EQ(trainer.n_words(), 5);
  EXPECT_EQ(trainer.n_distinct_words(), 3);
}

TEST(WordPieceTrainer, MakesATokenizer) {
  int n = 0;
  const auto pieces = train_wordpiece(
      [&](std::string& text) {
        text = "low lower lowest newest widest";
        return n++ < 5;
      },
      {.vocab_size = 60, .min_frequency = 1});
  const auto tokenizer = Tokenizer::from_vocab(pieces);
  std::vector<int32_t> ids;
  tokenizer->encode("lowest widest LOWER", 0, ids);
  EXPECT_EQ(tokenizer->decode(ids, true), "lowest widest lower");
  EXPECT_EQ(ids.size(), 5u) << "each word became one piece";
}

TEST(WordPieceTrainer, RefusesWhatCannotWork) {
  EXPECT_THROW(WordPieceTrainer({.vocab_size = 5}), Error);
  EXPECT_THROW(WordPieceTrainer({.min_frequency = -1}), Error);
  EXPECT_THROW(WordPieceTrainer({.limit_alphabet = 0}), Error);
  EXPECT_THROW(WordPieceTrainer({}).train(), Error);
  WordPieceTrainer trainer({.vocab_size = 8});
  trainer.add("abcdefgh");
  EXPECT_THROW(trainer.train(), Error) << "more characters than pieces";
}

// Hugging Face's trainer breaks ties in the order of a hash table that differs from run to run, so the vocabularies
// agree only nearly.
TEST(WordPieceTrainer, AgreesWithHuggingFaceButForTies) {
  FETTLE_NEED_ORACLE();
  FETTLE_NEED_SHARED_DATA();
  testing::TemporaryFolder folder;
  const auto path = folder.path() / "text";
  write_file(path, read_file(testing::shared_data() / "datasets/tinyshakespeare/input.txt").substr(0, 400'000));
  const std::vector<Json> answers = testing::ask_oracle("train", path, Json::object(), {Json()});
  std::set<std::string> expected;
  for (const Json& piece : answers.at(0)) expected.insert(piece.get<std::string>());
  WordPieceTrainer trainer({.vocab_size = 30000, .min_frequency = 0, .special_tokens = {}});
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) trainer.add(line);
  const std::vector<std::string> pieces = trainer.train();
  const auto n_expected = static_cast<double>(expected.size());
  EXPECT_NEAR(static_cast<double>(pieces.size()), n_expected, 0.005 * n_expected);
  const auto n_common = std::count_if(pieces.begin(), pieces.end(), [&](auto& piece) { return expected.count(piece); });
  EXPECT_GE(static_cast<double>(n_common), 0.995 * n_expected);
}

}  // namespace
}  // namespace fettle
