#include <fettle/error.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/file.h"
#include "base/philox.h"
#include "base/python_oracle.h"
#include "text/normal_forms.h"
#include "text/oracle_test.h"
#include "text/piece_trie.h"
#include "text/sentencepiece_file.h"
#include "text/tokenizer_spec.h"
#include "text/unicode.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;
using testing::ask_oracle;
using testing::expect_same_as_rust;
using testing::shared_data;
using testing::TemporaryFolder;

std::vector<int32_t> ids_of(const Tokenizer& tokenizer, std::string_view text, bool add_special = true) {
  std::vector<int32_t> ids;
  tokenizer.encode(text, EncodeOptions{.add_special_tokens = add_special}, ids);
  return ids;
}

std::string refusal(const std::function<void()>& load) {
  try {
    load();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "";
}

TEST(PieceTrie, FindsEveryPrefix) {
  Philox random(5);
  std::vector<std::string> pieces;
  for (int i = 0; i < 400; ++i) {
    std::string piece;
    for (uint64_t n = 1 + random.below(5); n > 0; --n) piece += static_cast<char>("ab\xc3\xa9\xff"[random.below(5)]);
    pieces.push_back(std::move(piece));
  }
  std::vector<std::pair<std::string_view, int32_t>> rows;
  for (size_t i = 0; i < pieces.size(); ++i) rows.emplace_back(pieces[i], static_cast<int32_t>(i));
  const PieceTrie trie(rows);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (uint64_t n = random.below(8); n > 0; --n) text += static_cast<char>("ab\xc3\xa9\xff"[random.below(5)]);
    std::vector<std::pair<size_t, int32_t>> expected, actual;
    for (size_t size = 1; size <= text.size(); ++size) {
      int32_t last = -1;
      for (size_t i = 0; i < pieces.size(); ++i) {
        if (pieces[i] == text.substr(0, size)) last = static_cast<int32_t>(i);
      }
      if (last >= 0) expected.emplace_back(size, last);
    }
    trie.for_each_prefix(text, [&](size_t size, int32_t id) { actual.emplace_back(size, id); });
    EXPECT_EQ(actual, expected) << text;
  }
}

// ▁a, ▁b and so on of a language in which every word is worth something.
Json small_json() {
  Json vocab = Json::array({{"<s>", 0.0}, {"<pad>", 0.0}, {"</s>", 0.0}, {"<unk>", 0.0}});
  const std::vector<std::pair<std::string, double>> pieces = {{"▁", -2.0},      {"▁hell", -4.0}, {"o", -3.0},
                                                              {"▁hello", -6.5}, {"ab", -5.0},    {"a", -3.0},
                                                              {"b", -3.5},      {"é", -4.0},     {"bc", -4.0}};
  for (const auto& [text, score] : pieces) vocab.push_back({text, score});
  Json json = {{"added_tokens", Json::array()},
               {"normalizer", {{"type", "NFC"}}},
               {"pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}}},
               {"decoder", {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}}},
               {"model", {{"type", "Unigram"}, {"unk_id", 3}, {"vocab", std::move(vocab)}}}};
  int id = 0;
  for (const char* name : {"<s>", "<pad>", "</s>", "<unk>"}) {
    json["added_tokens"].push_back({{"id", id++}, {"content", name}, {"special", true}});
  }
  const auto special = [](const char* name) { return Json{{"SpecialToken", {{"id", name}, {"type_id", 0}}}}; };
  const auto sequence = [](const char* name) { return Json{{"Sequence", {{"id", name}, {"type_id", 0}}}}; };
  json["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", {special("<s>"), sequence("A"), special("</s>")}},
      {"pair", {special("<s>"), sequence("A"), special("</s>"), special("</s>"), sequence("B"), special("</s>")}},
      {"special_tokens",
       {{"<s>", {{"id", "<s>"}, {"ids", {0}}, {"tokens", {"<s>"}}}},
        {"</s>", {{"id", "</s>"}, {"ids", {2}}, {"tokens", {"</s>"}}}}}}};
  return json;
}

