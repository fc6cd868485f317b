#include <fettle/error.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <sstream>

#include "base/file.h"
#include "base/philox.h"
#include "text/byte_level.h"
#include "text/merge_table.h"
#include "text/oracle_test.h"
#include "text/tokenizer_spec.h"

namespace fettle {
namespace {

using testing::ask_oracle;
using testing::expect_same_as_rust;
using testing::shared_data;
using testing::TemporaryFolder;

std::vector<int32_t> ids_of(const Tokenizer& tokenizer, std::string_view text, bool add_special = true) {
  std::vector<int32_t> ids;
  tokenizer.encode(text, EncodeOptions{.add_special_tokens = add_special}, ids);
  return ids;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (size_t at = 0, end; at < text.size(); at = end) {
    end = end_of_word(text, at);
    words.emplace_back(text.substr(at, end - at));
  }
  return words;
}

TEST(ByteLevel, CutsAsThePatternDoes) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(words_of("Hello world"), (Words{"Hello", " world"}));
  EXPECT_EQ(words_of("  a   b "), (Words{" ", " a", "  ", " b", " "}));
  EXPECT_EQ(words_of("a\n\n b\t"), (Words{"a", "\n\n", " b", "\t"}));
  EXPECT_EQ(words_of("a\nb"), (Words{"a", "\n", "b"}));
  EXPECT_EQ(words_of("it's we'll I'd 'tis 'RE"),
            (Words{"it", "'s", " we", "'ll", " I", "'d", " '", "tis", " '", "RE"}));
  EXPECT_EQ(words_of("!'s ''t"), (Words{"!'", "s", " ''", "t"}));
  EXPECT_EQ(words_of("x1.5%\u00a0\u3000é"), (Words{"x", "1", ".", "5", "%", "\u00a0", "\u3000", "é"}));
  EXPECT_EQ(words_of("²½Ⅷ中文 ١٢"), (Words{"²½Ⅷ", "中文", " ١٢"}));
}

TEST(ByteLevel, AlphabetGoesBothWays) {
  const ByteAlphabet& alphabet = ByteAlphabet::get();
  EXPECT_EQ(alphabet.text_of(' '), "Ġ");
  EXPECT_EQ(alphabet.text_of('\n'), "Ċ");
  EXPECT_EQ(alphabet.text_of('a'), "a");
  EXPECT_EQ(alphabet.text_of(0xad), "Ń");
  for (int byte = 0; byte < 256; ++byte) {
    const std::string_view text = alphabet.text_of(static_cast<uint8_t>(byte));
    const unicode::DecodedChar code = unicode::decode_utf8(text.data(), text.data() + text.size());
    EXPECT_EQ(static_cast<size_t>(code.n_bytes), text.size());
    EXPECT_EQ(alphabet.byte_of(code.code), byte);
  }
  EXPECT_EQ(alphabet.byte_of(' '), -1);
  EXPECT_EQ(alphabet.byte_of(0x4e2d), -1);
}

// Looks for the best pair again after each merge.
std::vector<int32_t> merged_plainly(std::vector<int32_t> ids, const std::vector<std::array<int32_t, 3>>& rules) {
  while (true) {
    size_t best_rule = rules.size(), best_at = 0;
    for (size_t at = 0; at + 1 < ids.size(); ++at) {
      for (size_t rule = 0; rule < best_rule; ++rule) {
        if (rules[rule][0] == ids[at] && rules[rule][1] == ids[at + 1]) best_rule = rule, best_at = at;
      }
    }
    if (best_rule == rules.size()) return ids;
    ids[best_at] = rules[best_rule][2];
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
}

TEST(MergeTable, MergesTheBestPairFirstInShortAndLongWords) {
  Philox random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::array<int32_t, 3>> rules;
    const auto n_ids = static_cast<uint64_t>(4 + random.below(20));
    MergeTable table(40);
    for (int i = 0; i < 40; ++i) {
      const auto left = static_cast<int32_t>(random.below(n_ids)), right = static_cast<int32_t>(random.below(n_ids));
      const bool known =
          std::ranges::any_of(rules, [&](const auto& rule) { return rule[0] == left && rule[1] == right; });
      if (known) continue;
      rules.push_back({left, right, static_cast<int32_t>(random.below(n_ids))});
      table.add(left, right, rules.back()[2]);
    }
    std::vector<int32_t> ids;
    for (uint64_t n = 1 + random.below(round % 2 ? 30 : 200); n > 0; --n) {
      ids.push_back(static_cast<int32_t>(random.below(n_ids)));
    }
    std::vector<Symbol> symbols;
    for (const int32_t id : ids) symbols.push_back({id, 1});
    symbols.resize(table.apply(symbols.data(), symbols.size()));
    std::vector<int32_t> actual;
    int32_t n_bytes = 0;
    for (const Symbol& symbol : symbols) actual.push_back(symbol.id), n_bytes += symbol.size;
    EXPECT_EQ(actual, merged_plainly(ids, rules));
    EXPECT_EQ(n_bytes, std::ssize(ids));
  }
}

// All bytes, " h", "he", "ll", "hell", " hell" and RoBERTa's special tokens.
TokenizerSpec small_spec() {
  Json json = {
      {"added_tokens", Json::array()},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
      {"post_processor",
       {{"type", "RobertaProcessing"}, {"sep", {"</s>", 2}}, {"cls", {"<s>", 0}}, {"add_prefix_space", false}}},
      {"decoder", {{"type", "ByteLevel"}}}};
  Json vocab = {{"<s>", 0}, {"<pad>", 1}, {"</s>", 2}, {"<unk>", 3}};
  const auto add = [&](std::string_view piece) { vocab[std::string(piece)] = vocab.size(); };
  for (int byte = 0; byte < 256; ++byte) add(ByteAlphabet::get().text_of(static_cast<uint8_t>(byte)));
  for (const char* piece : {"he", "ll", "hell", "Ġhell", "Ġhello", "<mask>"}) add(piece);
  for (const char* name : {"<s>", "<pad>", "</s>", "<unk>", "<mask>"}) {
    json["added_tokens"].push_back({{"id", vocab[name]}, {"content", name}, {"special", true}});
  }
  json["model"] = {
      {"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", {"h e", "l l", "he ll", Json::array({"Ġ", "hell"})}}};
  return parse_tokenizer_json(json.dump(), "test");
}

Json small_json() {
  return parse_json(make_tokenizer_json(small_spec()), "test");
}

TEST(BytePair, EncodesAndDecodes) {
  const auto tokenizer = Tokenizer::from_json(small_json().dump(), "test");
  const TokenEncoding encoding = tokenizer->encode_with_offsets("hell hello\xc3\xa9", 0);
  EXPECT_EQ(encoding.tokens, (std::vector<std::string>{"<s>", "hell", "Ġhell", "o", "Ã", "©", "</s>"}))
      << "\"Ġhello\" is a piece that no merge makes";
  const std::vector<std::pair<int32_t, int32_t>> offsets = {{0, 0},   {0, 4},   {5, 9}, {9, 10},
                                                            {10, 11}, {10, 11}, {0, 0}};
  EXPECT_EQ(encoding.offsets, offsets);
  EXPECT_EQ(ids_of(*tokenizer, "hell hello\xc3\xa9"), encoding.ids);
  EXPECT_EQ(tokenizer->decode(encoding.ids, true), "hell helloé");
  EXPECT_EQ(tokenizer->decode(encoding.ids, false), "<s>hell helloé</s>");
  EXPECT_EQ(tokenizer->unk_id(), -1);
  EXPECT_EQ(tokenizer->cls_id(), 0);
  EXPECT_EQ(tokenizer->sep_id(), 2);
  EXPECT_EQ(tokenizer->pad_id(), 1);
  EXPECT_EQ(tokenizer->mask_id(), tokenizer->vocab_size() - 1);
  EXPECT_EQ(tokenizer->n_special_pair(), 4);
}

TEST(BytePair, InvalidUtf8IsReadAsReplacementCharacters) {
  const auto tokenizer = Tokenizer::from_json(small_json().dump(), "test");
  for (const std::string text : {"\xff", "a\xe4\xb8 b", "\xc3", "x\xed\xa0\x80y"}) {
    const std::string repaired = unicode::replace_invalid_utf8(text);
    EXPECT_EQ(ids_of(*tokenizer, text), ids_of(*tokenizer, repaired));
    EXPECT_EQ(ids_of(*tokenizer, text), tokenizer->encode_with_offsets(text, 0).ids);
    EXPECT_EQ(tokenizer->decode(ids_of(*tokenizer, text), true), repaired);
  }
  EXPECT_EQ(ids_of(*tokenizer, ""), (std::vector<int32_t>{0, 2}));
}

TEST(BytePair, SpecialTokensInTextArePlainUnlessAsked) {
  const auto tokenizer = Tokenizer::from_json(small_json().dump(), "test");
  std::vector<int32_t> ids;
  tokenizer->encode("<mask>", EncodeOptions{.add_special_tokens = false, .split_special_tokens = false}, ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{*tokenizer->mask_id()}));
  EXPECT_GT(ids_of(*tokenizer, "<mask>", false).size(), 1u);
}

