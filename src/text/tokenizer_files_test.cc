#include <fettle/error.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/file.h"
#include "text/oracle_test.h"
#include "text/tokenizer.h"
#include "text/tokenizer_spec.h"
#include "text/vocab_json.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

std::vector<std::string> vocabulary() {
  return {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "##s", "qu\"o\\te", "\u00e9", "tab\tbed"};
}

Json valid_json() {
  return parse_json(make_tokenizer_json(spec_from_pieces(vocabulary(), {}, "test")), "test");
}

// The message with which a file is refused; "" when it loads.
std::string refusal(const std::string& file, const std::string& text) {
  TemporaryFolder folder;
  try {
    std::shared_ptr<const Tokenizer> tokenizer;
    if (file == "tokenizer.json") {
      tokenizer = Tokenizer::from_json(text, file);
    } else {
      write_file(folder.path() / file, text);
      tokenizer = Tokenizer::load(folder.path());
    }
    std::vector<int32_t> ids;
    tokenizer->encode("hello [SEP] quote", EncodeOptions{.split_special_tokens = false}, ids);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    EXPECT_NE(std::string(error.what()).find(file), std::string::npos) << error.what();
    return error.what();
  }
}

void expect_refusal(const std::function<void(Json&)>& change, const std::string& reason) {
  Json json = valid_json();
  change(json);
  EXPECT_NE(refusal("tokenizer.json", json.dump()).find(reason), std::string::npos)
      << refusal("tokenizer.json", json.dump()) << " / " << reason;
}

TEST(TokenizerFiles, SavedFilesLoadAgain) {
  TemporaryFolder folder;
  const WordPieceOptions options{.lowercase = false,
                                 .strip_accents = true,
                                 .split_chinese = false,
                                 .max_input_chars_per_word = 50,
                                 .model_max_length = 64};
  Tokenizer::from_vocab(vocabulary(), options)->save(folder.path());
  for (const bool with_json : {true, false}) {
    if (!with_json) fs::remove(folder.path() / "tokenizer.json");
    const auto loaded = Tokenizer::load(folder.path());
    ASSERT_EQ(loaded->vocab_size(), 10);
    for (int32_t id = 0; id < 10; ++id) EXPECT_EQ(loaded->piece(id), vocabulary()[static_cast<size_t>(id)]);
    EXPECT_FALSE(loaded->options().lowercase);
    EXPECT_TRUE(loaded->options().strips_accents());
    EXPECT_FALSE(loaded->options().split_chinese);
    EXPECT_EQ(loaded->options().max_input_chars_per_word, with_json ? 50 : 100);
    EXPECT_EQ(loaded->model_max_length(), 64);
    EXPECT_EQ(loaded->mask_id(), 4);
    EXPECT_TRUE(loaded->is_special(4));
  }
}

TEST(TokenizerFiles, LoadedJsonIsSavedUnchanged) {
  TemporaryFolder first, second;
  Tokenizer::from_vocab(vocabulary())->save(first.path());
  const char* names[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"};
  for (const char* name : names) write_file(first.path() / name, " " + read_file(first.path() / name) + "\n\n");
  Tokenizer::load(first.path())->save(second.path());
  for (const char* name : names) EXPECT_EQ(read_file(first.path() / name), read_file(second.path() / name)) << name;
  EXPECT_EQ(read_file(first.path() / "vocab.txt"), read_file(second.path() / "vocab.txt"));
}

TEST(TokenizerFiles, ConfigNamesSpecialTokensAndLengths) {
  TemporaryFolder folder;
  write_file(folder.path() / "vocab.txt", "<pad>\n<unk>\n<s>\n</s>\n<mask>\nHello\n");
  write_file(folder.path() / "tokenizer_config.json",
             R"({"do_lower_case": false, "unk_token": "<unk>", "cls_token": {"content": "<s>"}, "sep_token": "</s>",
                 "pad_token": "<pad>", "mask_token": null, "model_max_length": 1000000000000000019884624838656})");
  write_file(folder.path() / "special_tokens_map.json", R"({"mask_token": "<mask>"})");
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer->unk_id(), 1);
  EXPECT_EQ(tokenizer->cls_id(), 2);
  EXPECT_EQ(tokenizer->mask_id(), 4);
  EXPECT_EQ(tokenizer->model_max_length(), std::nullopt);
  std::vector<int32_t> ids;
  tokenizer->encode("Hello hello", 0, ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{2, 5, 1, 3}));
}