TEST(Unigram, TakesTheBestPath) {
  const auto tokenizer = Tokenizer::from_json(small_json().dump(), "test");
  const TokenEncoding encoding = tokenizer->encode_with_offsets("hello abc e\u0301", 0);
  EXPECT_EQ(encoding.tokens, (std::vector<std::string>{"<s>", "▁hello", "▁", "a", "bc", "▁", "é", "</s>"}));
  EXPECT_EQ(ids_of(*tokenizer, "hello abc e\u0301"), encoding.ids);
  EXPECT_EQ(encoding.offsets[2], (std::pair<int32_t, int32_t>{5, 6}));
  EXPECT_EQ(tokenizer->decode(encoding.ids, true), "hello abc é");
  EXPECT_EQ(tokenizer->unk_id(), 3);
  EXPECT_EQ(tokenizer->pad_id(), 1);
  EXPECT_EQ(tokenizer->mask_id(), std::nullopt);
  EXPECT_EQ(ids_of(*tokenizer, ""), (std::vector<int32_t>{0, 2}));
}

TEST(Unigram, UnknownCharactersInARowAreOneToken) {
  const auto tokenizer = Tokenizer::from_json(small_json().dump(), "test");
  const TokenEncoding encoding = tokenizer->encode_with_offsets("a漢字b", 0);
  EXPECT_EQ(encoding.tokens, (std::vector<std::string>{"<s>", "▁", "a", "<unk>", "b", "</s>"}));
  EXPECT_EQ(encoding.offsets[3], (std::pair<int32_t, int32_t>{1, 3}));
  EXPECT_EQ(ids_of(*tokenizer, "a漢字b"), encoding.ids);
}

TEST(Unigram, ControlPiecesMatchNoText) {
  const auto tokenizer = Tokenizer::from_json(small_json().dump(), "test");
  for (const int32_t id : ids_of(*tokenizer, "</s> a <s>", false)) EXPECT_TRUE(id >= 3) << id;
  std::vector<int32_t> ids;
  tokenizer->encode("a</s>", EncodeOptions{.split_special_tokens = false}, ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 4, 9, 2, 2}));
}

TEST(Unigram, BytesStandForUnknownCharacters) {
  Json json = small_json();
  json["model"]["byte_fallback"] = true;
  for (const char* name : {"<0xE6>", "<0xBC>", "<0xA2>"}) json["model"]["vocab"].push_back({name, -20.0});
  const auto tokenizer = Tokenizer::from_json(json.dump(), "test");
  const TokenEncoding encoding = tokenizer->encode_with_offsets("a漢b字", 0);
  EXPECT_EQ(encoding.tokens,
            (std::vector<std::string>{"<s>", "▁", "a", "<0xE6>", "<0xBC>", "<0xA2>", "b", "<unk>", "</s>"}));
  EXPECT_EQ(encoding.offsets[4], (std::pair<int32_t, int32_t>{1, 2}));
  EXPECT_EQ(ids_of(*tokenizer, "a漢b字"), encoding.ids);
}

TEST(Unigram, InvalidUtf8IsReadAsReplacementCharacters) {
  const auto tokenizer = Tokenizer::from_json(small_json().dump(), "test");
  for (const std::string text : {"\xff", "a\xe4\xb8 b", "\xc3", "x\xed\xa0\x80y"}) {
    EXPECT_EQ(ids_of(*tokenizer, text), ids_of(*tokenizer, unicode::replace_invalid_utf8(text)));
    EXPECT_EQ(ids_of(*tokenizer, text), tokenizer->encode_with_offsets(text, 0).ids);
  }
}

TEST(Unigram, SavedFoldersLoadAgain) {
  TemporaryFolder folder, copy;
  write_json(folder.path() / "tokenizer.json", small_json());
  const auto tokenizer = Tokenizer::load(folder.path());
  tokenizer->save(copy.path());
  EXPECT_EQ(read_file(copy.path() / "tokenizer.json"), read_file(folder.path() / "tokenizer.json"));
  EXPECT_EQ(ids_of(*Tokenizer::load(copy.path()), "hello abc"), ids_of(*tokenizer, "hello abc"));
}

