// Divergences, bits chosen by them, and the gate.
#include "compress/quantize/sensitivity.h"

#include <fettle/error.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "compress/quantize/gate.h"
#include "compress/quantize/mixed.h"
#include "graph/ops/gradient_check.h"
#include "runtime/session.h"
#include "train/test_models.h"

namespace fettle {
namespace {

const std::vector<std::string> kLabels = {"red", "green", "blue", "one"};
constexpr const char* kQuery = "bert.encoder.layer.0.attention.self.query.weight";
constexpr const char* kFirst = "bert.encoder.layer.0.intermediate.dense.weight";
constexpr const char* kPooler = "bert.pooler.dense.weight";
constexpr const char* kSecond = "bert.encoder.layer.1.output.dense.weight";

Encoding bits_of(int bits) {
  if (bits == 8) return Encoding::int8_channel();
  Encoding encoding = Encoding::int4_group(32, 8);
  encoding.bits = bits;
  return encoding;
}

// Trained once for all tests.
const std::shared_ptr<const Model>& trained() {
  static const std::shared_ptr<const Model> model = [] {
    auto made = std::make_shared<Model>(test::toy_model(kLabels));
    train_classifier(*made, test::toy_data(320, 3), nullptr, test::toy_training(10));
    return made;
  }();
  return model;
}

QuantizePlan plan_of(const std::vector<std::string>& names, int bits) {
  QuantizePlan plan;
  for (const std::string& name : names) plan[name] = bits_of(bits);
  return plan;
}

std::vector<std::string> encoder_linears() {
  std::vector<std::string> names;
  for (const std::string& name : trained()->parameters.names()) {
    const bool is_linear = name.find("encoder") != std::string::npos && name.ends_with(".weight") &&
                           name.find("LayerNorm") == std::string::npos;
    if (is_linear) names.push_back(name);
  }
  return names;
}

// By sessions and the definition.
double divergence(const Model& a, const Model& b, const Dataset& data) {
  std::vector<std::string> texts;
  for (const Example& example : data.examples) texts.push_back(example.text);
  const auto logits = [&](const Model& model) {
    Session session(std::make_shared<const Model>(model), {.reference = true});
    return session.classify_texts(texts).clone();
  };
  const Tensor of_a = logits(a);
  const Tensor of_b = logits(b);
  const auto n_labels = static_cast<size_t>(of_a.dim(1));
  const auto log_softmax = [&](const Tensor& of, size_t row) {
    const float* x = of.data<float>() + row * n_labels;
    double sum = 0;
    for (size_t c = 0; c < n_labels; ++c) sum += std::exp(static_cast<double>(x[c]));
    std::vector<double> logs;
    for (size_t c = 0; c < n_labels; ++c) logs.push_back(static_cast<double>(x[c]) - std::log(sum));
    return logs;
  };
  double sum = 0;
  for (size_t row = 0; row < texts.size(); ++row) {
    const std::vector<double> p = log_softmax(of_a, row);
    const std::vector<double> q = log_softmax(of_b, row);
    for (size_t c = 0; c < n_labels; ++c) sum += std::exp(p[c]) * (p[c] - q[c]);
  }
  return sum / static_cast<double>(texts.size());
}

TEST(LogitProbe, IsTheDivergenceOfTheDefinition) {
  const Dataset data = test::toy_data(40, 9);
  LogitProbe probe(*trained(), data, {.n_samples = 40});
  EXPECT_LT(probe.kl({}), 1e-12);
  for (const int bits : {4, 2}) {
    Model rounded = *trained();
    const EncodedTensor weight = encode(rounded.parameters.get(kFirst).decode(), bits_of(bits));
    // As floats: sessions round the inputs of integers too.
    rounded.parameters.set(kFirst, EncodedTensor::dense(weight.decode()));
    const double expected = divergence(*trained(), rounded, data);
    EXPECT_NEAR(probe.kl(kFirst, weight), expected, 1e-3 * expected + 1e-7) << bits;
  }
  EXPECT_LT(probe.kl({}), 1e-12);  // all is as it was
}

TEST(LogitProbe, TakesTextsEvenlyAndIsTheSameAtAnyNumberOfThreads) {
  const Dataset data = test::toy_data(64, 9);
  const EncodedTensor weight = encode(trained()->parameters.get(kFirst).decode(), bits_of(2));
  LogitProbe one(*trained(), data, {.n_samples = 16, .n_threads = 1});
  LogitProbe two(*trained(), data, {.n_samples = 16, .n_threads = 2});
  EXPECT_EQ(one.kl(kFirst, weight), two.kl(kFirst, weight));
  Dataset every_fourth = data;
  every_fourth.examples.clear();
  for (size_t i = 0; i < 64; i += 4) every_fourth.examples.push_back(data.examples[i]);
  LogitProbe all(*trained(), every_fourth, {.n_samples = 100, .n_threads = 1});
  EXPECT_EQ(one.kl(kFirst, weight), all.kl(kFirst, weight));
}

TEST(LogitProbe, RefusesWhatHasNoAnswers) {
  const Dataset data = test::toy_data(8, 9);
  Model headless = *trained();
  headless.config.labels.clear();
  expect_error(ErrorCode::kBadInput, "no classification head", [&] { LogitProbe(headless, data, {}); });
  expect_error(ErrorCode::kBadInput, "no texts", [&] { LogitProbe(*trained(), {}, {}); });
}

TEST(Sensitivity, FewerBitsMoveTheAnswersMore) {
  const Dataset data = test::toy_data(64, 9);
  LogitProbe probe(*trained(), data, {});
  const std::vector<std::string> names = encoder_linears();
  const std::vector<WeightChoice> choices = measure_sensitivity(
      probe, *trained(), {plan_of(names, 8), plan_of(names, 3), plan_of(names, 2), plan_of(names, 2)});
  ASSERT_EQ(choices.size(), 3 * names.size());  // what is planned twice is tried once
  std::map<int, double> sums;
  for (const WeightChoice& choice : choices) sums[choice.encoded.encoding.bits] += choice.kl;
  EXPECT_GT(sums[2], sums[3]);
  EXPECT_GT(sums[3], sums[8]);
}

class Mixed : public testing::Test {
 protected:
  Mixed() : probe_(*trained(), test::toy_data(64, 9), {}) {
    const std::vector<std::string> names = {kQuery, kFirst, kSecond};
    choices_ = measure_sensitivity(probe_, *trained(), {plan_of(names, 8), plan_of(names, 4), plan_of(names, 2)});
  }

