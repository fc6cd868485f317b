// Techniques combine: for every ordered pair, what the second makes of the first's model is saved, read again, and
// gives the same answers, on both paths. A new technique is one more row of the table.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/scratch_folder.h"
#include "compress/factorize/factorize.h"
#include "compress/prune/surgery.h"
#include "compress/prune/vocabulary.h"
#include "compress/quantize/cast.h"
#include "compress/quantize/dynamic.h"
#include "model/factors.h"
#include "runtime/session.h"
#include "train/prune/weight_pruning.h"
#include "train/test_models.h"

namespace fettle {
namespace {

const std::vector<std::string> kLabels = {"red", "green", "blue", "one"};

std::vector<std::string> texts(int64_t n, uint64_t seed) {
  std::vector<std::string> all;
  for (const Example& example : test::toy_data(n, seed).examples) all.push_back(example.text);
  return all;
}

// Four layers, and words enough for a table with factors.
Model start() {
  std::vector<std::string> words = test::toy_words();
  for (const char* letter : {"r", "e", "d", "##r", "##e", "##d"}) words.emplace_back(letter);
  for (int i = 0; i < 60; ++i) words.push_back("w" + std::to_string(i));
  const auto tokenizer = test::word_tokenizer(words);
  ModelConfig config = make_encoder_config(4, 64, tokenizer->vocab_size());
  for (LayerConfig& layer : config.layers) layer = {.n_heads = 4, .head_dim = 16, .intermediate_size = 128};
  config.max_positions = 32;
  config.labels = kLabels;
  return make_model(config, tokenizer, 1);
}

struct Step {
  const char* name;
  std::function<void(Model&)> apply;
  // Whether the step changes linears of its own kind: then it may refuse what another such step has made.
  std::function<bool(const Model&)> fits = [](const Model&) { return true; };
};

void distil(Model& model) {
  TrainOptions options = test::toy_training();
  options.max_steps = 3;
  const auto teacher = std::make_shared<const Model>(model);
  distill(model, {teacher}, test::toy_data(40, 1), nullptr, options);
}

// A layer, and the same heads and neurons of each of the others.
void cut_parts(Model& model) {
  KeptParts kept = everything(model.config);
  if (kept.layers.size() > 1) kept.layers.erase(kept.layers.end() - 1);
  for (KeptLayer& layer : kept.in_layers) {
    layer.heads.pop_back();
    layer.neurons.resize(layer.neurons.size() - 10);
  }
  model = cut(model, kept);
}

void cut_hidden(Model& model) {
  KeptParts kept = everything(model.config);
  kept.hidden.resize(kept.hidden.size() - 8);
  kept.pooled.resize(kept.hidden.size());
  model = cut(model, kept);
}

WeightPruneOptions zeros(WeightMethod method, WeightPattern pattern) {
  return {.method = method, .pattern = pattern, .target = pattern == WeightPattern::kTwoOfFour ? 0.5 : 0.8};
}

// Zeros as `prune` stores them: by what takes the fewest bytes.
void prune_weights(Model& model, WeightPattern pattern) {
  const WeightPruneOptions options = zeros(WeightMethod::kMagnitude, pattern);
  prune_by_magnitude(model, options);
  store_smallest(model, prunable_weights(model.config, options));
}

void prune_by_movement(Model& model) {
  const WeightPruneOptions options = zeros(WeightMethod::kMovement, WeightPattern::kElement);
  TrainOptions training = test::toy_training();
  training.max_steps = 4;
  prune_in_training(model, options, {.train = test::toy_data(40, 1), .options = training});
  store_smallest(model, prunable_weights(model.config, options));
}

std::vector<Step> steps() {
  return {
      {"distil", distil},
      {"svd", [](Model& model) { factorize_linears(model, {.rank = 9, .n_threads = 1}); }},
      {"weighted-svd",
       [](Model& model) {
         const std::vector<std::string> linears = encoder_linears(model.config, true, true);
         const Dataset data = test::toy_data(40, 5);
         const auto moments = input_moments(model, {linears.begin(), linears.end()}, data, {.n_threads = 1});
         factorize_linears(model, {.target = 0.6, .n_threads = 1}, moments);
       }},
      {"tucker", [](Model& model) { factorize_stacks(model, {.rank = 16, .n_threads = 1}); },
       // Layers that share have one matrix only, which a stack does not make smaller.
       [](const Model& model) { return model.config.layer_sources.empty(); }},
      {"embedding", [](Model& model) { factorize_word_table(model, {.rank = 8}); }},
      {"share, average", [](Model& model) { share_layers(model, {.group = 2}); },
       [](const Model& model) {
         const std::vector<std::string> linears = encoder_linears(model.config, true, true);
         return std::ranges::none_of(linears, [&](const std::string& name) {
           return rank_of(model.config, name) > 0 || model.config.stacked.contains(name);
         });
       }},
      {"share, first", [](Model& model) { share_layers(model, {.average = false}); }},
      {"cut", cut_parts, [](const Model& model) { return model.config.stacked.empty(); }},
      {"hidden", cut_hidden, [](const Model& model) { return model.config.stacked.empty(); }},
      {"magnitude", [](Model& model) { prune_weights(model, WeightPattern::kElement); }},
      {"blocks", [](Model& model) { prune_weights(model, WeightPattern::kBlock4x1); }},
      {"2:4", [](Model& model) { prune_weights(model, WeightPattern::kTwoOfFour); },
       [](const Model& model) {
         const std::vector<std::string> names =
             prunable_weights(model.config, zeros(WeightMethod::kMagnitude, WeightPattern::kTwoOfFour));
         return std::ranges::all_of(
             names, [&](const std::string& name) { return model.parameters.get(name).shape[1] % 4 == 0; });
       }},
      {"movement", prune_by_movement},
      {"vocabulary", [](Model& model) { prune_vocabulary(model, texts(200, 3), {}); }},
      {"int8", [](Model& model) { quantize_dynamic(model, {.embeddings = true}); }},
      {"int4", [](Model& model) { quantize_dynamic(model, {.bits = 4, .group_size = 8, .input_bits = 16}); }},
      {"bf16", [](Model& model) { cast_parameters(model, DType::kBF16); }},
  };
}

std::vector<float> logits(const Model& model, bool fast_path) {
  Session session(std::make_shared<Model>(model), {.n_threads = 1, .fast_path = fast_path});
  const Tensor result = session.classify_texts(texts(12, 3));
  return {result.floats().begin(), result.floats().end()};
}

TEST(Pairs, SavedAndReadAgainTheyAnswerTheSame) {
  const std::vector<Step> all = steps();
  int n_pairs = 0;
  for (const Step& first : all) {
    Model once = start();
    first.apply(once);
    for (const Step& second : all) {
      SCOPED_TRACE(std::string(first.name) + ", then " + second.name);
      if (!second.fits(once)) continue;
      const ScratchFolder scratch;
      save_model(once, scratch / "first", false);
      Model model = load_model(scratch / "first");
      second.apply(model);
      save_model(model, scratch / "second", false);
      const Model loaded = load_model(scratch / "second");
      EXPECT_NO_THROW(check_factors(loaded.config, "here"));
      EXPECT_EQ(loaded.parameters.parameter_count(), model.parameters.parameter_count());
      for (const bool fast_path : {true, false}) EXPECT_EQ(logits(loaded, fast_path), logits(model, fast_path));
      ++n_pairs;
    }
  }
  EXPECT_GT(n_pairs, 230);
}

}  // namespace
}  // namespace fettle