TEST(Unigram, RefusesBadFiles) {
  const auto of_change = [](const std::function<void(Json&)>& change) {
    Json json = small_json();
    change(json);
    return refusal([&] { Tokenizer::from_json(json.dump(), "test"); });
  };
  const auto step = [](Json value) {
    return [value](Json& json) { json["normalizer"] = {{"type", "Sequence"}, {"normalizers", {value}}}; };
  };
  const std::vector<std::pair<std::function<void(Json&)>, std::string>> cases = {
      {[](Json& json) { json["model"]["unk_id"] = 13; }, "unk_id"},
      {[](Json& json) { json["model"]["unk_id"] = nullptr; }, "unk_id"},
      {[](Json& json) { json["model"]["vocab"] = Json::array(); }, "unk_id"},
      {[](Json& json) { json["model"]["vocab"] = Json::object(); }, "vocab"},
      {[](Json& json) { json["model"]["vocab"].push_back({"x"}); }, "expected"},
      {[](Json& json) {
         json["model"]["vocab"].push_back({"x", "y"});
       },
       "number"},
      {[](Json& json) {
         json["model"]["vocab"].push_back({3, 1.0});
       },
       "expected"},
      {[](Json& json) {
         json["pre_tokenizer"] = {{"type", "Whitespace"}};
       },
       "Whitespace"},
      {[](Json& json) {
         json["pre_tokenizer"] = {{"type", "WhitespaceSplit"}};
       },
       ""},
      {[](Json& json) { json["pre_tokenizer"]["replacement"] = "_"; }, "replacement"},
      {[](Json& json) { json["pre_tokenizer"]["prepend_scheme"] = "often"; }, "often"},
      {step({{"type", "Nmt"}}), "Nmt"},
      {step({{"type", "Replace"}, {"pattern", {{"Regex", "a+"}}}, {"content", ""}}), "a+"},
      {step({{"type", "Replace"}, {"pattern", {{"String", ""}}}, {"content", ""}}), "empty"},
      {step({{"type", "Precompiled"}, {"precompiled_charsmap", "???"}}), "base64"},
      {step({{"type", "Precompiled"}, {"precompiled_charsmap", "AAAA"}}), "too short"},
      {step({{"type", "Precompiled"}, {"precompiled_charsmap", "/////wAAAAA="}}), "impossible"},
      {step({{"type", "Precompiled"}, {"precompiled_charsmap", "BAAAAAAAAAD/"}}), "UTF-8"}};
  EXPECT_EQ(of_change([](Json&) {}), "");
  for (const auto& [change, reason] : cases) {
    const std::string message = of_change(change);
    EXPECT_NE(message.find(reason), std::string::npos) << message << " / " << reason;
  }
}

// A character map whose trie leads everywhere, also out of itself.
TEST(Unigram, DamagedCharsmapsDoNoHarm) {
  Philox random(8);
  for (int round = 0; round < 300; ++round) {
    std::string bytes;
    const uint32_t n_units = 1 + static_cast<uint32_t>(random.below(600));
    const auto put = [&](uint32_t value) { bytes.append(reinterpret_cast<const char*>(&value), sizeof value); };
    put(n_units * 4);
    for (uint32_t i = 0; i < n_units; ++i) {
      const auto noise = static_cast<uint32_t>(random.below(uint64_t{1} << 32));
      put(round % 2 ? noise : (noise & 0xfffu) << 10 | (noise >> 20 & 0x1ff));
    }
    bytes += "abc";
    bytes += '\0';
    const Charsmap map(bytes, "test");
    for (const std::string& text : testing::tricky_texts(5, static_cast<uint64_t>(round))) {
      for (size_t at = 0; at < text.size(); ++at) {
        const auto longest = map.longest(std::string_view(text).substr(at));
        const auto shortest = map.shortest(std::string_view(text).substr(at));
        EXPECT_EQ(longest.has_value(), shortest.has_value());
        EXPECT_LE(shortest ? shortest->n_bytes : 0, longest ? longest->n_bytes : 0);
      }
    }
  }
}

TEST(UnigramVectors, T5) {
  FETTLE_NEED_SHARED_DATA();
  const auto tokenizer = Tokenizer::load(shared_data() / "tokenizers/t5-small");
  const Json sample = read_json(shared_data() / "tokenizers/bert-vectors/t5_base_encoded.json");
  const TokenEncoding encoding = tokenizer->encode_with_offsets(sample.at("text").get<std::string>(), 0);
  EXPECT_EQ(Json(encoding.ids), sample.at("token_ids"));
  EXPECT_EQ(Json(tokenizer->decode(encoding.ids, false)), sample.at("decoded_text"));
  const Json samples = read_json(shared_data() / "tokenizers/bert-vectors/tokenizer_tests.json").at("t5-base");
  for (const Json& item : samples) {
    const std::vector<int32_t> ids = ids_of(*tokenizer, item.at("input").get<std::string>());
    EXPECT_EQ(Json(ids), item.at("encoded").at("input_ids")) << item.at("input");
  }
}