TEST(BytePair, PairsAreOfOneType) {
  const auto tokenizer = Tokenizer::from_json(small_json().dump(), "test");
  std::vector<int32_t> ids, types;
  tokenizer->encode_pair("h", "o", {}, ids, types);
  const int32_t h = *tokenizer->find("h"), o = *tokenizer->find("o");
  EXPECT_EQ(ids, (std::vector<int32_t>{0, h, 2, 2, o, 2}));
  EXPECT_EQ(types, std::vector<int32_t>(6, 0));
}

TEST(BytePair, SavedFoldersLoadAgain) {
  const auto tokenizer = Tokenizer::from_json(small_json().dump(), "test");
  const std::string text = " hello\n\nhell <mask> \xf0\x9f\x91\x8d";
  for (const bool without_json : {false, true}) {
    TemporaryFolder folder, copy;
    tokenizer->save(folder.path());
    EXPECT_EQ(read_file(folder.path() / "tokenizer.json"), small_json().dump());
    if (without_json) std::filesystem::remove(folder.path() / "tokenizer.json");
    const auto loaded = Tokenizer::load(folder.path());
    EXPECT_EQ(ids_of(*loaded, text), ids_of(*tokenizer, text));
    EXPECT_EQ(loaded->mask_id(), tokenizer->mask_id());
    EXPECT_EQ(loaded->encode_with_offsets(text, 0).offsets, tokenizer->encode_with_offsets(text, 0).offsets);
    loaded->save(copy.path());
    for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"}) {
      EXPECT_EQ(read_file(copy.path() / name), read_file(folder.path() / name)) << name;
    }
    EXPECT_EQ(ids_of(*Tokenizer::load(copy.path()), text), ids_of(*tokenizer, text));
  }
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

