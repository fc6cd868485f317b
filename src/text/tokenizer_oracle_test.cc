#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "base/philox.h"
#include "text/normalized_text.h"
#include "text/oracle_test.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "text/word_splitter.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;
using testing::ask_oracle;
using testing::clinc_texts;
using testing::expect_same_as_rust;
using testing::korean_texts;
using testing::lines_of;
using testing::shared_data;
using testing::to_requests;

std::shared_ptr<const Tokenizer> with_options(const std::string& vocabulary, const WordPieceOptions& options) {
  std::vector<std::string> pieces = lines_of(shared_data() / "tokenizers" / vocabulary / "vocab.txt", 1);
  return Tokenizer::from_vocab(std::move(pieces), options);
}

TEST(TokenizerOracle, UncasedMatchesRustOnIntentsAndTrickyTexts) {
  FETTLE_NEED_ORACLE();
  FETTLE_NEED_SHARED_DATA();
  const fs::path folder = shared_data() / "tokenizers/bert-base-uncased";
  const auto tokenizer = Tokenizer::load(folder);
  expect_same_as_rust(*tokenizer, folder, clinc_texts());
  expect_same_as_rust(*tokenizer, folder, testing::tricky_texts(2000, 1));
  expect_same_as_rust(*tokenizer, folder, testing::tricky_texts(300, 2), 9);
}

TEST(TokenizerOracle, SavedVocabulariesMatchRust) {
  FETTLE_NEED_ORACLE();
  FETTLE_NEED_SHARED_DATA();
  for (const char* name : {"bert-base-cased", "bert-multi-cased", "koelectra"}) {
    SCOPED_TRACE(name);
    const auto tokenizer = Tokenizer::load(shared_data() / "tokenizers" / name);
    EXPECT_FALSE(tokenizer->options().lowercase);
    testing::TemporaryFolder folder;
    tokenizer->save(folder.path());
    expect_same_as_rust(*tokenizer, folder.path(), korean_texts());
    expect_same_as_rust(*Tokenizer::load(folder.path()), folder.path(), testing::tricky_texts(400, 3));
  }
}

TEST(TokenizerOracle, EveryNormalizerSwitchMatchesRust) {
  FETTLE_NEED_ORACLE();
  FETTLE_NEED_SHARED_DATA();
  for (int bits = 0; bits < 16; bits += 5) {
    SCOPED_TRACE(bits);
    WordPieceOptions options{
        .lowercase = (bits & 1) != 0, .clean_text = (bits & 2) == 0, .split_chinese = (bits & 4) == 0};
    if (bits & 8) options.strip_accents = !options.lowercase;
    const auto tokenizer = with_options("bert-multi-cased", options);
    testing::TemporaryFolder folder;
    tokenizer->save(folder.path());
    expect_same_as_rust(*tokenizer, folder.path(), testing::tricky_texts(400, static_cast<uint64_t>(100 + bits)));
  }
}

TEST(TokenizerOracle, HangulDecomposesUnderAccentStripping) {
  FETTLE_NEED_ORACLE();
  FETTLE_NEED_SHARED_DATA();
  const auto tokenizer = with_options("bert-multi-cased", {.lowercase = true});
  testing::TemporaryFolder folder;
  tokenizer->save(folder.path());
  expect_same_as_rust(*tokenizer, folder.path(), korean_texts());
}

TEST(TokenizerOracle, MatchesTransformersJs) {
  FETTLE_NEED_ORACLE();
  FETTLE_NEED_SHARED_DATA();
  const fs::path folder = shared_data() / "tokenizers/bert-base-uncased";
  const auto tokenizer = Tokenizer::load(folder);
  std::vector<std::string> texts = clinc_texts();
  for (std::string& text : korean_texts()) texts.push_back(std::move(text));
  const auto answers = ask_oracle("transformers", folder / "tokenizer.json", Json::object(), to_requests(texts));
  for (size_t i = 0; i < texts.size(); ++i) {
    std::vector<int32_t> ids;
    tokenizer->encode(texts[i], EncodeOptions{.split_special_tokens = false}, ids);
    ASSERT_EQ(Json(ids), answers[i].at("ids")) << Json(texts[i]);
  }
}

