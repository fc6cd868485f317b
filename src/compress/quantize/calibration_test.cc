// Methods that look at data, on toy models: what is measured, what is computed afterwards, what is refused.
#include "compress/quantize/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/error.h"
#include "compress/quantize/bias_correction.h"
#include "compress/quantize/channel_scaling.h"
#include "compress/quantize/round_with_data.h"
#include "compress/quantize/static.h"
#include "runtime/session.h"
#include "train/test_models.h"

namespace fettle {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<std::string> kLabels = {"red", "green", "blue", "one"};
const std::string kLayer = "bert.encoder.layer.0.";

CalibrationOptions options(int n_threads = 1) {
  return {.n_samples = 60, .n_threads = n_threads};
}

std::set<std::string> linears(const Model& model) {
  std::set<std::string> names;
  for (const auto& [name, encoding] : make_plan(model, {})) names.insert(name);
  return names;
}

Tensor logits(const Model& model) {
  std::vector<std::string> texts;
  for (const Example& example : test::toy_data(20, 7).examples) texts.push_back(example.text);
  Session session(std::make_shared<Model>(model), {.n_threads = 1});
  return session.classify_texts(texts).clone();
}

double distance(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.size(); ++i) sum += std::pow(a.floats()[i] - b.floats()[i], 2);
  return std::sqrt(sum);
}

double norm(const Tensor& a) {
  return distance(a, Tensor(DType::kF32, a.shape()));
}

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

// With weights as training leaves them: not all of one size.
Model uneven_model(const std::string& activation = "gelu", int64_t n_layers = 2) {
  Model model = test::toy_model(kLabels, 1, n_layers);
  model.config.activation = activation;
  Philox random(3);
  for (const std::string& name : std::vector<std::string>(model.parameters.names())) {
    Tensor values = model.parameters.get(name).decode().clone();
    const int64_t n_cols = values.dim(-1);
    std::vector<float> sizes(static_cast<size_t>(n_cols));
    for (float& size : sizes) size = std::exp(random.normal());
    const bool is_bias = name.ends_with("bias");
    for (int64_t i = 0; i < values.size(); ++i) {
      float& value = values.mutable_data<float>()[i];
      value = is_bias ? 0.1f * random.normal() : value * sizes[static_cast<size_t>(i % n_cols)];
    }
    model.parameters.set(name, EncodedTensor::dense(values));
  }
  return model;
}

TEST(LinearInputs, LinearsThatReadOneValueHaveOne) {
  const Model model = test::toy_model(kLabels, 1, 2);
  const std::vector<LinearInput> inputs = linear_inputs(model, linears(model));
  ASSERT_EQ(inputs.size(), 2u * 4 + 2);
  EXPECT_THAT(inputs[0].weights,
              ElementsAre(kLayer + "attention.self.query.weight", kLayer + "attention.self.key.weight",
                          kLayer + "attention.self.value.weight"));
  EXPECT_THAT(inputs[1].modules, ElementsAre(kLayer + "attention.output.dense"));
  EXPECT_EQ(inputs[3].width, 128);
  EXPECT_EQ(inputs[3].layer, 0);
  EXPECT_EQ(inputs[4].layer, 1);
  EXPECT_THAT(inputs[9].weights, ElementsAre("classifier.weight"));
  EXPECT_EQ(inputs[9].layer, 2);
}

TEST(LinearInputs, LayersThatShareAWeightHaveOne) {
  Model model = test::toy_model(kLabels, 1, 3);
  model.config.layer_sources = {0, 0, 2};
  const std::vector<LinearInput> inputs = linear_inputs(model, linears(model));
  EXPECT_EQ(inputs.size(), 2u * 4 + 2);
}

