#include "train/distill/compatibility.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "train/test_models.h"

namespace fettle {
namespace {

using testing::HasSubstr;

std::string bad_input_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput) << error.what();
    return error.what();
  }
  return "no error";
}

ModelConfig with_labels(std::vector<std::string> labels) {
  ModelConfig config;
  config.labels = std::move(labels);
  return config;
}

Model with_words(std::vector<std::string> words) {
  Model model;
  model.tokenizer = test::word_tokenizer(words);
  return model;
}

TEST(Labels, AreMatchedByName) {
  EXPECT_EQ(match_labels(with_labels({"a", "b", "c"}), with_labels({"c", "a", "b"})), (std::vector<int64_t>{1, 2, 0}));
}

TEST(Labels, OthersAreRefusedWithTheDifference) {
  const std::string message = bad_input_of([] {
    match_labels(with_labels({"a", "b", "x"}), with_labels({"a", "b", "c", "d"}));
  });
  EXPECT_THAT(message, HasSubstr("4 and 3"));
  EXPECT_THAT(message, HasSubstr("2 only in the teacher ('c', 'd')"));
  EXPECT_THAT(message, HasSubstr("1 only in the student ('x')"));
  EXPECT_THAT(bad_input_of([] {
                match_labels(with_labels({"a"}), with_labels({"a", "b"}));
              }),
              HasSubstr("1 only in the teacher ('b')"));
  std::vector<std::string> many;
  for (char c = 'a'; c <= 'z'; ++c) many.emplace_back(1, c);
  EXPECT_THAT(bad_input_of([&] { match_labels(with_labels({"a"}), with_labels(many)); }),
              HasSubstr("25 only in the teacher ('b', 'c', 'd', 'e', 'f', …)"));
}

TEST(Vocabulary, EqualPiecesAreAccepted) {
  check_vocabulary(with_words({"red", "green"}), with_words({"red", "green"}));
}

TEST(Vocabulary, OthersAreRefusedWithTheDifference) {
  const std::string message = bad_input_of([] {
    check_vocabulary(with_words({"red", "green"}), with_words({"red", "blue", "one"}));
  });
  EXPECT_THAT(message, HasSubstr("8 and 7 pieces"));
  EXPECT_THAT(message, HasSubstr("2 only in the teacher ('blue', 'one'), 1 only in the student ('green')"));
  EXPECT_THAT(message, HasSubstr("--allow-other-vocabulary"));
  EXPECT_THAT(bad_input_of([] {
                check_vocabulary(with_words({"red", "green"}), with_words({"green", "red"}));
              }),
              HasSubstr("5 is 'red' in the student, 'green' in the teacher"));
}

TEST(Tokens, OfBothSidesMustBeTheSame) {
  TokenizedTexts a{.ids = {1, 2, 3, 4}, .type_ids = {}, .offsets = {0, 2, 4}};
  TokenizedTexts b = a;
  check_tokens(a, b);
  b.ids[3] = 5;
  EXPECT_THAT(bad_input_of([&] { check_tokens(a, b); }), HasSubstr("cuts text 2 into other tokens"));
  b = a;
  b.offsets = {0, 3, 4};
  EXPECT_THAT(bad_input_of([&] { check_tokens(a, b); }), HasSubstr("cuts text 1 into other tokens"));
}

}  // namespace
}  // namespace fettle
