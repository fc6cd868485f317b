#include "compress/prune/importance.h"

#include <fettle/error.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/python_oracle.h"
#include "base/scratch_folder.h"
#include "compress/prune/test_encoders.h"
#include "compress/quantize/dynamic.h"

namespace fettle {
namespace {

using test::EncoderCase;

constexpr double kStep = 1e-2;

double cross_entropy(const float* logits, int64_t n, int32_t label) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(logits[i]));
  return std::log(sum) - static_cast<double>(logits[label]);
}

// Losses of each example with one gate of one kind moved by `step`.
std::vector<double> losses(const Model& model, const Dataset& data, const GateInput& moved, int64_t part, double step) {
  RaggedBatch tokens;
  std::vector<int32_t> ids;
  for (const Example& example : data.examples) {
    ids.clear();
    model.tokenizer->encode(example.text, 64, ids);
    tokens.append(ids.data(), static_cast<int64_t>(ids.size()));
  }
  const Tensor logits = test::gated_logits(model, moved.kind, tokens, [&](const GateInput& gate, int64_t i) {
    return gate.name == moved.name && i == part ? static_cast<float>(1 + step) : 1.0f;
  });
  std::vector<double> all;
  for (size_t s = 0; s < data.examples.size(); ++s) {
    const float* row = logits.data<float>() + static_cast<int64_t>(s) * logits.dim(1);
    all.push_back(cross_entropy(row, logits.dim(1), data.examples[s].label));
  }
  return all;
}

struct Differences {
  double gradient = 0;  // mean of the absolute values
  double taylor = 0;    // absolute value of the mean
  double fisher = 0;    // mean of the squares
};

Differences by_central_differences(const Model& model, const Dataset& data, const GateInput& gate, int64_t part) {
  const std::vector<double> up = losses(model, data, gate, part, kStep);
  const std::vector<double> down = losses(model, data, gate, part, -kStep);
  Differences d;
  for (size_t s = 0; s < up.size(); ++s) {
    const double slope = (up[s] - down[s]) / (2 * kStep);
    d.gradient += std::fabs(slope) / static_cast<double>(up.size());
    d.taylor += slope / static_cast<double>(up.size());
    d.fisher += slope * slope / static_cast<double>(up.size());
  }
  d.taylor = std::fabs(d.taylor);
  return d;
}

double at(const PartScores& scores, const GateInput& gate, int64_t part) {
  return scores.by_layer.at(static_cast<size_t>(gate.layer)).at(static_cast<size_t>(part));
}

TEST(Importance, IsWhatCentralDifferencesSay) {
  const Dataset data = test::toy_data(7, 3);
  for (const EncoderCase& of : test::encoder_cases()) {
    SCOPED_TRACE(of.name);
    const Model model = test::random_encoder(of);
    for (const PartKind kind : {PartKind::kHeads, PartKind::kNeurons, PartKind::kLayers, PartKind::kHidden}) {
      SCOPED_TRACE(std::string(part_name(kind)));
      // Batches of three: the last is smaller than the others.
      ImportanceOptions options{.batch_size = 3, .n_threads = 2};
      const PartScores gradient = measure_importance(model, data, {kind}, options)[0];
      options.kind = ImportanceKind::kTaylor;
      const PartScores taylor = measure_importance(model, data, {kind}, options)[0];
      options.kind = ImportanceKind::kFisher;
      const PartScores fisher = measure_importance(model, data, {kind}, options)[0];
      Graph graph = build_graph(model.config, {.head = GraphOptions::Head::kClassifier});
      const std::vector<GateInput> gates = add_gates(graph, model.config, kind);
      for (const GateInput& gate : {gates.front(), gates.back()}) {
        for (const int64_t part : {int64_t{0}, gate.n - 1}) {
          const Differences expected = by_central_differences(model, data, gate, part);
          EXPECT_NEAR(at(gradient, gate, part), expected.gradient, 2e-3 * (1 + expected.gradient));
          EXPECT_NEAR(at(taylor, gate, part), expected.taylor, 2e-3 * (1 + expected.taylor));
          EXPECT_NEAR(at(fisher, gate, part), expected.fisher, 4e-3 * (1 + expected.fisher));
        }
      }
    }
  }
}