TEST(TokenizerOracle, PairsMatchRust) {
  FETTLE_NEED_ORACLE();
  FETTLE_NEED_SHARED_DATA();
  const fs::path folder = shared_data() / "tokenizers/bert-base-uncased";
  const auto tokenizer = Tokenizer::load(folder);
  const auto texts = testing::tricky_texts(200, 4);
  for (const int max_length : {0, 3, 4, 5, 8, 16, 40}) {
    std::vector<Json> requests;
    for (size_t i = 0; i + 1 < texts.size(); i += 2) requests.push_back({texts[i], texts[i + 1]});
    const Json options = max_length ? Json{{"max_length", max_length}} : Json::object();
    const auto answers = ask_oracle("tokenizers", folder / "tokenizer.json", options, requests);
    const EncodeOptions exact{.max_length = max_length, .split_special_tokens = false};
    for (size_t i = 0; i < requests.size(); ++i) {
      const TokenEncoding e = tokenizer->encode_pair_with_offsets(texts[2 * i], texts[2 * i + 1], exact);
      std::vector<int32_t> ids, type_ids;
      tokenizer->encode_pair(texts[2 * i], texts[2 * i + 1], exact, ids, type_ids);
      ASSERT_EQ(Json(ids), answers[i].at("ids")) << requests[i];
      ASSERT_EQ(Json(type_ids), answers[i].at("type_ids")) << requests[i];
      ASSERT_EQ(e.ids, ids);
      ASSERT_EQ(Json(e.offsets), answers[i].at("offsets")) << requests[i];
    }
  }
}

TEST(TokenizerOracle, DecodingMatchesRust) {
  FETTLE_NEED_ORACLE();
  FETTLE_NEED_SHARED_DATA();
  const fs::path original = shared_data() / "tokenizers/bert-base-uncased";
  testing::TemporaryFolder folder;
  fs::copy(original / "tokenizer.json", folder.path());
  // That cleaning is not the library's but its Python wrapper's.
  write_file(folder.path() / "tokenizer_config.json", R"({"clean_up_tokenization_spaces": false})");
  const auto tokenizer = Tokenizer::load(folder.path());
  std::vector<std::vector<int32_t>> ids(500);
  const auto texts = testing::tricky_texts(500, 5);
  for (size_t i = 0; i < ids.size(); ++i) tokenizer->encode(texts[i] + " isn't it 's , I 'm do n't ?", 0, ids[i]);
  for (const bool skip : {false, true}) {
    const Json options{{"decode", skip ? "skip" : "keep"}};
    const auto answers = ask_oracle("tokenizers", original / "tokenizer.json", options, {ids.begin(), ids.end()});
    for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(Json(tokenizer->decode(ids[i], skip)), answers[i]);
  }
}

TEST(TokenizerOracle, AddedTokensMatchRust) {
  FETTLE_NEED_ORACLE();
  const std::string text = R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [
      {"id": 0, "content": "[UNK]", "special": true, "normalized": false, "single_word": false, "lstrip": false, "rstrip": false},
      {"id": 7, "content": "<mask>", "special": true, "normalized": false, "single_word": false, "lstrip": true, "rstrip": false},
      {"id": 8, "content": "New York", "special": false, "normalized": true, "single_word": false, "lstrip": false, "rstrip": false},
      {"id": 9, "content": "abc", "special": false, "normalized": false, "single_word": true, "lstrip": false, "rstrip": false},
      {"id": 10, "content": "abcd", "special": false, "normalized": false, "single_word": false, "lstrip": false, "rstrip": true},
      {"id": 11, "content": "É", "special": false, "normalized": true, "single_word": false, "lstrip": true, "rstrip": true},
      {"id": 12, "content": "中", "special": false, "normalized": true, "single_word": false, "lstrip": false, "rstrip": false}],
    "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
    "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": null, "decoder": null,
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
      "vocab": {"[UNK]": 0, "new": 1, "x": 2, "##x": 3, "a": 4, "york": 5, "##b": 6}}})";
  testing::TemporaryFolder folder;
  write_file(folder.path() / "tokenizer.json", text);
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer->vocab_size(), 13);
  const std::vector<std::string> pieces = {"new", "NEW YORK", "New York", "abc",     "abcd",   " ",  "  ",
                                           "x",   "é",        "E",        "e\u0301", "<mask>", "中", "_",
                                           "-",   "\n",       "ab",       "[UNK]",   "\u200d"};
  Philox random(6);
  std::vector<std::string> texts;
  for (int i = 0; i < 1500; ++i) {
    std::string& out = texts.emplace_back();
    for (uint64_t k = random.below(8); k > 0; --k) out += pieces[random.below(pieces.size())];
  }
  // For an added token the library names the text that it stands for, not the token.
  expect_same_as_rust(*tokenizer, folder.path(), texts, 0, false);
}

