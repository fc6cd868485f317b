// Every method of factorize on toys: what is stored, what is computed, what is refused, and training behind it.
#include "compress/factorize/factorize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "compress/factorize/common.h"
#include "model/factors.h"
#include "runtime/session.h"
#include "train/test_models.h"

namespace fettle {
namespace {

using testing::HasSubstr;

const std::vector<std::string> kLabels = {"red", "green", "blue", "one"};
constexpr const char* kWords = "bert.embeddings.word_embeddings";

Model toy(int64_t n_layers = 3) {
  return test::toy_model(kLabels, 1, n_layers);
}

Tensor logits(const Model& model, bool fast_path = true) {
  std::vector<std::string> texts;
  for (const Example& example : test::toy_data(20, 7).examples) texts.push_back(example.text);
  Session session(std::make_shared<Model>(model), {.n_threads = 1, .fast_path = fast_path});
  return session.classify_texts(texts).clone();
}

double distance(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.size(); ++i) sum += std::pow(a.floats()[i] - b.floats()[i], 2);
  return std::sqrt(sum);
}

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    return error.what();
  }
  return "accepted";
}

TEST(FactorizeLinears, ComputesTheProductOfTheFactors) {
  Model model = toy();
  const FactorizeReport report = factorize_linears(model, {.rank = 10, .n_threads = 1});
  EXPECT_EQ(report.layers.size(), 3u * 6);
  EXPECT_EQ(model.config.ranks.size(), 3u * 6);
  EXPECT_LT(report.size_mb, report.size_mb_before);
  Model whole = model;
  merge_factors(whole);
  EXPECT_LT(distance(logits(model), logits(whole)), 1e-4);
  EXPECT_LT(distance(logits(model, false), logits(whole)), 1e-4);
  const Model original = toy();
  for (const LayerFactors& layer : report.layers) {
    const Tensor before = whole_matrix(original, layer.name);
    const Tensor after = whole_matrix(whole, layer.name);
    EXPECT_NEAR(layer.relative_error, relative_error(matrix_of(before), matrix_of(after)), 1e-5) << layer.name;
    EXPECT_GT(layer.relative_error, 0.1);
  }
}

TEST(FactorizeLinears, WhatGainsNothingStaysWhole) {
  Model model = toy();
  // [64, 64] gains up to 31, [128, 64] up to 42.
  const FactorizeReport report = factorize_linears(model, {.rank = 40, .n_threads = 1});
  for (const LayerFactors& layer : report.layers) {
    const bool is_wide = layer.name.find("attention") == std::string::npos;
    EXPECT_EQ(layer.rank, is_wide ? 40 : 0) << layer.name;
    if (!is_wide) {
      EXPECT_THAT(layer.remark, HasSubstr("gains nothing"));
    }
  }
  EXPECT_THAT(refusal([&] {
                Model other = toy();
                factorize_linears(other, {.rank = 43, .n_threads = 1});
              }),
              HasSubstr("gains nothing"));
  EXPECT_THAT(refusal([&] { factorize_linears(model, {.rank = 4, .target = 0.5}); }), HasSubstr("not both"));
}

TEST(FactorizeLinears, TargetIsMet) {
  const Model original = toy();
  const auto numbers_of = [](const Model& model) {
    int64_t n = 0;
    for (const std::string& name : model.parameters.names()) {
      const bool is_linear = name.find(".layer.") != std::string::npos && model.parameters.get(name).shape.size() == 2;
      if (is_linear) n += element_count(model.parameters.get(name).shape);
    }
    return static_cast<double>(n);
  };
  for (const double target : {0.3, 0.6, 0.9}) {
    Model model = original;
    factorize_linears(model, {.target = target, .n_threads = 1});
    const double removed = 1 - numbers_of(model) / numbers_of(original);
    EXPECT_GE(removed, target);
    EXPECT_LT(removed, target + 0.05);
  }
  EXPECT_THAT(refusal([&] {
                Model model = original;
                factorize_linears(model, {.target = 0.99, .n_threads = 1});
              }),
              HasSubstr("--target"));
}

TEST(FactorizeLinears, AgainMakesItSmallerStill) {
  Model model = toy();
  factorize_linears(model, {.rank = 20, .n_threads = 1});
  const int64_t before = model.parameters.size_bytes();
  factorize_linears(model, {.rank = 5, .n_threads = 1});
  EXPECT_LT(model.parameters.size_bytes(), before);
  EXPECT_NO_THROW(check_factors(model.config, "here"));
  logits(model);
}