TEST(Importance, OfHeadsIsPyTorchs) {
  if (!python_has("torch")) GTEST_SKIP() << "python3-torch is not installed";
  const Model model = test::random_encoder({"bert", Architecture::kBert});
  const Dataset data = test::toy_data(9, 8);
  const ScratchFolder scratch;
  const std::string folder = scratch / "m";
  save_model(model, folder, false);
  Json batch{{"token_ids", Json::array()}, {"type_ids", Json::array()}, {"labels", Json::array()}};
  for (const Example& example : data.examples) {
    std::vector<int32_t> ids;
    model.tokenizer->encode(example.text, 64, ids);
    batch["token_ids"].push_back(ids);
    batch["type_ids"].push_back(std::vector<int32_t>(ids.size(), 0));
    batch["labels"].push_back(example.label);
  }
  write_json(folder + "/batch.json", batch);
  const PythonResult result = run_oracle("head_importance.py", "'" + folder + "'");
  ASSERT_EQ(result.status, 0) << result.output;
  const Json expected = read_json(folder + "/importance.json");
  for (const ImportanceKind kind : {ImportanceKind::kGradient, ImportanceKind::kTaylor, ImportanceKind::kFisher}) {
    const Json& wanted = expected[std::string(importance_name(kind))];
    const PartScores scores = measure_importance(model, data, {PartKind::kHeads}, {.kind = kind, .batch_size = 4})[0];
    for (size_t layer = 0; layer < 4; ++layer) {
      for (size_t head = 0; head < 4; ++head) {
        const double value = wanted[layer][head].get<double>();
        EXPECT_NEAR(scores.by_layer[layer][head], value, 1e-4 * (1 + value)) << layer << " " << head;
      }
    }
  }
}

TEST(Importance, OfAPartThatDoesNothingIsZero) {
  Model model = test::random_encoder({"bert", Architecture::kBert});
  const std::string output = "bert.encoder.layer.2.attention.output.dense.weight";
  Tensor weight = model.parameters.get(output).decode().clone();
  for (int64_t r = 0; r < 64; ++r) {
    for (int64_t c = 16; c < 32; ++c) weight.mutable_data<float>()[r * 64 + c] = 0;
  }
  model.parameters.set(output, EncodedTensor::dense(std::move(weight)));
  for (const ImportanceKind kind :
       {ImportanceKind::kGradient, ImportanceKind::kTaylor, ImportanceKind::kFisher, ImportanceKind::kMagnitude}) {
    const PartScores scores = measure_importance(model, test::toy_data(6, 2), {PartKind::kHeads}, {.kind = kind})[0];
    EXPECT_EQ(scores.by_layer[2][1], 0);
    EXPECT_GT(scores.by_layer[2][0], 0);
  }
}

TEST(Importance, IsTheSameOnAnyNumberOfThreads) {
  const Model model = test::random_encoder({"bert", Architecture::kBert});
  const Dataset data = test::toy_data(20, 2);
  const auto measure = [&](int n_threads) {
    return measure_importance(model, data, {PartKind::kHeads, PartKind::kNeurons},
                              {.batch_size = 4, .n_threads = n_threads});
  };
  const auto one = measure(1);
  const auto three = measure(3);
  for (size_t k = 0; k < one.size(); ++k) EXPECT_EQ(one[k].by_layer, three[k].by_layer);
}

TEST(Importance, OfQuantizedModelsIsNearThatOfTheirOriginals) {
  const Model model = test::random_encoder({"bert", Architecture::kBert});
  Model quantized = model;
  quantize_dynamic(quantized, {});
  const Dataset data = test::toy_data(20, 2);
  const auto a = measure_importance(model, data, {PartKind::kHeads}, {});
  const auto b = measure_importance(quantized, data, {PartKind::kHeads}, {});
  EXPECT_GT(rank_correlation(a[0], b[0]), 0.9);
}