// A folder saved without tokenizer.json names added tokens in two other files.
TEST(TokenizerFiles, AddedTokensBesideAVocabTxt) {
  TemporaryFolder folder, again;
  write_file(folder.path() / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nnew\n##er\n");
  write_file(folder.path() / "tokenizer_config.json",
             R"({"added_tokens_decoder": {"0": {"content": "[PAD]", "special": true},
                                          "8": {"content": "New York", "special": false, "normalized": false}}})");
  write_file(folder.path() / "added_tokens.json", R"({"New York": 8, "hellos": 9})");
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer->vocab_size(), 10);
  EXPECT_TRUE(tokenizer->is_special(0));
  EXPECT_FALSE(tokenizer->is_special(8));
  tokenizer->save(again.path());
  fs::remove(again.path() / "vocab.txt");
  for (const auto& loaded : {tokenizer, Tokenizer::load(again.path())}) {
    std::vector<int32_t> ids;
    loaded->encode("hello New York new york HELLOS newer", 0, ids);
    EXPECT_EQ(ids, (std::vector<int32_t>{2, 5, 8, 6, 1, 9, 6, 7, 3}));
  }
  for (const char* bad :
       {R"({"x": -1})", R"({"": 8})", R"({"x": "8"})", "[]", R"({"hello": 8})", R"({"x": 4000000})"}) {
    write_file(folder.path() / "added_tokens.json", bad);
    EXPECT_THROW(Tokenizer::load(folder.path()), Error) << bad;
  }
  fs::remove(folder.path() / "added_tokens.json");
  for (const char* bad : {R"({"x": {"content": "a"}})", R"({"8": 1})", R"({"8": {}})", R"({"-1": {"content": "a"}})"}) {
    write_file(folder.path() / "tokenizer_config.json", std::string(R"({"added_tokens_decoder": )") + bad + "}");
    EXPECT_THROW(Tokenizer::load(folder.path()), Error) << bad;
  }
}

TEST(TokenizerFiles, VocabTxtQuirks) {
  TemporaryFolder folder;
  write_file(folder.path() / "vocab.txt", "\xef\xbb\xbf[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\nhello\r\n\r\nhello\r\n");
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer->vocab_size(), 7);
  EXPECT_EQ(tokenizer->find("hello"), 6) << "the last of equal lines wins";
  EXPECT_EQ(tokenizer->piece(4), "");
  EXPECT_EQ(tokenizer->piece(5), "");
  EXPECT_EQ(tokenizer->mask_id(), std::nullopt);
  EXPECT_TRUE(tokenizer->options().lowercase) << "no capitals in the vocabulary";
  TemporaryFolder again;
  tokenizer->save(again.path());
  EXPECT_EQ(Tokenizer::load(again.path())->find("hello"), 6);
}

