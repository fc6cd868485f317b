#include "text/tokenizer.h"

#include <fettle/error.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/file.h"
#include "text/oracle_test.h"

namespace fettle {
namespace {

using Ids = std::vector<int32_t>;
using testing::TemporaryFolder;
using namespace std::string_literals;

enum : int32_t { kPad, kUnk, kCls, kSep, kMask, kHello, kWorld, kS, kBang, kOpen, kClose, kSepWord, kUn, kAble };

std::vector<std::string> small_vocabulary() {
  return {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "##s", "!", "[", "]", "sep", "un", "##able"};
}

std::shared_ptr<const Tokenizer> small_tokenizer(WordPieceOptions options = {}) {
  return Tokenizer::from_vocab(small_vocabulary(), std::move(options));
}

Ids encode(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options = {}) {
  Ids ids;
  tokenizer.encode(text, options, ids);
  return ids;
}

TEST(Tokenizer, PutsSpecialTokensAround) {
  const auto tokenizer = small_tokenizer();
  EXPECT_EQ(encode(*tokenizer, "Hello WORLDS!"), (Ids{kCls, kHello, kWorld, kS, kBang, kSep}));
  EXPECT_EQ(encode(*tokenizer, "hello", {.add_special_tokens = false}), (Ids{kHello}));
  EXPECT_EQ(encode(*tokenizer, ""), (Ids{kCls, kSep}));
  EXPECT_EQ(encode(*tokenizer, " \t\n"), (Ids{kCls, kSep}));
  EXPECT_EQ(encode(*tokenizer, "unhello"), (Ids{kCls, kUnk, kSep}));
}

TEST(Tokenizer, AppendsBehindWhatIsThere) {
  Ids ids = {99};
  small_tokenizer()->encode("hello hello hello", 4, ids);
  EXPECT_EQ(ids, (Ids{99, kCls, kHello, kHello, kSep}));
}

TEST(Tokenizer, Truncates) {
  const auto tokenizer = small_tokenizer();
  const std::string text = "hello worlds !";
  EXPECT_EQ(encode(*tokenizer, text, {.max_length = 2}), (Ids{kCls, kSep}));
  EXPECT_EQ(encode(*tokenizer, text, {.max_length = 4}), (Ids{kCls, kHello, kWorld, kSep}));
  EXPECT_EQ(encode(*tokenizer, text, {.max_length = 5}), (Ids{kCls, kHello, kWorld, kS, kSep}));
  for (const int max_length : {6, 7, 0}) {
    EXPECT_EQ(encode(*tokenizer, text, {.max_length = max_length}), (Ids{kCls, kHello, kWorld, kS, kBang, kSep}));
  }
  EXPECT_EQ(tokenizer->encode_with_offsets(text, 5).ids, (Ids{kCls, kHello, kWorld, kS, kSep}));
  EXPECT_THROW(encode(*tokenizer, text, {.max_length = 1}), Error);
  EXPECT_THROW(encode(*tokenizer, text, {.max_length = -1}), Error);
  EXPECT_EQ(encode(*tokenizer, text, {.max_length = 1, .add_special_tokens = false}), (Ids{kHello}));
}

TEST(Tokenizer, TruncatesFromTheLeftWhereTheConfigSaysSo) {
  TemporaryFolder folder;
  small_tokenizer()->save(folder.path());
  write_file(folder.path() / "tokenizer_config.json", R"({"truncation_side": "left"})");
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(encode(*tokenizer, "hello worlds !", {.max_length = 4}), (Ids{kCls, kS, kBang, kSep}));
  EXPECT_EQ(tokenizer->encode_with_offsets("hello worlds !", 4).ids, (Ids{kCls, kS, kBang, kSep}));
}

TEST(Tokenizer, SpecialTextIsPlainUnlessAskedFor) {
  const auto tokenizer = small_tokenizer();
  EXPECT_EQ(encode(*tokenizer, "hello [SEP]"), (Ids{kCls, kHello, kOpen, kSepWord, kClose, kSep}));
  EXPECT_EQ(tokenizer->encode_with_offsets("hello [SEP]", 0).ids, encode(*tokenizer, "hello [SEP]"));
  EXPECT_EQ(encode(*tokenizer, "hello[SEP][MASK]", {.split_special_tokens = false}),
            (Ids{kCls, kHello, kSep, kMask, kSep}));
  EXPECT_EQ(encode(*tokenizer, "[sep]", {.split_special_tokens = false}), (Ids{kCls, kOpen, kSepWord, kClose, kSep}));
  EXPECT_EQ(encode(*tokenizer, "\xff[SEP]\xe2\x82", {.split_special_tokens = false}), (Ids{kCls, kSep, kSep}));
}

TEST(Tokenizer, OffsetsCountCodePoints) {
  const TokenEncoding e = small_tokenizer()->encode_with_offsets("\u4e2d héllo  worlds\u0301!", 0);
  EXPECT_EQ(e.ids, (Ids{kCls, kUnk, kHello, kWorld, kS, kBang, kSep}));
  const std::vector<std::pair<int32_t, int32_t>> expected = {{0, 0},   {0, 1},   {2, 7}, {9, 14},
                                                             {14, 15}, {16, 17}, {0, 0}};
  EXPECT_EQ(e.offsets, expected);
  EXPECT_EQ(e.tokens[4], "##s");
  EXPECT_EQ(e.type_ids, Ids(7, 0));
}

TEST(Tokenizer, PairsHaveTypeIds) {
  Ids ids, type_ids;
  small_tokenizer()->encode_pair("hello", "world!", {}, ids, type_ids);
  EXPECT_EQ(ids, (Ids{kCls, kHello, kSep, kWorld, kBang, kSep}));
  EXPECT_EQ(type_ids, (Ids{0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(small_tokenizer()->n_special_single(), 2);
  EXPECT_EQ(small_tokenizer()->n_special_pair(), 3);
}

TEST(Tokenizer, CasedVocabulariesKeepCase) {
  EXPECT_EQ(encode(*small_tokenizer({.lowercase = false}), "Hello hello"), (Ids{kCls, kUnk, kHello, kSep}));
}

TEST(Tokenizer, LooksUpPieces) {
  const auto tokenizer = small_tokenizer();
  EXPECT_EQ(tokenizer->vocab_size(), 14);
  EXPECT_EQ(tokenizer->piece(kAble), "##able");
  EXPECT_EQ(tokenizer->find("##able"), kAble);
  EXPECT_EQ(tokenizer->find("able"), std::nullopt);
  EXPECT_EQ(tokenizer->unk_id(), kUnk);
  EXPECT_EQ(tokenizer->pad_id(), kPad);
  EXPECT_EQ(tokenizer->cls_id(), kCls);
  EXPECT_EQ(tokenizer->sep_id(), kSep);
  EXPECT_EQ(tokenizer->mask_id(), kMask);
  EXPECT_TRUE(tokenizer->is_special(kMask));
  EXPECT_FALSE(tokenizer->is_special(kHello));
  EXPECT_FALSE(tokenizer->is_special(-1));
  EXPECT_THROW(tokenizer->piece(14), Error);
  EXPECT_THROW(tokenizer->piece(-1), Error);
}

TEST(Tokenizer, Decodes) {
  const auto tokenizer = small_tokenizer();
  const Ids ids = {kCls, kHello, kWorld, kS, kBang, kUn, kAble, kSep, kPad};
  EXPECT_EQ(tokenizer->decode(ids, true), "hello worlds! unable");
  EXPECT_EQ(tokenizer->decode(ids, false), "[CLS] hello worlds! unable [SEP] [PAD]");
  EXPECT_EQ(tokenizer->decode(Ids{}, true), "");
  EXPECT_THROW(tokenizer->decode(Ids{14}, true), Error);
}

TEST(Tokenizer, SurvivesHostileTexts) {
  const auto tokenizer = small_tokenizer();
  std::string all_bytes;
  for (int i = 0; i < 256; ++i) all_bytes += static_cast<char>(i);
  std::string emoji;
  for (int i = 0; i < 100'000; ++i) emoji += "👩\u200d";
  const std::vector<std::string> texts = {std::string(1 << 20, 'a'),
                                          std::string(1 << 20, '\0'),
                                          all_bytes,
                                          emoji,
                                          "e" + std::string(1 << 19, '\xcc'),
                                          "\0hello"s};
  for (const std::string& text : texts) {
    for (const bool split : {true, false}) {
      const EncodeOptions options{.split_special_tokens = split};
      EXPECT_EQ(encode(*tokenizer, text, options), tokenizer->encode_with_offsets(text, options).ids);
    }
  }
  EXPECT_EQ(encode(*tokenizer, "\0hel\0lo"s), (Ids{kCls, kHello, kSep}));
}

TEST(Tokenizer, IsShareableBetweenThreads) {
  const auto tokenizer = small_tokenizer();
  std::vector<Ids> results(4);
  std::vector<std::thread> threads;
  for (Ids& ids : results) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) tokenizer->encode("Héllo worlds! [SEP]", 0, ids);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Ids& ids : results) EXPECT_EQ(ids, results[0]);
}

}  // namespace
}  // namespace fettle