// What a layer changes, by hand on one layer's output: a layer whose output norm ignores its input changes much.
TEST(Importance, OfContributionIsOneMinusTheCosine) {
  Model model = test::random_encoder({"bert", Architecture::kBert});
  // Layer 1 turns every token into the same vector, layer 2 takes it from there.
  for (const char* part : {"weight", "bias"}) {
    const std::string name = std::string("bert.encoder.layer.1.output.LayerNorm.") + part;
    Tensor values = model.parameters.get(name).decode().clone();
    for (int64_t i = 0; i < values.size(); ++i)
      values.mutable_data<float>()[i] = part[0] == 'w' ? 0.0f : (i == 5 ? 1.0f : 0.0f);
    model.parameters.set(name, EncodedTensor::dense(std::move(values)));
  }
  const PartScores scores =
      measure_importance(model, test::toy_data(8, 4), {PartKind::kLayers}, {.kind = ImportanceKind::kContribution})[0];
  ASSERT_EQ(scores.by_layer.size(), 4u);
  for (const auto& layer : scores.by_layer) {
    EXPECT_GE(layer.at(0), 0);
    EXPECT_LE(layer.at(0), 2);
  }
  EXPECT_GT(scores.by_layer[1][0], 0.5);
}

TEST(Importance, RefusesWhatItCannotMeasure) {
  Model model = test::random_encoder({"bert", Architecture::kBert});
  Dataset unlabelled = test::toy_data(4, 1);
  unlabelled.examples[2].label = kUnlabelled;
  EXPECT_THROW(measure_importance(model, unlabelled, {PartKind::kHeads}, {}), Error);
  EXPECT_THROW(measure_importance(model, {}, {PartKind::kHeads}, {}), Error);
  EXPECT_THROW(measure_importance(model, {}, {PartKind::kLayers}, {.kind = ImportanceKind::kMagnitude}), Error);
  model.config.problem = ProblemType::kMultiLabel;
  EXPECT_THROW(measure_importance(model, test::toy_data(4, 1), {PartKind::kHeads}, {}), Error);
}

TEST(RankCorrelation, IsSpearmans) {
  const PartScores a{PartKind::kHeads, {{1, 2}, {3, 4}, {5}}};
  EXPECT_NEAR(rank_correlation(a, a), 1, 1e-12);
  EXPECT_NEAR(rank_correlation(a, {PartKind::kHeads, {{50, 40}, {30, 20}, {10}}}), -1, 1e-12);
  // 1 - 6 Σd² / (n (n² - 1)) with d = (1, 1, 1, 1, 0)
  EXPECT_NEAR(rank_correlation(a, {PartKind::kHeads, {{2, 1}, {4, 3}, {5}}}), 1 - 6.0 * 4 / (5 * 24), 1e-12);
  // Ties share their mean rank: ranks 0.5 0.5 2 3 4 against 0 1 2 3 4.
  EXPECT_NEAR(rank_correlation(a, {PartKind::kHeads, {{1, 1}, {2, 3}, {4}}}), 9.5 / std::sqrt(10 * 9.5), 1e-12);
  EXPECT_TRUE(std::isnan(rank_correlation(a, {PartKind::kHeads, {{1, 1}, {1, 1}, {1}}})));
}

TEST(NormalizeByLayer, MakesEachLayerAsLong) {
  PartScores scores{PartKind::kHeads, {{3, 4}, {0, 0}, {}}};
  normalize_by_layer(scores);
  EXPECT_NEAR(scores.by_layer[0][0], 0.6, 1e-12);
  EXPECT_NEAR(scores.by_layer[0][1], 0.8, 1e-12);
  EXPECT_EQ(scores.by_layer[1][0], 0);
}

}  // namespace
}  // namespace fettle
