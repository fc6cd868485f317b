#include "compress/prune/structure.h"

#include <fettle/error.h>
#include <gtest/gtest.h>

#include "compress/prune/importance_report.h"
#include "compress/prune/reconstruct.h"
#include "compress/prune/test_encoders.h"
#include "compress/quantize/dynamic.h"
#include "evaluate/metrics.h"
#include "runtime/session.h"

namespace fettle {
namespace {

using Indices = std::vector<int64_t>;

int64_t count_heads(const KeptParts& kept) {
  int64_t n = 0;
  for (const KeptLayer& layer : kept.in_layers) n += static_cast<int64_t>(layer.heads.size());
  return n;
}

TEST(ChooseParts, TakesTheLeastOfAllLayersButLeavesOne) {
  const std::vector<PartScores> scores = {{PartKind::kHeads, {{1, 2, 3}, {10, 20, 30}, {}}}};
  EXPECT_EQ(choose_parts(scores, 2, {})[0], (std::vector<Indices>{{2}, {0, 1, 2}, {}}));
  EXPECT_EQ(choose_parts(scores, 3, {})[0], (std::vector<Indices>{{2}, {1, 2}, {}}));
  EXPECT_EQ(choose_parts(scores, 100, {})[0], (std::vector<Indices>{{2}, {2}, {}}));
  EXPECT_EQ(choose_parts(scores, 2, {.global = false})[0], (std::vector<Indices>{{1, 2}, {1, 2}, {}}));
  EXPECT_EQ(choose_parts(scores, 0, {})[0], (std::vector<Indices>{{0, 1, 2}, {0, 1, 2}, {}}));
}

TEST(ChooseParts, WeighsScoresByCost) {
  const std::vector<PartScores> scores = {{PartKind::kHeads, {{10, 30}}}, {PartKind::kNeurons, {{2, 4, 6}}}};
  const ChoiceOptions options{.cost = {{PartKind::kHeads, 10}, {PartKind::kNeurons, 1}}};
  EXPECT_EQ(total_cost(scores, options), 23);
  // By density: the first head (1), neurons 0 (2), the second head (3) …
  const auto kept = choose_parts(scores, 11, options);
  EXPECT_EQ(kept[0][0], (Indices{1}));
  EXPECT_EQ(kept[1][0], (Indices{1, 2}));
}

TEST(ChooseParts, KeepsMultiplesOfTheStep) {
  PartScores neurons{PartKind::kNeurons, {std::vector<double>(64), std::vector<double>(64), {1, 2, 3}}};
  for (size_t i = 0; i < 64; ++i) {
    neurons.by_layer[0][i] = static_cast<double>(i);
    neurons.by_layer[1][i] = 100 + static_cast<double>(i);
  }
  const auto kept = choose_parts({neurons}, 30, {.neuron_step = 16})[0];
  EXPECT_EQ(kept[0].size() % 16, 0u);
  EXPECT_EQ(kept[0].back(), 63);
  EXPECT_EQ(kept[1].size(), 64u);
  EXPECT_EQ(choose_parts({neurons}, 1e9, {.neuron_step = 16})[0][0].size(), 16u);
}

TEST(ChooseStructure, RemovesTheShareAskedFor) {
  const Model model = test::random_encoder({"bert", Architecture::kBert});
  const Dataset data = test::toy_data(12, 1);
  for (const int64_t rounds : {1, 4}) {
    const StructureResult result = choose_structure(model, data, {.share = 0.5, .rounds = rounds});
    EXPECT_EQ(count_heads(result.kept), 8);
    EXPECT_EQ(count_removed(model.config, result.kept), (Json{{"heads", 8}}));
    EXPECT_EQ(result.scores[0].by_layer[3].size(), 4u) << "of the whole model";
  }
}

TEST(ChooseStructure, OfBothKindsRemovesParameters) {
  const Model model = test::random_encoder({"bert", Architecture::kBert});
  StructureOptions options;
  options.parts = {PartKind::kHeads, PartKind::kNeurons};
  options.share = 0.4;
  const StructureResult result = choose_structure(model, test::toy_data(12, 1), options);
  const auto cost = parameter_costs(model.config);
  const Json removed = count_removed(model.config, result.kept);
  const double gone =
      removed.value("heads", 0) * cost.at(PartKind::kHeads) + removed.value("neurons", 0) * cost.at(PartKind::kNeurons);
  const double whole = 16 * cost.at(PartKind::kHeads) + 4 * 96 * cost.at(PartKind::kNeurons);
  EXPECT_NEAR(gone / whole, 0.4, 0.03);
  // What the costs say is what the model loses.
  EXPECT_EQ(
      static_cast<double>(model.parameters.parameter_count() - cut(model, result.kept).parameters.parameter_count()),
      gone);
}

TEST(ChooseStructure, OfSharedLayersIsOneChoice) {
  const Model model = test::random_encoder({"albert", Architecture::kAlbert, 2, 1});
  const StructureResult result = choose_structure(model, test::toy_data(12, 1), {.share = 0.5});
  EXPECT_EQ(result.kept.in_layers[0], result.kept.in_layers[1]);
  EXPECT_EQ(result.kept.in_layers[2], result.kept.in_layers[3]);
  EXPECT_EQ(count_removed(model.config, result.kept)["heads"], 4);
  cut(model, result.kept);
}

TEST(ChooseStructure, OfHiddenDimensionsNarrowsTheModel) {
  const Model model = test::random_encoder({"distilbert", Architecture::kDistilBert});
  StructureOptions options;
  options.parts = {PartKind::kHidden, PartKind::kPooled};
  options.share = 0.25;
  options.choice.neuron_step = 16;
  const StructureResult result = choose_structure(model, test::toy_data(12, 1), options);
  EXPECT_EQ(cut(model, result.kept).config.hidden_size, 48);
}

TEST(ChooseLayers, OneAfterTheOtherOrAtOnce) {
  const Model model = test::random_encoder({"bert", Architecture::kBert});
  for (const int64_t rounds : {1, 2}) {
    const StructureResult result =
        choose_layers(model, test::toy_data(12, 1), 2, rounds, {.kind = ImportanceKind::kContribution});
    EXPECT_EQ(result.kept.layers.size(), 2u);
    EXPECT_EQ(count_removed(model.config, result.kept), (Json{{"layers", 2}}));
    EXPECT_EQ(cut(model, result.kept).config.layers.size(), 2u);
  }
}

double distance(const Model& a, const Model& b, const Dataset& data) {
  Session first(std::make_shared<const Model>(a), {.n_threads = 1});
  Session second(std::make_shared<const Model>(b), {.n_threads = 1});
  const Predictions pa = predict(first, data);
  const Predictions pb = predict(second, data);
  double sum = 0;
  for (size_t i = 0; i < pa.logits.size(); ++i) sum += std::pow(static_cast<double>(pa.logits[i] - pb.logits[i]), 2);
  return std::sqrt(sum / static_cast<double>(pa.logits.size()));
}

TEST(Reconstruct, BringsOutputsBackTowardsTheWholeModels) {
  const Model model = test::random_encoder({"bert", Architecture::kBert});
  const Dataset data = test::toy_data(200, 1);
  const Dataset others = test::toy_data(50, 2);
  StructureOptions options;
  options.parts = {PartKind::kHeads, PartKind::kNeurons};
  options.share = 0.3;
  const StructureResult result = choose_structure(model, data, options);
  const Model plain = cut(model, result.kept);
  Model mended = plain;
  const std::vector<ReconstructedLayer> report = reconstruct(mended, model, result.kept, data, {.n_threads = 2});
  ASSERT_EQ(report.size(), 8u);
  for (const ReconstructedLayer& layer : report) EXPECT_LE(layer.error, layer.error_before * (1 + 1e-6)) << layer.name;
  EXPECT_LT(distance(mended, model, others), 0.7 * distance(plain, model, others));
  EXPECT_EQ(mended.config.layers, plain.config.layers);
  // The same bytes at another number of threads.
  Model again = plain;
  reconstruct(again, model, result.kept, data, {.n_threads = 1});
  EXPECT_EQ(test::weight_bytes(again), test::weight_bytes(mended));
}

// A neuron that is the double of another can go without loss.
TEST(Reconstruct, FindsWhatAnotherPartCanStandInFor) {
  Model model = test::random_encoder({"bert", Architecture::kBert});
  const std::string in = "bert.encoder.layer.1.intermediate.dense.";
  for (const char* part : {"weight", "bias"}) {
    Tensor values = model.parameters.get(in + part).decode().clone();
    const int64_t width = values.rank() == 2 ? values.dim(1) : 1;
    std::copy_n(values.data<float>(), width, values.mutable_data<float>() + 7 * width);
    model.parameters.set(in + part, EncodedTensor::dense(std::move(values)));
  }
  KeptParts kept = everything(model.config);
  std::erase(kept.in_layers[1].neurons, 7);
  Model plain = cut(model, kept);
  Model mended = plain;
  const Dataset data = test::toy_data(200, 1);
  reconstruct(mended, model, kept, data, {.damping = 1e-6, .n_threads = 1});
  EXPECT_LT(distance(mended, model, data), 1e-2 * distance(plain, model, data));
}

TEST(Reconstruct, RefusesWhatItCannotDo) {
  const Model model = test::random_encoder({"albert", Architecture::kAlbert});
  Model same = model;
  EXPECT_THROW(reconstruct(same, model, everything(model.config), test::toy_data(4, 1), {}), Error);
}

TEST(ImportanceReport, ShowsMapsAndWhatWent) {
  const Model model = test::random_encoder({"bert", Architecture::kBert});
  StructureOptions options;
  options.parts = {PartKind::kHeads, PartKind::kNeurons};
  const StructureResult result = choose_structure(model, test::toy_data(12, 1), options);
  ImportanceReport report;
  report.title = "Pruning of <model>";
  report.scores = result.scores;
  report.other = result.scores;
  report.kept = result.kept;
  const std::string html = importance_report_html(report);
  EXPECT_NE(html.find("&lt;model&gt;"), std::string::npos);
  EXPECT_NE(html.find("class=\"cross\""), std::string::npos);
  EXPECT_NE(html.find("Spearman): 1.000"), std::string::npos);
  const Json json = importance_to_json(result.scores);
  EXPECT_EQ(json.size(), 8u);
  EXPECT_EQ(json[0]["scores"].size(), 4u);
  EXPECT_EQ(json[4]["n"], 96);
}

}  // namespace
}  // namespace fettle