// The words that WordSplitter and its plain twin give.
void expect_same_words(const std::vector<std::string>& texts, const WordPieceOptions& options,
                       const std::vector<Json>& answers) {
  const WordSplitter splitter(options);
  for (size_t i = 0; i < texts.size(); ++i) {
    Json fast = Json::array(), plain = Json::array();
    splitter.split(texts[i], [&](const NormalizedWord& word) {
      fast.push_back(std::string(word.text));
      return true;
    });
    const NormalizedText normalized = normalize(texts[i], 0, options);
    for (const auto& [begin, end] : pre_tokenize(normalized)) plain.push_back(to_utf8(normalized, begin, end));
    ASSERT_EQ(fast, answers[i]) << Json(texts[i]);
    ASSERT_EQ(plain, answers[i]) << Json(texts[i]);
  }
}

// All code points, alone and among letters and combining marks.
std::vector<std::string> all_code_points(bool in_context) {
  std::vector<std::string> texts(1);
  int n = 0;
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const bool alike = (code >= 0x3400 && code < 0xd7a4) || (code >= 0x20000 && code < 0xe0000) || code >= 0xe0200;
    if (alike && code % 64 > 2) continue;
    if (n++ % 50 == 0) texts.emplace_back();
    std::string& text = texts.back();
    if (in_context) text += "a\u0345\u302f";
    unicode::append_utf8(code, text);
    text += in_context ? "\u0334\u302eb " : " ";
  }
  return texts;
}

TEST(TokenizerOracle, EveryCodePointIsNormalizedAsByRust) {
  FETTLE_NEED_ORACLE();
  for (const bool all : {false, true}) {
    const WordPieceOptions options{.lowercase = true,
                                   .strip_accents = all,
                                   .clean_text = all,
                                   .split_chinese = all,
                                   .max_input_chars_per_word = 1000};
    const Json flags{{"cleanText", all}, {"handleChineseChars", all}, {"stripAccents", all}, {"lowercase", true}};
    const auto texts = all_code_points(all);
    expect_same_words(texts, options, ask_oracle("words", "-", flags, to_requests(texts)));
  }
}

TEST(TokenizerOracle, RunsOfCombiningMarksAreOrderedAsByRust) {
  FETTLE_NEED_ORACLE();
  const std::vector<char32_t> marks = {0x300,   0x316,   0x327,   0x334,  0x345,  0x34f, 0x302e, 0x302f,
                                       0x1d165, 0x1d16d, 0x1d16e, 0x1b44, 0x3099, 0x94d, 0x5b0,  0x64b,
                                       0x8d4,   0x1e944, 0xf74,   'a',    0xe9,   0x1e69};
  Philox random(7);
  std::vector<std::string> texts;
  for (int i = 0; i < 3000; ++i) {
    std::string& text = texts.emplace_back("x");
    for (uint64_t k = random.below(12); k > 0; --k) unicode::append_utf8(marks[random.below(marks.size())], text);
  }
  const Json flags{{"cleanText", true}, {"handleChineseChars", true}, {"stripAccents", true}, {"lowercase", true}};
  expect_same_words(texts, {}, ask_oracle("words", "-", flags, to_requests(texts)));
}

}  // namespace
}  // namespace fettle