// The classifier reads tanh of the pooler: looked at through the graph's own reference.
TEST(Calibration, MeasuresWhatLinearsRead) {
  const Model model = uneven_model();
  const Dataset data = test::toy_data(10, 5);
  const CalibrationRun run(model, data, options(), 4);
  const auto statistics = measure_inputs(model, linear_inputs(model, linears(model)), run);
  const InputStatistics& first = statistics.front();
  EXPECT_EQ(first.n_rows, static_cast<int64_t>(run.texts().ids.size()));
  EXPECT_EQ(statistics.back().n_rows, 10);
  EXPECT_LE(statistics.back().magnitudes.largest(), 1);

  // What the embeddings' norm gives: mean and largest of each channel by hand.
  Graph graph = build_graph(model.config, {.head = GraphOptions::Head::kHidden});
  std::vector<float> largest(64);
  std::vector<double> sums(64);
  run.run(model, {first.input}, [&](size_t, int, const Tensor& x) {
    for (int64_t i = 0; i < x.size(); ++i) {
      const auto c = static_cast<size_t>(i % 64);
      largest[c] = std::max(largest[c], std::fabs(x.floats()[static_cast<size_t>(i)]));
      sums[c] += double{x.floats()[static_cast<size_t>(i)]};
    }
  });
  EXPECT_EQ(first.channel_absmax, largest);
  for (size_t c = 0; c < 64; ++c) EXPECT_NEAR(first.channel_mean[c], sums[c] / double(first.n_rows), 1e-6);
  EXPECT_EQ(first.magnitudes.largest(), *std::ranges::max_element(largest));
}

TEST(Calibration, SameAtAnyNumberOfThreads) {
  const Model model = uneven_model();
  const Dataset data = test::toy_data(90, 5);
  const auto inputs = linear_inputs(model, linears(model));
  const auto one = measure_inputs(model, inputs, CalibrationRun(model, data, options(1), 4));
  const auto two = measure_inputs(model, inputs, CalibrationRun(model, data, options(2), 4));
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].magnitudes.bins(), two[i].magnitudes.bins());
    EXPECT_EQ(one[i].channel_absmax, two[i].channel_absmax);
    EXPECT_EQ(one[i].channel_mean, two[i].channel_mean);
  }
}

TEST(Calibration, ScalesAndTheirSpread) {
  const Model model = uneven_model();
  const CalibrationRun run(model, test::toy_data(64, 5), options(), 4);
  EXPECT_EQ(run.n_texts(), 60);
  const auto statistics = measure_inputs(model, linear_inputs(model, linears(model)), run);
  const auto scales = choose_scales(statistics, Observer::kMinMax, 0);
  for (size_t i = 0; i < scales.size(); ++i) {
    EXPECT_FLOAT_EQ(scales[i].scale * 127, statistics[i].magnitudes.largest());
    float least = INFINITY;
    for (const MagnitudeHistogram& fold : statistics[i].folds) least = std::min(least, fold.largest());
    EXPECT_NEAR(scales[i].spread, 1 - double{least} / double{statistics[i].magnitudes.largest()}, 1e-6);
    EXPECT_EQ(scales[i].cut, 0);
  }
  const auto cut = choose_scales(statistics, Observer::kPercentile, 90);
  for (size_t i = 0; i < cut.size(); ++i) {
    EXPECT_NEAR(cut[i].cut, 0.1, 0.02);
    EXPECT_LT(cut[i].scale, scales[i].scale);
  }
}

TEST(Calibration, RefusesWhatItCannotMeasure) {
  Model model = test::toy_model(kLabels);
  EXPECT_THAT(refusal([&] { CalibrationRun(model, Dataset{}, options()); }), HasSubstr("holds no texts"));
  const std::string value = kLayer + "attention.self.value.weight";
  Tensor weight = model.parameters.get(value).decode().clone();
  for (int64_t i = 0; i < weight.size(); ++i) weight.mutable_data<float>()[i] = 3e38f;
  model.parameters.set(value, EncodedTensor::dense(weight));
  const CalibrationRun run(model, test::toy_data(8, 1), options());
  const auto inputs = linear_inputs(model, linears(model));
  EXPECT_THAT(refusal([&] { measure_inputs(model, inputs, run); }),
              HasSubstr(kLayer + "attention.output.dense: reads "));
  model.tokenizer = nullptr;
  EXPECT_THAT(refusal([&] { CalibrationRun(model, test::toy_data(8, 1), options()); }), HasSubstr("no tokenizer"));
}