TEST(TokenizerFiles, MissingFilesAreAnIoError) {
  TemporaryFolder folder;
  try {
    Tokenizer::load(folder.path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
  }
}

TEST(TokenizerFiles, RefusesBadVocabTxt) {
  EXPECT_NE(refusal("vocab.txt", ""), "");
  EXPECT_NE(refusal("vocab.txt", "[UNK]\n[CLS]\n").find("[SEP]"), std::string::npos);
  EXPECT_NE(refusal("vocab.txt", "[UNK]\n[CLS]\n[SEP]\n\xff\n").find("UTF-8"), std::string::npos);
  EXPECT_NE(refusal("vocab.txt", "[UNK]\n[CLS]\n[SEP]\n" + std::string((1 << 20) + 1, 'a')).find("line 4"),
            std::string::npos);
  EXPECT_NE(refusal("vocab.txt", std::string((1 << 22) + 1, '\n')).find("lines"), std::string::npos);
}

TEST(TokenizerFiles, RefusesBadVocabularyObjects) {
  const auto vocab = [](Json& json) -> Json& { return json["model"]["vocab"]; };
  expect_refusal([&](Json& json) { vocab(json)["x"] = -1; }, "negative");
  expect_refusal([&](Json& json) { vocab(json)["x"] = 1.5; }, "not an integer");
  expect_refusal([&](Json& json) { vocab(json)["x"] = "3"; }, "not an integer");
  expect_refusal([&](Json& json) { vocab(json)["x"] = 5; }, "id 5 has two pieces");
  expect_refusal([&](Json& json) { vocab(json)["x"] = 1 << 22; }, "not below");
  expect_refusal([&](Json& json) { vocab(json)["x"] = 4'000'000; }, "highest id");
  expect_refusal([&](Json& json) { vocab(json)[std::string((1 << 20) + 1, 'a')] = 10; }, "longer");
  expect_refusal([&](Json& json) { vocab(json) = Json::array(); }, "vocab");
  expect_refusal([&](Json& json) { vocab(json) = Json::object(); }, "no \"[UNK]\"");
  expect_refusal([&](Json& json) { json["model"].erase("vocab"); }, "vocab");
  const std::vector<std::pair<std::string, std::string>> texts = {{R"({"a": 0, "b": 1, "a": 2})", ""},
                                                                  {R"({"a": 0,})", "expected"},
                                                                  {R"({"a" 0})", "expected"},
                                                                  {R"({"a": 0 "b": 1})", "expected"},
                                                                  {R"({"a": 01})", "not an integer"},
                                                                  {R"({"a": 1e3})", "not an integer"},
                                                                  {R"({"\ud800": 0})", "lone surrogate"},
                                                                  {R"({"\udc00": 0})", "lone"},
                                                                  {R"({"\x": 0})", "escape"},
                                                                  {R"({"\u12g4": 0})", "hexadecimal"},
                                                                  {"{\"a\nb\": 0}", "control"},
                                                                  {"{\"\xc0\": 0}", "UTF-8"},
                                                                  {R"({"a": 99999999999999999999})", "not below"},
                                                                  {"{\"a\": 0", "expected"},
                                                                  {"{\"a\": 0}}", "unexpected"}};
  for (const auto& [text, reason] : texts) {
    try {
      parse_vocab_object(text, "file");
      EXPECT_EQ(reason, "") << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(reason), std::string::npos) << text << ": " << error.what();
      EXPECT_NE(reason, "") << error.what();
    }
  }
  EXPECT_EQ(parse_vocab_object(R"({"\u00e9\ud83d\ude00\/\"": 1 , "b" :0 })", "file"),
            (std::vector<std::string>{"b", "é😀/\""}));
}

TEST(TokenizerFiles, WritesWhatItReads) {
  Json json = valid_json();
  json["model"]["vocab"]["a"] = 12;
  json["model"]["vocab"][""] = 15;
  json["decoder"] = nullptr;
  json["post_processor"]["special_tokens"]["[CLS]"]["ids"] = {2, 12, 15};
  json["added_tokens"].push_back({{"id", 20}, {"content", "né"}, {"lstrip", true}});
  const std::string written = make_tokenizer_json(parse_tokenizer_json(json.dump(), "test"));
  EXPECT_EQ(written, make_tokenizer_json(parse_tokenizer_json(written, "test")));
  const auto first = Tokenizer::from_json(json.dump(), "test"), second = Tokenizer::from_json(written, "test");
  EXPECT_EQ(first->vocab_size(), 21);
  EXPECT_EQ(second->vocab_size(), 21);
  const EncodeOptions options{.split_special_tokens = false};
  const TokenEncoding encoding = second->encode_with_offsets("hello  NE a [SEP]", options);
  EXPECT_EQ(encoding.ids, (std::vector<int32_t>{2, 12, 15, 5, 20, 12, 3, 3}));
  EXPECT_EQ(encoding.ids, first->encode_with_offsets("hello  NE a [SEP]", options).ids);
  EXPECT_EQ(second->decode(encoding.ids, true), "a hello né a");
}

TEST(TokenizerFiles, RefusesBadPieces) {
  std::vector<std::string> pieces = vocabulary();
  pieces.push_back("\xff");
  EXPECT_THROW(Tokenizer::from_vocab(pieces), Error);
  EXPECT_THROW(Tokenizer::from_vocab(vocabulary(), {.max_input_chars_per_word = -1}), Error);
  EXPECT_THROW(Tokenizer::from_vocab({"[UNK]", "[CLS]"}), Error);
}