TEST(UnigramOracle, T5MatchesRust) {
  FETTLE_NEED_ORACLE();
  FETTLE_NEED_SHARED_DATA();
  const fs::path folder = shared_data() / "tokenizers/t5-small";
  const auto tokenizer = Tokenizer::load(folder);
  // For unknown and added tokens the library names what they stand for.
  expect_same_as_rust(*tokenizer, folder, testing::clinc_texts());
  expect_same_as_rust(*tokenizer, folder, testing::korean_texts(), 0, false);
  expect_same_as_rust(*tokenizer, folder, testing::tricky_texts(2000, 21), 0, false);
  expect_same_as_rust(*tokenizer, folder, testing::tricky_texts(300, 22), 9, false);
}

// T5's pieces behind the parts that tokenizers of other families have.
TEST(UnigramOracle, OtherNormalizersAndSplittersMatchRust) {
  FETTLE_NEED_ORACLE();
  FETTLE_NEED_SHARED_DATA();
  const Json t5 = read_json(shared_data() / "tokenizers/t5-small/tokenizer.json");
  const Json precompiled = t5.at("normalizer");
  const auto replace = [](const char* kind, const char* pattern, const char* content) {
    return Json{{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
  };
  const auto sequence = [](Json list) { return Json{{"type", "Sequence"}, {"normalizers", std::move(list)}}; };
  const auto metaspace = [](const char* scheme, bool split) {
    return Json{{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}, {"split", split}};
  };
  const auto plain = [](const char* type) { return Json{{"type", type}}; };
  const Json xlmr = sequence(
      {precompiled, {{"type", "Strip"}, {"strip_left", false}, {"strip_right", true}}, replace("Regex", " {2,}", "▁")});
  const Json albert =
      sequence({replace("String", "``", "\""), replace("String", "''", "\""), plain("NFKD"), plain("StripAccents"),
                plain("Lowercase"), precompiled, replace("Regex", " {2,}", " ")});
  const std::vector<std::pair<Json, Json>> cases = {{xlmr, metaspace("always", true)},
                                                    {albert, metaspace("always", true)},
                                                    {plain("NFC"), metaspace("first", true)},
                                                    {plain("NFKC"), metaspace("never", false)},
                                                    {plain("NFD"), metaspace("always", false)},
                                                    {Json(), metaspace("first", false)},
                                                    {plain("NFKD"), Json()}};
  for (size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(i);
    Json json = t5;
    json["normalizer"] = cases[i].first;
    json["pre_tokenizer"] = cases[i].second;
    TemporaryFolder folder;
    write_json(folder.path() / "tokenizer.json", json);
    const auto tokenizer = Tokenizer::load(folder.path());
    expect_same_as_rust(*tokenizer, folder.path(), testing::tricky_texts(700, 30 + i), 0, false);
  }
}

TEST(UnigramOracle, EveryCodePointIsNormalizedAsByRust) {
  FETTLE_NEED_ORACLE();
  std::vector<std::string> texts(1);
  int n = 0;
  for (char32_t code = 1; code < 0x32000; ++code) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    if (code >= 0x3400 && code < 0xd7a4 && code % 32 > 1) continue;
    if (n++ % 40 == 0) texts.emplace_back();
    std::string& text = texts.back();
    unicode::append_utf8(code, text);
    text += "a\u0345\u0334";
    unicode::append_utf8(code, text);
    text += "\u0301 ";
  }
  using Kind = NormalizerStep::Kind;
  const std::vector<std::pair<Kind, const char*>> kinds = {{Kind::kNfc, "nfc"},
                                                           {Kind::kNfd, "nfd"},
                                                           {Kind::kNfkc, "nfkc"},
                                                           {Kind::kNfkd, "nfkd"},
                                                           {Kind::kLowercase, "lowercase"},
                                                           {Kind::kStripAccents, "stripAccents"}};
  for (const auto& [kind, name] : kinds) {
    SCOPED_TRACE(name);
    const Normalizer normalizer({{.kind = kind}});
    const auto answers = ask_oracle("normalize", "-", {{"kind", name}}, testing::to_requests(texts));
    for (size_t i = 0; i < texts.size(); ++i) {
      std::string fast = texts[i];
      normalizer.apply(fast);
      ASSERT_EQ(Json(fast), answers[i]) << Json(texts[i]);
    }
  }
}

}  // namespace
}  // namespace fettle