TEST(FactorizeLinears, WeightedIsBetterOnTheData) {
  const Model original = toy();
  const std::vector<std::string> linears = encoder_linears(original.config, true, true);
  const auto moments = input_moments(original, {linears.begin(), linears.end()}, test::toy_data(200, 5),
                                     {.n_samples = 200, .n_threads = 1});
  ASSERT_EQ(moments.size(), linears.size());
  const Tensor expected = logits(original);
  for (const int64_t rank : {2, 6}) {
    Model plain = original;
    Model weighted = original;
    factorize_linears(plain, {.rank = rank, .n_threads = 1});
    const FactorizeReport report = factorize_linears(weighted, {.rank = rank, .n_threads = 1}, moments);
    for (const LayerFactors& layer : report.layers) {
      // The output error of both factors on the moments.
      const auto error = [&](const Model& model) {
        const MatrixF w = whole(original, layer.name);
        const Eigen::MatrixXd d = (w - whole(model, layer.name)).cast<double>();
        const Eigen::MatrixXd m = matrix_of(moments.at(layer.name)).cast<double>();
        return std::sqrt((d * m * d.transpose()).trace() /
                         (w.cast<double>() * m * w.cast<double>().transpose()).trace());
      };
      EXPECT_LE(error(weighted), error(plain) * 1.02 + 1e-4) << layer.name;
      EXPECT_NEAR(error(weighted), layer.output_error, 0.05) << layer.name;
    }
    EXPECT_LT(distance(logits(weighted), expected), distance(logits(plain), expected));
  }
}

TEST(FactorizeLinears, MomentsAreTheSameAtAnyNumberOfThreads) {
  const Model model = toy();
  const std::string name = "bert.encoder.layer.1.output.dense";
  const auto sum = [&](int n_threads) {
    const auto moments = input_moments(model, {name}, test::toy_data(100, 5), {.n_threads = n_threads});
    const Tensor moment = moments.at(name);
    return std::vector<float>(moment.floats().begin(), moment.floats().end());
  };
  const std::vector<float> one = sum(1);
  EXPECT_EQ(one.size(), 128u * 128);
  EXPECT_EQ(sum(2), one);
  for (size_t i = 0; i < 128; ++i) EXPECT_GE(one[i * 129], 0);
}

TEST(FactorizeStacks, ThreeProductsWithSharedOuterFactors) {
  Model model = toy(4);
  const FactorizeReport report = factorize_stacks(model, {.rank = 20, .n_threads = 1});
  EXPECT_EQ(report.layers.size(), 4u * 6);
  EXPECT_EQ(model.config.stacked.size(), 4u * 6);
  int64_t n_outer = 0;
  for (const std::string& name : model.parameters.names()) n_outer += name.find(".factor_in.") != std::string::npos;
  EXPECT_EQ(n_outer, 6);
  Model whole = model;
  merge_factors(whole);
  EXPECT_LT(distance(logits(model), logits(whole)), 1e-4);
  EXPECT_LT(distance(logits(model, false), logits(whole)), 1e-4);
}

// A stack of copies has one matrix's ranks: its Tucker decomposition is that matrix's singular value decomposition.
TEST(FactorizeStacks, OfCopiesIsTheSvd) {
  Model stacked = toy(3);
  share_layers(stacked, {.average = false});
  unshare_layers(stacked);
  Model separate = stacked;
  const FactorizeReport tucker = factorize_stacks(stacked, {.rank = 12, .n_threads = 1});
  const FactorizeReport svd = factorize_linears(separate, {.rank = 12, .n_threads = 1});
  for (const LayerFactors& layer : tucker.layers) {
    const auto same = std::ranges::find(svd.layers, layer.name, &LayerFactors::name);
    ASSERT_NE(same, svd.layers.end());
    EXPECT_NEAR(layer.relative_error, same->relative_error, 1e-4) << layer.name;
  }
}

TEST(FactorizeStacks, TargetIsMetAndBadOnesRefused) {
  Model model = toy(4);
  const double before = static_cast<double>(model.parameters.parameter_count());
  factorize_stacks(model, {.target = 0.8, .n_threads = 1});
  EXPECT_LT(static_cast<double>(model.parameters.parameter_count()), 0.35 * before);
  EXPECT_THAT(refusal([] {
                Model other = toy(2);
                factorize_stacks(other, {.rank = 1000, .n_threads = 1});
              }),
              HasSubstr("no stack"));
  EXPECT_THAT(refusal([] {
                Model other = toy(2);
                factorize_stacks(other, {.target = 0.9999, .n_threads = 1});
              }),
              HasSubstr("--target"));
}

