#include "data/demo_grammar.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "text/unicode.h"

namespace fettle {
namespace {

std::set<std::string> texts(const Dataset& data) {
  std::set<std::string> result;
  for (const Example& example : data.examples) result.insert(example.text);
  return result;
}

std::string joined(const Dataset& data) {
  std::string all;
  for (const Example& example : data.examples) all += example.text + "\t" + std::to_string(example.label) + "\n";
  return all;
}

TEST(DemoGrammar, HasTheShapeThatItPromises) {
  const DemoOptions options;
  const DemoData data = make_demo_data(options);
  ASSERT_GE(data.train.labels.size(), 21u);
  EXPECT_EQ(data.train.labels, data.test.labels);
  EXPECT_EQ(data.train.labels, data.validation.labels);
  EXPECT_EQ(data.train.labels.at(data.train.oos_label), "oos");
  std::map<int32_t, int64_t> counts;
  for (const Example& example : data.train.examples) ++counts[example.label];
  EXPECT_EQ(counts.size(), data.train.labels.size());
  for (const auto& [label, count] : counts) EXPECT_EQ(count, options.train_per_intent);
  for (const Dataset* split : {&data.train, &data.validation, &data.test}) {
    for (const Example& example : split->examples) {
      EXPECT_GE(example.text.size(), 3u);
      EXPECT_EQ(example.text.find_first_of("(){}|"), std::string::npos) << example.text;
      EXPECT_TRUE(unicode::is_valid_utf8(example.text));
    }
  }
}

TEST(DemoGrammar, SplitsShareNoText) {
  const DemoData data = make_demo_data({});
  const std::set<std::string> train = texts(data.train);
  const std::set<std::string> validation = texts(data.validation);
  int shared = 0;
  for (const std::string& text : texts(data.test)) shared += train.contains(text) || validation.contains(text);
  for (const std::string& text : validation) shared += train.contains(text);
  EXPECT_EQ(shared, 0);
  EXPECT_EQ(train.size(), data.train.examples.size());
}

TEST(DemoGrammar, IsAFunctionOfTheSeed) {
  const std::string once = joined(make_demo_data({.seed = 3}).train);
  EXPECT_EQ(once, joined(make_demo_data({.seed = 3}).train));
  EXPECT_NE(once, joined(make_demo_data({.seed = 4}).train));
}

}  // namespace
}  // namespace fettle
