// SentencePiece's own files: against the library that trains them, and damaged.
#include <fettle/error.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/philox.h"
#include "base/python_oracle.h"
#include "text/oracle_test.h"
#include "text/sentencepiece_file.h"
#include "text/tokenizer_spec.h"
#include "text/unicode.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

std::vector<std::string> sentences() {
  std::vector<std::string> out = testing::tricky_texts(1500, 41);
  for (int i = 0; i < 30; ++i) {
    for (const char* text : {"what is the weather like tomorrow", "transfer twenty dollars to my savings account",
                             "내일 서울 날씨가 어떤지 알려 주세요", "Wie spät ist es in New York?"}) {
      out.emplace_back(text);
    }
  }
  std::erase_if(out, [](const std::string& text) { return text.find('\n') != text.npos || text.empty(); });
  return out;
}

// Trains a model into `path`; what the library gives for each text.
Json train(const fs::path& path, const std::vector<std::string>& texts, const Json& options) {
  TemporaryFolder folder;
  write_json(folder.path() / "options.json", {{"sentences", sentences()}, {"texts", texts}, {"train", options}});
  const PythonResult result =
      run_oracle("sentencepiece_model.py", "'" + (folder.path() / "options.json").string() + "' '" + path.string() +
                                               "' '" + (folder.path() / "answers.json").string() + "'");
  EXPECT_EQ(result.status, 0) << result.output;
  return read_json(folder.path() / "answers.json");
}

#define FETTLE_NEED_SENTENCEPIECE() \
  if (!python_has("sentencepiece")) GTEST_SKIP() << "python3-sentencepiece is not installed"

// `shift`: added to the library's ids from 3 on; `unk`: what its id 0 becomes.
void expect_same(const Tokenizer& tokenizer, const std::vector<std::string>& texts, const Json& answers, int32_t shift,
                 int32_t unk) {
  const EncodeOptions options{.add_special_tokens = false};
  for (size_t i = 0; i < texts.size(); ++i) {
    std::vector<int32_t> expected, begins, ids;
    for (const Json& id : answers[i].at("ids")) {
      expected.push_back(id == 0 ? unk : id.get<int32_t>() + shift);
    }
    tokenizer.encode(texts[i], options, ids);
    ASSERT_EQ(ids, expected) << Json(texts[i]) << answers[i].at("pieces");
    const TokenEncoding encoding = tokenizer.encode_with_offsets(texts[i], options);
    ASSERT_EQ(encoding.ids, expected) << Json(texts[i]);
    for (const auto& [begin, end] : encoding.offsets) {
      begins.push_back(begin);
      EXPECT_LE(begin, end);
    }
    ASSERT_EQ(Json(begins), answers[i].at("begins")) << Json(texts[i]) << answers[i].at("pieces");
  }
}

std::vector<std::string> test_texts(uint64_t seed) {
  std::vector<std::string> texts = testing::tricky_texts(1200, seed);
  for (const char* text :
       {"", " ", "   ", "a", "  what  is\tthe weather ", "▁", "▁▁ a▁b", "ﷺﷺ", "<s>", "unk <unk> </s>"}) {
    texts.emplace_back(text);
  }
  return texts;
}

TEST(SentencePieceOracle, GivesTheLibrarysIds) {
  FETTLE_NEED_SENTENCEPIECE();
  const std::vector<Json> trainings = {
      {{"vocab_size", 600}},
      {{"vocab_size", 700}, {"normalization_rule_name", "nfkc_cf"}, {"user_defined_symbols", {"New York", "$1", "ﬁ"}}},
      {{"vocab_size", 700}, {"normalization_rule_name", "identity"}, {"add_dummy_prefix", false}},
      {{"vocab_size", 700}, {"remove_extra_whitespaces", false}, {"split_by_whitespace", false}},
      {{"vocab_size", 900}, {"byte_fallback", true}}};
  const std::vector<std::string> texts = test_texts(42);
  for (size_t i = 0; i < trainings.size(); ++i) {
    SCOPED_TRACE(i);
    TemporaryFolder folder;
    const Json answers = train(folder.path() / "spiece.model", texts, trainings[i]);
    write_file(folder.path() / "tokenizer_config.json", R"({"tokenizer_class": "T5Tokenizer", "unk_token": "<unk>"})");
    const auto tokenizer = Tokenizer::load(folder.path());
    expect_same(*tokenizer, texts, answers, 0, 0);
  }
}

TEST(SentencePieceOracle, XlmrHasFairseqsIds) {
  FETTLE_NEED_SENTENCEPIECE();
  const std::vector<std::string> texts = test_texts(43);
  TemporaryFolder folder, copy;
  const Json answers = train(folder.path() / "sentencepiece.bpe.model", texts, {{"vocab_size", 600}});
  const auto tokenizer = Tokenizer::load(folder.path());
  expect_same(*tokenizer, texts, answers, 1, 3);
  EXPECT_EQ(tokenizer->cls_id(), 0);
  EXPECT_EQ(tokenizer->pad_id(), 1);
  EXPECT_EQ(tokenizer->sep_id(), 2);
  EXPECT_EQ(tokenizer->unk_id(), 3);
  EXPECT_EQ(tokenizer->mask_id(), tokenizer->vocab_size() - 1);
  std::vector<int32_t> ids, types;
  tokenizer->encode_pair("what", "", {}, ids, types);
  EXPECT_EQ(ids.size(), types.size());
  EXPECT_EQ(ids.front(), 0);
  EXPECT_EQ((std::vector<int32_t>{ids.end() - 3, ids.end()}), (std::vector<int32_t>{2, 2, 2}));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode_with_offsets("what is the weather", 0).ids, true),
            "what is the weather");

  tokenizer->save(copy.path());
  EXPECT_EQ(read_file(copy.path() / "sentencepiece.bpe.model"), read_file(folder.path() / "sentencepiece.bpe.model"));
  expect_same(*Tokenizer::load(copy.path()), texts, answers, 1, 3);
}