// A table of 5 special tokens and 60 words.
Model wide_model() {
  std::vector<std::string> words = test::toy_words();
  for (int i = 0; i < 48; ++i) words.push_back("w" + std::to_string(i));
  auto tokenizer = test::word_tokenizer(words);
  ModelConfig config = make_encoder_config(1, 64, tokenizer->vocab_size());
  config.max_positions = 32;
  config.labels = kLabels;
  return make_model(config, tokenizer, 1);
}

TEST(FactorizeWordTable, KeepsTheLeadingDirections) {
  const Model original = wide_model();
  Model model = original;
  const FactorizeReport report = factorize_word_table(model, {.rank = 12});
  EXPECT_EQ(model.config.ranks.at(kWords), 12);
  EXPECT_EQ(model.parameters.get("bert.embeddings.word_embeddings.weight").shape, (Shape{65, 12}));
  const Tensor table = whole_matrix(original, kWords);
  EXPECT_NEAR(report.layers[0].relative_error, Spectrum(matrix_of(table), nullptr, 0).error(12), 1e-4);
  Model whole = model;
  merge_factors(whole);
  EXPECT_LT(distance(logits(model), logits(whole)), 1e-4);
  Model target = original;
  factorize_word_table(target, {.target = 0.6});
  EXPECT_EQ(target.config.ranks.at(kWords), static_cast<int64_t>(0.4 * 65 * 64 / (65 + 64)));
  EXPECT_THAT(refusal([&] { factorize_word_table(target, {.rank = 33}); }), HasSubstr("gains nothing"));
}

TEST(FactorizeWordTable, CountsMakeFrequentWordsMoreExact) {
  const Model original = wide_model();
  std::vector<int64_t> counts(65, 0);
  counts[7] = counts[9] = 100000;
  Model plain = original;
  Model weighted = original;
  factorize_word_table(plain, {.rank = 12});
  factorize_word_table(weighted, {.rank = 12}, counts);
  const auto row_error = [&](const Model& model, int64_t row) {
    return (whole(original, kWords) - whole(model, kWords)).row(row).norm();
  };
  for (const int64_t row : {7, 9}) EXPECT_LT(row_error(weighted, row), 0.1 * row_error(plain, row));
}

TEST(ShareLayers, GroupsHaveOneSet) {
  for (const bool average : {true, false}) {
    Model model = toy(5);
    const Model original = model;
    const FactorizeReport report = share_layers(model, {.group = 2, .average = average});
    EXPECT_EQ(model.config.layer_sources, (std::vector<int64_t>{0, 0, 2, 2, 4}));
    EXPECT_EQ(report.layers.size(), 5u);
    EXPECT_EQ(report.layers[4].relative_error, 0);
    EXPECT_EQ(report.layers[0].relative_error == 0, !average);
    EXPECT_GT(report.layers[1].relative_error, 0.3);
    EXPECT_FALSE(model.parameters.has("bert.encoder.layer.1.output.dense.weight"));
    const char* name = "bert.encoder.layer.2.output.dense.weight";
    const float a = original.parameters.get(name).data.floats()[5];
    const float b = original.parameters.get("bert.encoder.layer.3.output.dense.weight").data.floats()[5];
    EXPECT_FLOAT_EQ(model.parameters.get(name).data.floats()[5], average ? (a + b) / 2 : a);
    Model copied = model;
    unshare_layers(copied);
    EXPECT_LT(distance(logits(model), logits(copied)), 1e-6);
  }
}

TEST(ShareLayers, WithFactorsTakesTheFirst) {
  Model model = toy(3);
  factorize_stacks(model, {.rank = 20, .n_threads = 1});
  EXPECT_THAT(refusal([&] { share_layers(model, {}); }), HasSubstr("average"));
  share_layers(model, {.average = false});
  EXPECT_NO_THROW(check_factors(model.config, "here"));
  Model copied = model;
  unshare_layers(copied);
  EXPECT_LT(distance(logits(model), logits(copied)), 1e-6);
  EXPECT_THAT(refusal([] {
                Model other = test::toy_model(kLabels);
                other.config.layers[1].intermediate_size = 7;
                share_layers(other, {});
              }),
              HasSubstr("width"));
}

}  // namespace
}  // namespace fettle