TEST(BytePair, RefusesBadFiles) {
  const auto of_change = [](const std::function<void(Json&)>& change) {
    Json json = small_json();
    change(json);
    return refusal([&] { Tokenizer::from_json(json.dump(), "test"); });
  };
  const std::vector<std::pair<std::function<void(Json&)>, std::string>> cases = {
      {[](Json& json) { json["model"]["merges"].push_back("x yz"); }, "\"yz\""},
      {[](Json& json) { json["model"]["merges"].push_back("xy"); }, "no merge"},
      {[](Json& json) { json["model"]["merges"].push_back("x y z"); }, "no merge"},
      {[](Json& json) { json["model"]["merges"].push_back("x y"); }, "\"xy\""},
      {[](Json& json) { json["model"]["merges"].push_back(3); }, "expected"},
      {[](Json& json) { json["model"]["merges"].push_back(Json::array({"x"})); }, "expected"},
      {[](Json& json) { json["model"].erase("merges"); }, "merges"},
      {[](Json& json) { json["model"]["dropout"] = 0.1; }, "dropout"},
      {[](Json& json) { json["model"]["byte_fallback"] = true; }, "fallback"},
      {[](Json& json) { json["model"]["end_of_word_suffix"] = "</w>"; }, "suffixes"},
      {[](Json& json) { json["model"]["unk_token"] = "nothing"; }, "\"nothing\""},
      {[](Json& json) { json["model"]["vocab"] = Json::array(); }, "vocab"},
      {[](Json& json) {
         json["pre_tokenizer"] = {{"type", "Whitespace"}};
       },
       "Whitespace"},
      {[](Json& json) { json["pre_tokenizer"]["use_regex"] = false; }, "pattern"},
      {[](Json& json) {
         json["normalizer"] = {{"type", "NFKC"}};
       },
       "NFKC"},
      {[](Json& json) {
         json["decoder"] = {{"type", "BPEDecoder"}};
       },
       "BPEDecoder"},
      {[](Json& json) {
         json["post_processor"] = {{"type", "RobertaProcessing"}, {"cls", 3}};
       },
       "cls"},
      {[](Json& json) {
         json["post_processor"] = {{"type", "RobertaProcessing"}, {"cls", {"x", 0}}};
       },
       "sep"}};
  EXPECT_EQ(of_change([](Json&) {}), "");
  for (const auto& [change, reason] : cases) {
    EXPECT_NE(of_change(change).find(reason), std::string::npos) << of_change(change) << " / " << reason;
  }

  TemporaryFolder folder;
  const auto of_folder = [&] { return refusal([&] { Tokenizer::load(folder.path()); }); };
  write_file(folder.path() / "vocab.json", R"({"a": 0, "b": 1, "ab": 2})");
  write_file(folder.path() / "merges.txt", "#version: 0.2\na b\n");
  EXPECT_EQ(of_folder(), "");
  write_file(folder.path() / "merges.txt", "a b c\n");
  EXPECT_NE(of_folder().find("merges.txt"), std::string::npos) << of_folder();
  write_file(folder.path() / "merges.txt", "a \xff\n");
  EXPECT_NE(of_folder().find("UTF-8"), std::string::npos);
  write_file(folder.path() / "merges.txt", "a a\n");
  EXPECT_NE(of_folder().find("\"aa\""), std::string::npos);
  write_file(folder.path() / "vocab.json", R"({"a": 0, "a": 1})");
  EXPECT_NE(of_folder().find("twice"), std::string::npos);
}

