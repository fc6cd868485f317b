#include "text/vocabulary.h"

#include <gtest/gtest.h>

#include <map>

#include "base/philox.h"

namespace fettle {
namespace {

using Ids = std::vector<int32_t>;

// Greedy longest match as the definition says it, with a map.
bool plain_cut(const std::map<std::string, int32_t>& ids_of, const std::string& prefix, const std::string& word,
               Ids& ids) {
  for (size_t begin = 0; begin < word.size();) {
    size_t end = word.size();
    auto it = ids_of.end();
    for (; end > begin; --end) {
      it = ids_of.find((begin > 0 ? prefix : "") + word.substr(begin, end - begin));
      if (it != ids_of.end()) break;
    }
    if (end == begin) return false;
    ids.push_back(it->second);
    begin = end;
  }
  return true;
}

std::string random_word(Philox& random, uint64_t max_size) {
  std::string out;
  for (uint64_t n = 1 + random.below(max_size); n > 0; --n) out += "ab#"[random.below(3)];
  return out;
}

TEST(Vocabulary, CutsAsTheDefinitionSays) {
  Philox random(1);
  for (int round = 0; round < 300; ++round) {
    const std::string prefix = random.below(4) ? "##" : "";
    std::vector<std::string> pieces;
    std::map<std::string, int32_t> ids_of;
    for (uint64_t n = random.below(30); n > 0; --n) {
      const std::string piece = (random.below(2) ? prefix : "") + random_word(random, 4);
      ids_of[piece] = static_cast<int32_t>(pieces.size());
      pieces.push_back(piece);
    }
    const Vocabulary vocabulary(pieces, prefix);
    for (const auto& [piece, id] : ids_of) {
      EXPECT_EQ(vocabulary.find(piece), id);
      EXPECT_EQ(vocabulary.piece(id), piece);
    }
    for (int i = 0; i < 100; ++i) {
      const std::string word = random_word(random, 12);
      Ids expected, ids = {-1}, ends;
      const bool fits = plain_cut(ids_of, prefix, word, expected);
      ASSERT_EQ(vocabulary.cut(word, ids, &ends), fits) << word;
      ASSERT_EQ(ids.size(), ends.size() + 1);
      if (!fits) continue;
      ids.erase(ids.begin());
      ASSERT_EQ(ids, expected) << word;
      ASSERT_EQ(ends.back(), static_cast<int32_t>(word.size()));
    }
  }
}

TEST(Vocabulary, NeverCutsInsideACharacter) {
  const Vocabulary vocabulary({"\xc3", "##\xa9", "é", "##é"}, "##");
  Ids ids;
  EXPECT_TRUE(vocabulary.cut("éé", ids));
  EXPECT_EQ(ids, (Ids{2, 3}));
}

TEST(Vocabulary, TheLastOfEqualPiecesWins) {
  const Vocabulary vocabulary({"a", "b", "a", "##c", "##c"}, "##");
  EXPECT_EQ(vocabulary.find("a"), 2);
  EXPECT_EQ(vocabulary.piece(0), "");
  EXPECT_EQ(vocabulary.find("##c"), 4);
  EXPECT_EQ(vocabulary.duplicate(), "##c");
  Ids ids;
  EXPECT_TRUE(vocabulary.cut("ac", ids));
  EXPECT_EQ(ids, (Ids{2, 4}));
}

TEST(Vocabulary, MayBeEmpty) {
  const Vocabulary vocabulary({}, "##");
  Ids ids;
  EXPECT_FALSE(vocabulary.cut("a", ids));
  EXPECT_EQ(vocabulary.find(""), std::nullopt);
}

}  // namespace
}  // namespace fettle