TEST(TokenizerFiles, RefusesDuplicatePieces) {
  std::string text = valid_json().dump();
  const std::string entry = "\"hello\":5";
  text.replace(text.find(entry), entry.size(), entry + ",\"hello\":10");
  EXPECT_NE(refusal("tokenizer.json", text).find("twice"), std::string::npos) << refusal("tokenizer.json", text);
}

TEST(TokenizerFiles, RefusesBadParts) {
  expect_refusal([](Json& json) { json = Json::array(); }, "not a JSON object");
  expect_refusal([](Json& json) { json["model"]["type"] = "WordLevel"; }, "\"WordLevel\" is not supported");
  expect_refusal([](Json& json) { json["model"]["unk_token"] = "nothing"; }, "no \"nothing\"");
  expect_refusal([](Json& json) { json["model"]["max_input_chars_per_word"] = -1; }, "max_input_chars_per_word");
  expect_refusal([](Json& json) { json["normalizer"] = {{"type", "NFKC"}}; }, "\"NFKC\" is not supported");
  expect_refusal([](Json& json) { json["normalizer"]["strip_accents"] = 3; }, "strip_accents");
  expect_refusal([](Json& json) { json["pre_tokenizer"] = nullptr; }, "pre_tokenizer");
  expect_refusal([](Json& json) { json["decoder"]["type"] = 1; }, "type");
  expect_refusal([](Json& json) { json["added_tokens"] = 1; }, "added_tokens");
  expect_refusal([](Json& json) { json["added_tokens"][0]["content"] = ""; }, "empty");
  expect_refusal([](Json& json) { json["added_tokens"][0]["content"] = std::string(1025, 'x'); }, "longer");
  expect_refusal([](Json& json) { json["added_tokens"][0]["content"] = "hello"; }, "contradicts");
  expect_refusal([](Json& json) { json["added_tokens"][0]["id"] = -1; }, "id");
  expect_refusal([](Json& json) { json["added_tokens"][0]["id"] = 1; }, "");
  expect_refusal([](Json& json) { json["added_tokens"].push_back(json["added_tokens"][0]); }, "two added");
  expect_refusal(
      [](Json& json) {
        json["added_tokens"].push_back({{"id", 4'000'000}, {"content", "x"}});
      },
      "far above");
  expect_refusal([](Json& json) { json["post_processor"]["single"].erase(1); }, "each sequence once");
  expect_refusal([](Json& json) { json["post_processor"]["pair"][0]["Sequence"] = 3; }, "malformed");
  expect_refusal([](Json& json) { json["post_processor"]["special_tokens"]["[CLS]"]["ids"][0] = 10; }, "template id");
  expect_refusal([](Json& json) { json["post_processor"]["special_tokens"]["[CLS]"]["ids"][0] = -3; }, "in range");
  expect_refusal([](Json& json) { json["post_processor"]["special_tokens"].erase("[SEP]"); }, "[SEP]");
}

TEST(TokenizerFiles, AcceptsOtherPostProcessors) {
  Json json = valid_json();
  json["post_processor"] = {{"type", "BertProcessing"}, {"sep", {"[SEP]", 3}}, {"cls", {"[CLS]", 2}}};
  EXPECT_EQ(refusal("tokenizer.json", json.dump()), "");
  json["post_processor"] = nullptr;
  EXPECT_EQ(refusal("tokenizer.json", json.dump()), "");
  json["normalizer"] = nullptr;
  EXPECT_EQ(refusal("tokenizer.json", json.dump()), "");
}

TEST(TokenizerFiles, EveryTruncationIsRefused) {
  const std::string text = valid_json().dump();
  for (size_t size = 0; size < text.size(); ++size)
    EXPECT_NE(refusal("tokenizer.json", text.substr(0, size)), "") << size;
}

TEST(TokenizerFiles, BitFlipsAreRefusedOrHarmless) {
  const std::string text = valid_json().dump();
  for (size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 1 << i % 8);
    refusal("tokenizer.json", damaged);
  }
}

}  // namespace
}  // namespace fettle