TEST(Calibration, WarnsOfTextsThatLookOtherwise) {
  const auto tokenizer = test::word_tokenizer(test::toy_words());
  const TextProfile usual = profile_texts(test::toy_data(100, 1), *tokenizer, 32);
  EXPECT_EQ(usual.unknown, 0);
  EXPECT_EQ(usual.pieces, 1);
  EXPECT_TRUE(calibration_warnings(usual, &usual).empty());
  const auto warned = [&](const Dataset& data, int64_t max_length) {
    std::string all;
    for (const std::string& line : calibration_warnings(profile_texts(data, *tokenizer, max_length), &usual))
      all += line + "\n";
    return all;
  };
  EXPECT_THAT(warned(test::toy_data(5, 1), 32), HasSubstr("5 texts are few"));
  EXPECT_THAT(warned(test::toy_data(50, 1), 4), HasSubstr("% of the texts are cut"));
  Dataset foreign = test::toy_data(40, 1);
  for (Example& example : foreign.examples) example.text = "das rote Haus";
  EXPECT_THAT(warned(foreign, 32), HasSubstr("unknown to the tokenizer"));
  Dataset lengthy = test::toy_data(40, 1);
  for (Example& example : lengthy.examples) example.text += " the big tree a small house the big tree a small house";
  EXPECT_THAT(warned(lengthy, 32), HasSubstr("tokens on average"));
}

TEST(StaticInputs, ComputeWhatTheFloatsDo) {
  Model model = uneven_model();
  const Tensor expected = logits(model);
  const QuantizePlan plan = make_plan(model, {});
  const CalibrationRun run(model, test::toy_data(60, 5), options());
  const auto scales =
      choose_scales(measure_inputs(model, linear_inputs(model, int8_linears(plan)), run), Observer::kMinMax, 0);
  apply_plan(model, plan);
  const double dynamic = distance(logits(model), expected);
  EXPECT_EQ(set_input_scales(model, plan, scales), 2 * 6 + 2);
  const Tensor with_scales = logits(model);
  EXPECT_LT(distance(with_scales, expected), 0.05 * norm(expected));
  EXPECT_NE(distance(with_scales, expected), dynamic);
  // One a hundred times too small cuts nearly everything.
  for (const std::string& name : model.parameters.names()) {
    EncodedTensor value = model.parameters.get(name);
    value.input_scale /= 100;
    model.parameters.set(name, value);
  }
  EXPECT_GT(distance(logits(model), expected), 0.2 * norm(expected));
}

TEST(ChannelScaling, FindsWhatIsExact) {
  const auto pairs = scalable_pairs(test::toy_model(kLabels, 1, 2));
  ASSERT_EQ(pairs.size(), 2u);
  EXPECT_EQ(pairs[0].producer, kLayer + "attention.self.value.weight");
  EXPECT_EQ(pairs[0].offset, kLayer + "attention.self.value.bias");
  EXPECT_THAT(pairs[0].consumers, ElementsAre(kLayer + "attention.output.dense.weight"));
  EXPECT_EQ(scalable_pairs(uneven_model("relu")).size(), 4u);
}

TEST(ChannelScaling, SmoothingAndEqualizationKeepTheModel) {
  for (const std::string activation : {"gelu", "relu"}) {
    const Model original = uneven_model(activation);
    const Tensor expected = logits(original);
    Model smoothed = original;
    const CalibrationRun run(original, test::toy_data(60, 5), options());
    const auto pairs = smooth(smoothed, run, 0.5);
    EXPECT_EQ(pairs.size(), activation == "relu" ? 4u : 2u);
    EXPECT_LT(distance(logits(smoothed), expected), 1e-5 * norm(expected));
    EXPECT_GT(distance(smoothed.parameters.get(pairs[0].pair.producer).decode(),
                       original.parameters.get(pairs[0].pair.producer).decode()),
              0.1);

    Model equalized = original;
    for (const ScaledPair& pair : equalize(equalized)) {
      EXPECT_GT(pair.before, 1.5);
      EXPECT_NEAR(pair.after, 1, 1e-5);
    }
    EXPECT_LT(distance(logits(equalized), expected), 1e-5 * norm(expected));
  }
}

// alpha 1: every channel of the inputs reaches to 1.
TEST(ChannelScaling, SmoothingByTheFormula) {
  Model model = uneven_model();
  const CalibrationRun run(model, test::toy_data(60, 5), options());
  const auto pairs = smooth(model, run, 1);
  const auto after = measure_inputs(model, linear_inputs(model, {pairs[0].pair.consumers[0]}), run);
  for (const float absmax : after[0].channel_absmax) EXPECT_NEAR(absmax, 1, 1e-4);
}