  // The least sum of divergences of any choice of the three that is not larger.
  double best_by_trying_all(int64_t max_bytes) const {
    double best = std::numeric_limits<double>::infinity();
    for (int pick = 0; pick < 64; ++pick) {
      int64_t bytes = trained()->parameters.size_bytes();
      double kl = 0;
      for (size_t w = 0; w < 3; ++w) {
        const int choice = pick >> (2 * w) & 3;  // 3: as it is
        if (choice == 3) continue;
        const WeightChoice& of = choices_[3 * w + static_cast<size_t>(choice)];
        bytes += of.encoded.size_bytes() - trained()->parameters.get(of.name).size_bytes();
        kl += of.kl;
      }
      if (bytes <= max_bytes) best = std::min(best, kl);
    }
    return best;
  }

  LogitProbe probe_;
  std::vector<WeightChoice> choices_;
};

// On the way from all in float to the fewest bits each size that is reached is reached at the least divergence.
TEST_F(Mixed, IsTheBestOfAllChoicesAtItsSize) {
  constexpr double kMiB = 1024.0 * 1024.0;
  double max_mb = static_cast<double>(trained()->parameters.size_bytes()) / kMiB;
  std::set<double> sizes;
  for (; true; max_mb -= 1e-4) {
    MixedResult result;
    try {
      result = choose_mixed(probe_, *trained(), choices_, {.max_mb = max_mb});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kConstraints);
      break;
    }
    ASSERT_LE(result.size_mb, max_mb);
    if (!sizes.insert(result.size_mb).second) continue;
    EXPECT_NEAR(result.kl_sum, best_by_trying_all(std::llround(result.size_mb * kMiB)), 1e-12);
    ASSERT_EQ(result.layers.size(), 3u);
    for (const auto& [name, encoding] : result.plan) {
      EXPECT_TRUE(name == kQuery || name == kFirst || name == kSecond);
    }
  }
  EXPECT_GE(sizes.size(), 4u);  // float, the fewest bits, and mixtures in between
}

TEST_F(Mixed, StaysBelowADivergence) {
  const MixedResult narrow = choose_mixed(probe_, *trained(), choices_, {.max_kl = 1e6});
  EXPECT_EQ(narrow.plan.size(), 3u);
  const MixedResult limited = choose_mixed(probe_, *trained(), choices_, {.max_kl = 0.3 * narrow.kl});
  EXPECT_LE(limited.kl, 0.3 * narrow.kl);
  EXPECT_GT(limited.size_mb, narrow.size_mb);
  EXPECT_FALSE(limited.plan.empty());
  const MixedResult none = choose_mixed(probe_, *trained(), choices_, {.max_kl = 1e-30});
  EXPECT_TRUE(none.plan.empty());
  expect_error(ErrorCode::kConstraints, "--max-kl",
               [&] { choose_mixed(probe_, *trained(), choices_, {.max_mb = narrow.size_mb, .max_kl = 1e-12}); });
}

TEST(WiderEncoding, GoesToMoreBitsAndThenToFloat) {
  std::vector<std::string> names;
  std::optional<Encoding> encoding = bits_of(2);
  for (; encoding; encoding = wider_encoding(*encoding)) names.push_back(encoding_name(*encoding));
  EXPECT_EQ(names, (std::vector<std::string>{"int2-group32", "int3-group32", "int4-group32", "int8-channel"}));
  Encoding coarse = Encoding::int8_channel();
  coarse.static_input = coarse.per_tensor = true;
  const Encoding dynamic = wider_encoding(coarse).value();
  EXPECT_FALSE(dynamic.static_input);
  EXPECT_TRUE(dynamic.per_tensor);
  EXPECT_EQ(wider_encoding(dynamic), Encoding::int8_channel());
  EXPECT_EQ(wider_encoding(Encoding::dense(DType::kF32)), std::nullopt);
}

TEST(Gate, LeavesAloneWhatHolds) {
  const Dataset eval = test::toy_data(100, 4);
  Model model = *trained();
  apply_plan(model, plan_of(encoder_linears(), 8));
  const std::string before = test::weight_bytes(model);
  const GateResult result = hold_gate(model, trained().get(), trained(), eval, {.max_drop = 2});
  EXPECT_TRUE(result.fallbacks.empty());
  EXPECT_EQ(result.n_evaluations, 1);
  EXPECT_GT(result.accuracy_before, 0.9);
  EXPECT_TRUE(test::weight_bytes(model) == before);
}

// As trained, but one neuron of the pooler, which nobody reads, has weights so large that with one step for all the
// others become zeros.
std::shared_ptr<const Model> fragile() {
  auto model = std::make_shared<Model>(*trained());
  Tensor pooler = model->parameters.get(kPooler).decode().clone();
  Tensor classifier = model->parameters.get("classifier.weight").decode().clone();
  std::fill_n(pooler.mutable_data<float>(), pooler.dim(1), 1e4f);
  for (int64_t label = 0; label < classifier.dim(0); ++label) {
    classifier.mutable_data<float>()[label * classifier.dim(1)] = 0;
  }
  model->parameters.set(kPooler, EncodedTensor::dense(pooler));
  model->parameters.set("classifier.weight", EncodedTensor::dense(classifier));
  return model;
}

// It gives back no more than it must.
TEST(Gate, FallsBackUntilItHolds) {
  const Dataset eval = test::toy_data(100, 4);
  const std::shared_ptr<const Model> original = fragile();
  const auto quantized = [&] {
    Model model = *original;
    QuantizePlan plan = plan_of(encoder_linears(), 4);
    plan[kPooler] = Encoding::int8_channel();
    plan[kPooler].per_tensor = true;
    apply_plan(model, plan);
    return model;
  };
  Model model = quantized();
  expect_error(ErrorCode::kConstraints, "--max-drop",
               [&] { hold_gate(model, nullptr, original, eval, {.max_drop = 2}); });
  EXPECT_TRUE(test::weight_bytes(model) == test::weight_bytes(quantized()));

  const GateResult result = hold_gate(model, original.get(), original, eval, {.max_drop = 2});
  EXPECT_GT(result.accuracy_before, 0.9);
  EXPECT_LE(result.accuracy_before - result.accuracy, 0.02 + 1e-12);
  ASSERT_EQ(result.fallbacks.size(), 1u);
  EXPECT_EQ(result.fallbacks[0].name, kPooler);
  EXPECT_EQ(result.fallbacks[0].from, "int8-tensor");
  EXPECT_EQ(result.fallbacks[0].to, "int8-channel");
  EXPECT_GT(result.fallbacks[0].kl, 0.1);
  EXPECT_EQ(model.parameters.get(kPooler).encoding, Encoding::int8_channel());
  EXPECT_EQ(encoding_name(model.parameters.get(kFirst).encoding), "int4-group32");
  Model again = quantized();
  hold_gate(again, original.get(), original, eval, {.max_drop = 2, .session = {.n_threads = 2}});
  EXPECT_TRUE(test::weight_bytes(again) == test::weight_bytes(model));
}

TEST(Gate, SaysSoWhenEvenFloatDoesNotHold) {
  const Dataset eval = test::toy_data(60, 4);
  const Model other = test::toy_model(kLabels, 77);  // knows nothing
  Model model = other;
  apply_plan(model, plan_of(encoder_linears(), 8));
  expect_error(ErrorCode::kConstraints, "even in float",
               [&] { hold_gate(model, &other, trained(), eval, {.max_drop = 1}); });
}

}  // namespace
}  // namespace fettle
