#include "train/distill/distill_options.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"

namespace fettle {
namespace {

using Pairs = std::vector<LayerPair>;

void expect_usage(const std::string& part, const std::function<void()>& work) {
  try {
    work();
    ADD_FAILURE() << "no error that says " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(DistillMatch, ReadsLists) {
  EXPECT_EQ(parse_match("logits"), DistillMatch{});
  const DistillMatch some = parse_match("values,hidden");
  EXPECT_EQ(some, (DistillMatch{.logits = false, .hidden = true, .values = true}));
  EXPECT_TRUE(some.features());
  EXPECT_FALSE(parse_match("logits").features());
  EXPECT_EQ(match_list(some), "hidden,values");
  EXPECT_EQ(match_list(parse_match("embeddings,attention,logits")), "logits,attention,embeddings");
  for (const char* list : {"", "logits,", "hiden", "logits hidden", "Logits"}) {
    expect_usage("does not know", [&] { parse_match(list); });
  }
}

TEST(LayerMap, UniformMeetsAtTheEnd) {
  EXPECT_EQ(map_layers("uniform", 4, 12), (Pairs{{0, 2}, {1, 5}, {2, 8}, {3, 11}}));
  EXPECT_EQ(map_layers("uniform", 6, 12), (Pairs{{0, 1}, {1, 3}, {2, 5}, {3, 7}, {4, 9}, {5, 11}}));
  EXPECT_EQ(map_layers("uniform", 2, 2), (Pairs{{0, 0}, {1, 1}}));
  EXPECT_EQ(map_layers("uniform", 5, 12).back(), (LayerPair{4, 11}));
  // A deeper student.
  EXPECT_EQ(map_layers("uniform", 4, 2), (Pairs{{0, 0}, {1, 0}, {2, 0}, {3, 1}}));
}

TEST(LayerMap, LastAndGiven) {
  EXPECT_EQ(map_layers("last", 2, 5), (Pairs{{0, 3}, {1, 4}}));
  EXPECT_EQ(map_layers("1:5,0:2", 2, 6), (Pairs{{0, 2}, {1, 5}}));
  EXPECT_EQ(map_layers("1:0", 2, 6), (Pairs{{1, 0}}));
}

TEST(LayerMap, RefusesWhatTheModelsDoNotHave) {
  expect_usage("cannot map", [] { map_layers("last", 3, 2); });
  expect_usage("the teacher has 6", [] { map_layers("0:6", 2, 6); });
  expect_usage("the student has 2", [] { map_layers("2:0", 2, 6); });
  expect_usage("twice", [] { map_layers("1:0,1:1", 2, 6); });
  expect_usage("no pair", [] { map_layers("middle", 2, 6); });
  for (const char* rule : {"", ":", "0:", ":1", "a:1", "0:1,", "0:-1", "0:1:2", "0:99999999999999999999"}) {
    expect_usage("layer map", [&] { map_layers(rule, 2, 6); });
  }
}

TEST(RelationHeads, AreThoseOfBothOrDivideTheWidths) {
  EXPECT_EQ(relation_heads({4, 128}, {4, 256}, 0), 4);
  EXPECT_EQ(relation_heads({6, 384}, {12, 768}, 0), 12);
  EXPECT_EQ(relation_heads({5, 320}, {12, 768}, 0), 8);
  EXPECT_EQ(relation_heads({3, 7}, {2, 16}, 0), 1);
  EXPECT_EQ(relation_heads({6, 384}, {12, 768}, 48), 48);
  expect_usage("do not divide", [] { relation_heads({6, 384}, {12, 768}, 5); });
  expect_usage("do not divide", [] { relation_heads({6, 384}, {12, 768}, 768); });
}

TEST(DistillOptions, RefusesNonsense) {
  check_options({});
  expect_usage("hidden_weight", [] { check_options({.hidden_weight = -1}); });
  expect_usage("values_weight", [] { check_options({.values_weight = std::numeric_limits<double>::infinity()}); });
  expect_usage("nothing to learn", [] { check_options({.match = {.logits = false}}); });
  expect_usage("vocabulary", [] { check_options({.match = {.hidden = true}, .allow_other_vocabulary = true}); });
  expect_usage("augment", [] { check_options({.augment = -1}); });
}

}  // namespace
}  // namespace fettle