TEST(SentencePieceOracle, AlbertPreparesTheText) {
  FETTLE_NEED_SENTENCEPIECE();
  TemporaryFolder folder;
  const std::vector<std::string> prepared = {"an \"angstrom\" of cafe", "what is the weather"};
  const Json answers = train(folder.path() / "spiece.model", prepared,
                             {{"vocab_size", 700},
                              {"pad_id", 0},
                              {"unk_id", 1},
                              {"bos_id", -1},
                              {"eos_id", -1},
                              {"control_symbols", {"[CLS]", "[SEP]", "[MASK]"}}});
  const auto tokenizer = Tokenizer::load(folder.path());
  const EncodeOptions options{.add_special_tokens = false};
  EXPECT_EQ(Json(tokenizer->encode_with_offsets("An ``Ångström'' of CAFE\u0301", options).ids), answers[0].at("ids"));
  const TokenEncoding encoding = tokenizer->encode_with_offsets("What is the weather", 0);
  EXPECT_EQ(encoding.tokens.front(), "[CLS]");
  EXPECT_EQ(encoding.tokens.back(), "[SEP]");
  EXPECT_EQ(encoding.ids.size(), answers[1].at("ids").size() + 2);
  EXPECT_EQ(tokenizer->unk_id(), 1);
  EXPECT_EQ(tokenizer->pad_id(), 0);
  EXPECT_EQ(tokenizer->mask_id(), tokenizer->find("[MASK]"));
  // As the file of a model that keeps case and accents.
  write_file(folder.path() / "tokenizer_config.json",
             R"({"tokenizer_class": "AlbertTokenizer", "do_lower_case": false, "keep_accents": true})");
  const auto cased = Tokenizer::load(folder.path());
  EXPECT_NE(Json(cased->encode_with_offsets("CAFE\u0301", options).ids),
            Json(tokenizer->encode_with_offsets("CAFE\u0301", options).ids));
}

// Protobuf by hand: a field's tag and its bytes.
std::string field(int number, std::string_view bytes) {
  return static_cast<char>(number << 3 | 2) + std::string(1, static_cast<char>(bytes.size())) + std::string(bytes);
}
std::string varint_field(int number, uint64_t value) {
  std::string out;
  for (uint64_t tag = static_cast<uint64_t>(number) << 3;; tag >>= 7) {
    out += static_cast<char>((tag & 0x7f) | (tag > 0x7f ? 0x80 : 0));
    if (tag <= 0x7f) break;
  }
  return out + static_cast<char>(value);
}
std::string piece(std::string_view text, float score, int type) {
  std::string body = field(1, text) + "\x15";
  body.append(reinterpret_cast<const char*>(&score), sizeof score);
  return field(1, body + varint_field(3, static_cast<uint64_t>(type)));
}
std::string small_model() {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("▁", -2, 1) + piece("a", -3, 1) +
         piece("▁a", -2.5f, 1);
}

std::string refusal(const std::string& bytes, const std::string& config = R"({"tokenizer_class": "T5Tokenizer"})") {
  TemporaryFolder folder;
  write_file(folder.path() / "spiece.model", bytes);
  write_file(folder.path() / "tokenizer_config.json", config);
  try {
    const auto tokenizer = Tokenizer::load(folder.path());
    tokenizer->encode_with_offsets("a b", 0);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
}

TEST(SentencePieceFile, RefusesBadFiles) {
  EXPECT_EQ(refusal(small_model()), "");
  const std::string more = small_model();
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "no pieces"},
      {"not a model", "is no SentencePiece model"},
      {more + field(2, varint_field(3, 2)), "type 2"},
      {more + field(2, varint_field(24, 1)), "before words"},
      {more + field(3, varint_field(5, 0)), "before words"},
      {more + field(3, field(2, "abc")), "too short"},
      {more + piece("x", 0, 9), "unknown type"},
      {more + piece("x", std::numeric_limits<float>::infinity(), 1), "finite"},
      {more + piece("", 0, 1), "empty"},
      {more + piece("\xff", 0, 1), "UTF-8"},
      {more + std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11), "64 bits"},
      {more + "\x0a\x7f", "ends within"},
      {more + std::string("\x03", 1), "wire type"},
      {piece("a", 0, 1) + piece("</s>", 0, 3), "unknown piece"},
      {piece("<unk>", 0, 2) + piece("a", 0, 1), "begin and end"}};
  for (const auto& [bytes, reason] : cases) {
    const std::string message = refusal(bytes);
    EXPECT_NE(message.find(reason), std::string::npos) << message << " / " << reason;
    EXPECT_NE(message.find("spiece.model"), std::string::npos) << message;
  }
  EXPECT_NE(refusal(small_model(), R"({"tokenizer_class": "CamembertTokenizer"})").find("Camembert"),
            std::string::npos);
}

TEST(SentencePieceFile, TruncationsAndBitFlipsDoNoHarm) {
  const std::string bytes = small_model();
  for (size_t size = 0; size < bytes.size(); ++size) refusal(bytes.substr(0, size));
  for (size_t i = 0; i < bytes.size() * 8; ++i) {
    std::string damaged = bytes;
    damaged[i / 8] = static_cast<char>(damaged[i / 8] ^ 1 << i % 8);
    refusal(damaged);
  }
}

}  // namespace
}  // namespace fettle