TEST(BytePair, EveryTruncationIsRefused) {
  const std::string text = small_json().dump();
  for (size_t size = 0; size < text.size(); size += 7) {
    EXPECT_NE(refusal([&] { Tokenizer::from_json(text.substr(0, size), "test"); }), "") << size;
  }
}

// llama.cpp's test texts and the ids that Hugging Face's tokenizers gave its authors.
void expect_llama_cpp_ids(const Tokenizer& tokenizer, const std::string& name) {
  const std::string stem = (shared_data() / "tokenizers/gguf-vectors/ggml-vocab-").string() + name + ".gguf";
  const std::string inputs = read_file(stem + ".inp"), separator = "\n__ggml_vocab_test__\n";
  std::istringstream outputs(read_file(stem + ".out"));
  int n = 0;
  for (size_t at = 0; at < inputs.size(); ++n) {
    const size_t end = std::min(inputs.find(separator, at), inputs.size());
    const std::string text = inputs.substr(at, end - at);
    at = end + separator.size();
    std::string line;
    std::getline(outputs, line);
    std::istringstream numbers(line);
    const std::vector<int32_t> expected{std::istream_iterator<int32_t>(numbers), {}};
    EXPECT_EQ(ids_of(tokenizer, text, false), expected) << Json(text);
  }
  EXPECT_GT(n, 30);
}

TEST(BytePairVectors, Gpt2AndRoberta) {
  FETTLE_NEED_SHARED_DATA();
  const auto gpt2 = Tokenizer::load(shared_data() / "tokenizers/gpt2");
  const auto roberta = Tokenizer::load(shared_data() / "tokenizers/roberta-base");
  EXPECT_EQ(gpt2->vocab_size(), 50257);
  EXPECT_EQ(roberta->vocab_size(), 50265);
  EXPECT_EQ(roberta->mask_id(), 50264);
  expect_llama_cpp_ids(*gpt2, "gpt-2");
  expect_llama_cpp_ids(*roberta, "roberta-bpe");
  const Json sample = read_json(shared_data() / "tokenizers/bert-vectors/gpt2_encoded_tokens.json");
  const TokenEncoding encoding = gpt2->encode_with_offsets(sample.at("text").get<std::string>(), 0);
  EXPECT_EQ(Json(encoding.tokens), sample.at("bpe_tokens"));
  EXPECT_EQ(Json(encoding.ids), sample.at("token_ids"));
  EXPECT_EQ(Json(gpt2->decode(encoding.ids, false)), sample.at("decoded_text"));
  const Json samples = read_json(shared_data() / "tokenizers/bert-vectors/tokenizer_tests.json").at("distilgpt2");
  for (const Json& item : samples) {
    const std::vector<int32_t> ids = ids_of(*gpt2, item.at("input").get<std::string>());
    EXPECT_EQ(Json(ids), item.at("encoded").at("input_ids")) << item.at("input");
  }
}