TEST(ChannelScaling, SharedLayersAreScaledTogetherOrNotAtAll) {
  Model model = uneven_model("gelu", 3);
  model.config.layer_sources = {0, 0, 2};
  const Tensor expected = logits(model);
  EXPECT_EQ(equalize(model).size(), 2u);
  EXPECT_LT(distance(logits(model), expected), 1e-5 * norm(expected));
}

// The mean of the outputs is what it was, with any other bias it is not.
TEST(BiasCorrection, GivesTheMeanOfTheOutputsBack) {
  const Model original = uneven_model();
  const CalibrationRun run(original, test::toy_data(60, 5), options());
  const std::string weight = kLayer + "intermediate.dense.weight";
  const auto statistics = measure_inputs(original, linear_inputs(original, {weight}), run);
  Model model = original;
  Encoding encoding = Encoding::int4_group(64, 16);
  apply_plan(model, {{weight, encoding}});
  const auto corrected = correct_biases(model, original, statistics);
  ASSERT_EQ(corrected.size(), 1u);
  EXPECT_EQ(corrected[0].name, kLayer + "intermediate.dense.bias");
  const auto mean_output = [&](const Model& of, int64_t row) {
    const Tensor w = of.parameters.get(weight).decode();
    double sum = double{of.parameters.get(corrected[0].name).decode().floats()[static_cast<size_t>(row)]};
    for (int64_t c = 0; c < 64; ++c) {
      sum += double{w.data<float>()[row * 64 + c]} * statistics[0].channel_mean[static_cast<size_t>(c)];
    }
    return sum;
  };
  double before = 0;
  for (int64_t row = 0; row < 128; ++row) {
    EXPECT_NEAR(mean_output(model, row), mean_output(original, row), 1e-5);
    const double old_bias =
        double{original.parameters.get(corrected[0].name).decode().floats()[static_cast<size_t>(row)]};
    const double new_bias = double{model.parameters.get(corrected[0].name).decode().floats()[static_cast<size_t>(row)]};
    before = std::max(before, std::fabs(old_bias - new_bias));
  }
  EXPECT_NEAR(corrected[0].largest, before, 1e-5);
  EXPECT_GT(before, 1e-4);
}

TEST(RoundWithData, LosesLessThanNearestInEveryLayer) {
  const Model original = uneven_model();
  const QuantizePlan plan = make_plan(original, {.embeddings = true, .bits = 4, .group_size = 32, .input_bits = 16});
  const CalibrationRun run(original, test::toy_data(60, 5), options());
  for (const auto method : {DataRounding::Method::kGptq, DataRounding::Method::kLearned}) {
    for (const bool sequential : {true, false}) {
      Model model = original;
      const DataRounding rounding{.method = method, .learned = {.iterations = 50}, .sequential = sequential};
      const DataRoundingReport report = round_with_data(model, plan, run, rounding);
      EXPECT_EQ(report.layers.size(), 2u * 6 + 2);
      for (const LayerRounding& layer : report.layers) EXPECT_LE(layer.error, layer.nearest_error) << layer.name;
      EXPECT_EQ(report.report.layers.size(), plan.size());
      for (const auto& [name, encoding] : plan) EXPECT_EQ(model.parameters.get(name).encoding, encoding) << name;
    }
  }
}

TEST(RoundWithData, LeavesManyZerosToNearest) {
  Model model = uneven_model();
  const std::string name = kLayer + "output.dense.weight";
  Tensor weight = model.parameters.get(name).decode().clone();
  for (int64_t i = 0; i < weight.size(); ++i) {
    if (i % 4 != 0) weight.mutable_data<float>()[i] = 0;
  }
  model.parameters.set(name, EncodedTensor::dense(weight));
  Model nearest = model;
  const QuantizePlan plan = make_plan(model, {.bits = 4});
  const CalibrationRun run(model, test::toy_data(20, 5), options());
  apply_plan(nearest, plan);
  const DataRoundingReport report = round_with_data(model, plan, run, {});
  EXPECT_EQ(report.layers.front().name, name);
  EXPECT_THAT(report.layers.front().remark, HasSubstr("many zeros"));
  EXPECT_EQ(model.parameters.get(name).encoding, nearest.parameters.get(name).encoding);
}

}  // namespace
}  // namespace fettle
