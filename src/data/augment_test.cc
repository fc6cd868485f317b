#include "data/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>

namespace fettle {
namespace {

Dataset questions() {
  Dataset data;
  data.labels = {"weather", "music"};
  for (const char* text : {"what is the weather in paris today", "what is the weather in london today",
                           "what is the forecast in london today", "tell me the forecast in rome now",
                           "will it rain in berlin this week"}) {
    data.examples.push_back({.text = text, .text_pair = "", .label = 0});
  }
  for (const char* text : {"play some jazz music please", "play some rock music please", "put on a song by nina",
                           "put on a record by miles", "turn the music off now"}) {
    data.examples.push_back({.text = text, .text_pair = "", .label = 1});
  }
  return data;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::vector<std::string> texts_of(const std::vector<Example>& examples) {
  std::vector<std::string> texts;
  for (const Example& example : examples) texts.push_back(example.text);
  return texts;
}

TEST(Augment, MakesNewUnlabelledTexts) {
  const Dataset data = questions();
  const std::vector<Example> made = augment(data, {.per_text = 4, .seed = 3});
  EXPECT_EQ(made.size(), 40u);
  std::set<std::string> seen;
  std::set<std::string> known_words;
  for (const Example& example : data.examples) {
    seen.insert(example.text);
    for (const std::string& word : words_of(example.text)) known_words.insert(word);
  }
  for (const Example& example : made) {
    EXPECT_EQ(example.label, kUnlabelled);
    EXPECT_TRUE(seen.insert(example.text).second) << "'" << example.text << "' was there";
    EXPECT_FALSE(example.text.empty());
    for (const std::string& word : words_of(example.text)) EXPECT_TRUE(known_words.contains(word)) << word;
  }
}

TEST(Augment, IsAFunctionOfTheSeed) {
  const Dataset data = questions();
  const auto once = texts_of(augment(data, {.per_text = 3, .seed = 3}));
  EXPECT_EQ(once, texts_of(augment(data, {.per_text = 3, .seed = 3})));
  EXPECT_NE(once, texts_of(augment(data, {.per_text = 3, .seed = 4})));
}

// Every rule leaves its mark: shorter and longer texts, the same words in another order, words of like contexts.
TEST(Augment, UsesEveryRule) {
  const Dataset data = questions();
  bool is_shorter = false;
  bool is_longer = false;
  bool is_swapped = false;
  bool is_replaced = false;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (const Example& example : augment(data, {.per_text = 5, .seed = seed})) {
      const std::vector<std::string> words = words_of(example.text);
      for (const Example& source : data.examples) {
        std::vector<std::string> original = words_of(source.text);
        std::vector<std::string> sorted = words;
        is_shorter = is_shorter ||
                     (words.size() + 1 == original.size() && std::equal(words.begin(), words.end(), original.begin()));
        is_longer = is_longer || words.size() > 7;
        if (words.size() == original.size()) {
          size_t n_others = 0;
          for (size_t i = 0; i < words.size(); ++i) n_others += words[i] != original[i];
          std::sort(sorted.begin(), sorted.end());
          std::sort(original.begin(), original.end());
          is_swapped = is_swapped || (n_others == 2 && sorted == original);
          is_replaced = is_replaced || (n_others == 1 && example.text == "what is the forecast in paris today");
        }
      }
    }
  }
  EXPECT_TRUE(is_shorter);
  EXPECT_TRUE(is_longer);
  EXPECT_TRUE(is_swapped);
  EXPECT_TRUE(is_replaced);
}

TEST(Augment, LeavesPairsAndShortTextsAlone) {
  Dataset data;
  data.examples = {{.text = "hello", .text_pair = ""}, {.text = "", .text_pair = ""}};
  EXPECT_TRUE(augment(data, {.per_text = 5}).empty());
  EXPECT_TRUE(augment({}, {.per_text = 5}).empty());
  EXPECT_TRUE(augment(questions(), {.per_text = 0}).empty());
  data.examples.push_back({.text = "one two three four", .text_pair = "the second text"});
  for (const Example& example : augment(data, {.per_text = 5})) EXPECT_EQ(example.text_pair, "the second text");
}

}  // namespace
}  // namespace fettle