TEST(BytePairOracle, MatchesRust) {
  FETTLE_NEED_ORACLE();
  FETTLE_NEED_SHARED_DATA();
  const std::filesystem::path source = shared_data() / "tokenizers/roberta-base";
  const Json json = read_json(source / "tokenizer.json");
  for (const int bits : {0, 1, 3}) {
    SCOPED_TRACE(bits);
    TemporaryFolder folder;
    Json changed = json;
    changed["pre_tokenizer"]["add_prefix_space"] = (bits & 1) != 0;
    changed["post_processor"]["add_prefix_space"] = (bits & 1) != 0;
    changed["post_processor"]["trim_offsets"] = (bits & 2) == 0;
    write_json(folder.path() / "tokenizer.json", changed);
    const auto tokenizer = Tokenizer::load(folder.path());
    if (bits == 0) expect_same_as_rust(*tokenizer, folder.path(), testing::clinc_texts());
    // For a byte of a character, and an added token, the library names other texts as tokens than the pieces.
    expect_same_as_rust(*tokenizer, folder.path(), testing::tricky_texts(1000, 11), 0, false);
    expect_same_as_rust(*tokenizer, folder.path(), testing::tricky_texts(300, 12), 17, false);
  }
  TemporaryFolder folder;
  Tokenizer::load(shared_data() / "tokenizers/gpt2")->save(folder.path());
  expect_same_as_rust(*Tokenizer::load(folder.path()), folder.path(), testing::korean_texts());
  expect_same_as_rust(*Tokenizer::load(folder.path()), folder.path(), testing::tricky_texts(300, 13), 0, false);
}

TEST(BytePairOracle, EveryCodePointAmongOthersMatchesRust) {
  FETTLE_NEED_ORACLE();
  FETTLE_NEED_SHARED_DATA();
  const std::filesystem::path folder = shared_data() / "tokenizers/roberta-base";
  std::vector<std::string> texts(1);
  int n = 0;
  for (char32_t code = 1; code < 0x32000; ++code) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    if (code >= 0x3400 && code < 0xd7a4 && code % 64 > 1) continue;
    if (n++ % 40 == 0) texts.emplace_back();
    texts.back() += "a";
    unicode::append_utf8(code, texts.back());
    texts.back() += "1 ";
    unicode::append_utf8(code, texts.back());
  }
  const auto tokenizer = Tokenizer::load(folder);
  expect_same_as_rust(*tokenizer, folder, texts);
}

TEST(BytePairOracle, PairsMatchRust) {
  FETTLE_NEED_ORACLE();
  FETTLE_NEED_SHARED_DATA();
  const std::filesystem::path folder = shared_data() / "tokenizers/roberta-base";
  const auto tokenizer = Tokenizer::load(folder);
  const std::vector<std::string> texts = testing::tricky_texts(400, 14);
  std::vector<Json> requests;
  for (size_t i = 0; i + 1 < texts.size(); i += 2) requests.push_back({texts[i], texts[i + 1]});
  const EncodeOptions options{.max_length = 20, .split_special_tokens = false};
  const auto answers = ask_oracle("tokenizers", folder / "tokenizer.json", {{"max_length", 20}}, requests);
  for (size_t i = 0; i < answers.size(); ++i) {
    const TokenEncoding encoding = tokenizer->encode_pair_with_offsets(texts[2 * i], texts[2 * i + 1], options);
    ASSERT_EQ(Json(encoding.ids), answers[i].at("ids")) << requests[i];
    ASSERT_EQ(Json(encoding.type_ids), answers[i].at("type_ids")) << requests[i];
    ASSERT_EQ(Json(encoding.offsets), answers[i].at("offsets")) << requests[i];
  }
}

}  // namespace
}  // namespace fettle
