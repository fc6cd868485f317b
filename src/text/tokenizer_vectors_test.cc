// Reference tokenizations that others published (see the data's SOURCES.md).
#include <gtest/gtest.h>

#include <sstream>

#include "base/file.h"
#include "text/oracle_test.h"
#include "text/tokenizer.h"

namespace fettle {
namespace {

using testing::shared_data;

std::shared_ptr<const Tokenizer> load(const char* name) {
  return Tokenizer::load(shared_data() / "tokenizers" / name);
}

Json read_vectors(const char* name) {
  return read_json(shared_data() / "tokenizers/bert-vectors" / name);
}

std::vector<int32_t> ids_of(const Tokenizer& tokenizer, const std::string& text, bool add_special = true) {
  std::vector<int32_t> ids;
  tokenizer.encode(text, EncodeOptions{.add_special_tokens = add_special}, ids);
  return ids;
}

TEST(TokenizerVectors, SquadQuestions) {
  FETTLE_NEED_SHARED_DATA();
  const auto tokenizer = load("bert-base-uncased");
  const Json questions = read_vectors("question_tokens.json"), ids = read_vectors("tokenized_questions.json");
  ASSERT_EQ(questions.size(), ids.size());
  for (size_t i = 0; i < questions.size(); ++i) {
    const std::string text = questions[i].at("original").get<std::string>();
    ASSERT_EQ(Json(ids_of(*tokenizer, text, false)), ids[i]) << text;
    const TokenEncoding encoding = tokenizer->encode_with_offsets(text, EncodeOptions{.add_special_tokens = false});
    ASSERT_EQ(Json(encoding.tokens), questions[i].at("wordpiece")) << text;
    ASSERT_EQ(Json(encoding.ids), ids[i]) << text;
  }
}

// Each sample has the text, its ids with special tokens, and sometimes what they decode to.
void expect_samples(const Tokenizer& tokenizer, const Json& samples) {
  for (const Json& sample : samples) {
    const std::vector<int32_t> ids = ids_of(tokenizer, sample.at("input").get<std::string>());
    EXPECT_EQ(Json(ids), sample.at("encoded").at("input_ids")) << sample.at("input");
    EXPECT_EQ(Json(tokenizer.decode(ids, false)), sample.at("decoded_with_special"));
    EXPECT_EQ(Json(tokenizer.decode(ids, true)), sample.at("decoded_without_special"));
  }
}

TEST(TokenizerVectors, SamplesAndTheirDecoding) {
  FETTLE_NEED_SHARED_DATA();
  const Json samples = read_vectors("tokenizer_tests.json");
  expect_samples(*load("bert-base-uncased"), samples.at("bert-base-uncased"));
  expect_samples(*load("bert-base-uncased"), samples.at("google-bert/bert-base-uncased"));
  expect_samples(*load("bert-multi-cased"), samples.at("distilbert/distilbert-base-multilingual-cased"));
}

TEST(TokenizerVectors, LongFrenchText) {
  FETTLE_NEED_SHARED_DATA();
  const Json uncased = read_vectors("bert_uncased_encoded.json");
  const auto tokenizer = load("bert-base-uncased");
  const std::vector<int32_t> ids = ids_of(*tokenizer, uncased.at("text").get<std::string>());
  EXPECT_EQ(Json(ids), uncased.at("token_ids"));
  EXPECT_EQ(Json(tokenizer->decode(ids, false)), uncased.at("decoded_text"));
  const Json cased = read_vectors("distilbert_cased_encoded.json");
  EXPECT_EQ(Json(ids_of(*load("bert-multi-cased"), cased.at("text").get<std::string>())), cased.at("token_ids"));
}

TEST(TokenizerVectors, LlamaCppInputs) {
  FETTLE_NEED_SHARED_DATA();
  const auto tokenizer = load("bert-base-uncased");
  const std::string stem = (shared_data() / "tokenizers/gguf-vectors/ggml-vocab-bert-bge.gguf").string();
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
    EXPECT_EQ(ids_of(*tokenizer, text, false), expected) << text;
  }
  EXPECT_GT(n, 30);
}

}  // namespace
}  // namespace fettle
