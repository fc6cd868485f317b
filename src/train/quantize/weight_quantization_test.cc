#include "train/quantize/weight_quantization.h"

#include <fettle/error.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/cancel.h"
#include "base/philox.h"
#include "base/scratch_folder.h"
#include "data/tokenized.h"
#include "graph/ops/gradient_check.h"
#include "kernels/dispatch.h"
#include "runtime/session.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/test_models.h"

namespace fettle {
namespace {

const std::vector<std::string> kLabels = {"red", "green", "blue", "one"};

struct Scheme {
  const char* name;
  Encoding encoding;
};

Encoding group_of(int bits, int group_size, bool asymmetric = false, int input_bits = 16) {
  Encoding encoding = Encoding::int4_group(group_size, input_bits);
  encoding.bits = bits;
  encoding.asymmetric = asymmetric;
  return encoding;
}

Encoding per_tensor() {
  Encoding encoding = Encoding::int8_channel();
  encoding.per_tensor = true;
  return encoding;
}

const Scheme kSchemes[] = {
    {"8 bits a row", Encoding::int8_channel()},         {"8 bits a tensor", per_tensor()},
    {"4 bits, groups of 32", group_of(4, 32)},          {"3 bits a row", group_of(3, 0)},
    {"2 bits with zero points", group_of(2, 32, true)}, {"6 bits, inputs of 8", group_of(6, 64, false, 8)},
};

// All linears of the encoder.
WeightEncodings encodings_of(const Model& model, const Encoding& encoding) {
  WeightEncodings encodings;
  for (const std::string& name : model.parameters.names()) {
    const bool is_linear = name.find("encoder") != std::string::npos && name.ends_with(".weight") &&
                           name.find("LayerNorm") == std::string::npos;
    if (is_linear) encodings[name] = encoding;
  }
  return encodings;
}

TrainOptions short_training(double epochs = 2) {
  TrainOptions options = test::toy_training(epochs);
  options.precision = Precision::kF32;
  return options;
}

TrainResult quantize(Model& model, const Encoding& encoding, const TrainOptions& training, bool distill = false) {
  const Dataset data = test::toy_data(160, 3);
  return quantize_in_training(model, encodings_of(model, encoding), {},
                              {.train = data, .options = training, .distill = distill});
}

RaggedBatch two_texts(const Model& model) {
  Dataset data;
  data.examples = {{"the red house", "", 0}, {"a big tree one small", "", 3}};
  const TokenizedTexts texts = tokenize(data, *model.tokenizer, 16);
  RaggedBatch batch;
  for (int64_t i = 0; i < texts.size(); ++i) texts.append_to(batch, i);
  return batch;
}

// Of the graph that is trained, dropout left out.
Tensor logits_of_graph(const Model& model, WeightQuantization& quantization, const RaggedBatch& batch) {
  Graph graph = build_graph(model.config, {});
  quantization.add_to(graph);
  ThreadPool pool(1);
  Executor executor(
      graph, [&](std::string_view name) -> const EncodedTensor& { return model.parameters.get(name); },
      {.pool = &pool, .table = &table_named("reference"), .precision = Precision::kF32, .pack_parameters = false});
  MicroBatch inputs;
  bind_tokens(batch, model.config, inputs);
  for (const auto& [name, value] : inputs.inputs) {
    if (graph.find(name) != kNoValue) executor.set_input(name, value);
  }
  for (const auto& [name, value] : quantization.inputs()) executor.set_input(name, value);
  executor.run();
  return executor.output("logits").clone();
}

// Weights and steps anywhere: some out of range, none of them on the grid.
void shake(std::vector<ParameterSlot>& slots) {
  Philox random(7);
  for (ParameterSlot& slot : slots) {
    const bool is_steps = slot.name.starts_with("quantize.step.");
    for (int64_t i = 0; i < slot.size(); ++i) {
      float& value = slot.weight.mutable_data<float>()[i];
      const auto noise = static_cast<float>(random.normal());
      value = is_steps ? value * std::exp(0.1f * noise) : value + 0.02f * noise;
    }
  }
}

TEST(WeightQuantization, TheStoredModelAnswersAsTheTrainedGraph) {
  for (const Scheme& scheme : kSchemes) {
    SCOPED_TRACE(scheme.name);
    Model model = test::toy_model(kLabels);
    const WeightEncodings encodings = encodings_of(model, scheme.encoding);
    Model stored = model;
    Tensor expected;
    const RaggedBatch batch = two_texts(model);
    {
      WeightQuantization quantization(model, encodings, {});
      std::vector<std::string> names = model.parameters.names();
      std::vector<ParameterSlot> slots = make_slots(model, names, short_training());
      ThreadPool pool(1);
      quantization.begin({.slots = slots, .pool = pool, .total_steps = 1, .learning_rate = 1e-3});
      shake(slots);
      expected = logits_of_graph(model, quantization, batch);
      quantization.show(0);
      for (auto& [name, tensor] : quantization.encoded()) stored.parameters.set(name, std::move(tensor));
      quantization.hide();
      for (const ParameterSlot& slot : slots) {
        if (!slot.name.starts_with("quantize.step.") && !encodings.contains(slot.name)) {
          stored.parameters.set(slot.name, EncodedTensor::dense(slot.weight.clone()));
        }
      }
    }
    // With the integers' values as floats, so that nothing but the products is rounded.
    const bool rounds_inputs = scheme.encoding.input_bits == 8;
    if (!rounds_inputs) {
      for (const auto& [name, encoding] : encodings) {
        EXPECT_EQ(stored.parameters.get(name).encoding, encoding);
        stored.parameters.set(name, EncodedTensor::dense(stored.parameters.get(name).decode()));
      }
    }
    Session session(std::make_shared<const Model>(stored),
                    {.fast_path = false, .isa = "reference", .precision = Precision::kF32});
    const Tensor actual = session.classify(batch);
    ASSERT_EQ(actual.size(), expected.size());
    double largest = 0;
    for (const float value : expected.floats()) largest = std::max(largest, std::abs(static_cast<double>(value)));
    for (int64_t i = 0; i < actual.size(); ++i) {
      EXPECT_NEAR(actual.data<float>()[i], expected.data<float>()[i], (rounds_inputs ? 2e-2 : 1e-5) * largest) << i;
    }
  }
}

TEST(QuantizeInTraining, StoresIntegersOnLearnedGrids) {
  for (const Scheme& scheme : kSchemes) {
    SCOPED_TRACE(scheme.name);
    Model model = test::toy_model(kLabels);
    const Model original = model;
    quantize(model, scheme.encoding, short_training(1));
    EXPECT_EQ(model.parameters.names(), original.parameters.names());  // the steps are gone
    bool has_moved = false;
    for (const auto& [name, encoding] : encodings_of(model, scheme.encoding)) {
      const EncodedTensor& stored = model.parameters.get(name);
      ASSERT_EQ(stored.encoding, encoding) << name;
      const Tensor first = choose_grid(original.parameters.get(name).decode(), encoding).scales;
      const Tensor scales = stored.scales.to(DType::kF32);
      for (int64_t i = 0; i < scales.size(); ++i) has_moved |= scales.data<float>()[i] != first.data<float>()[i];
    }
    EXPECT_TRUE(has_moved);
    EXPECT_EQ(model.manifest["steps"].back()["verb"], "quantize");
    EXPECT_EQ(model.manifest["steps"].back()["options"]["method"], "qat");
  }
}

// At 2 bits rounding a trained model destroys it; trained so, it learns the task.
TEST(QuantizeInTraining, LearnsWhatRoundingLoses) {
  const Dataset data = test::toy_data(320, 3);
  const Dataset eval = test::toy_data(100, 4);
  Model model = test::toy_model(kLabels);
  const Encoding encoding = group_of(2, 0);
  const TrainResult result = quantize_in_training(model, encodings_of(model, encoding), {},
                                                  {.train = data, .eval = &eval, .options = test::toy_training(12)});
  EXPECT_GT(result.accuracy, 0.9);
}

// What was measured is what is stored, also where an earlier epoch was the best.
TEST(QuantizeInTraining, TheAccuracyIsThatOfTheStoredModel) {
  const Dataset data = test::toy_data(160, 3);
  const Dataset eval = test::toy_data(60, 4);
  Model model = test::toy_model(kLabels);
  const TrainResult result = quantize_in_training(model, encodings_of(model, group_of(3, 32)), {},
                                                  {.train = data, .eval = &eval, .options = short_training(5)});
  std::vector<std::string> texts;
  for (const Example& example : eval.examples) texts.push_back(example.text);
  Session session(std::make_shared<const Model>(model), {.precision = Precision::kF32});
  const Tensor logits = session.classify_texts(texts);
  int64_t n_right = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const float* row = logits.data<float>() + i * kLabels.size();
    n_right += std::max_element(row, row + kLabels.size()) - row == eval.examples[i].label ? 1 : 0;
  }
  EXPECT_NEAR(result.accuracy, static_cast<double>(n_right) / static_cast<double>(texts.size()), 0.02);
}

TEST(QuantizeInTraining, ResumesToTheSameBytes) {
  for (const Encoding& encoding : {group_of(2, 32, true), group_of(4, 0, false, 8)}) {
    const auto run = [&](const TrainOptions& training) {
      Model model = test::toy_model(kLabels);
      quantize(model, encoding, training);
      return test::weight_bytes(model);
    };
    const std::string whole = run(short_training());  // 20 steps
    for (const int64_t looks : {2, 15}) {
      SCOPED_TRACE(looks);
      const ScratchFolder folder;
      TrainOptions training = short_training();
      training.checkpoint_folder = folder / "run";
      training.checkpoint_every = 1000;
      request_cancel_after(looks);
      expect_error(ErrorCode::kInterrupted, "interrupted", [&] { run(training); });
      clear_cancel();
      training.resume = true;
      training.n_threads = 2;
      EXPECT_TRUE(run(training) == whole);
    }
  }
}

TEST(QuantizeInTraining, CombinesWithTheOtherOptionsOfTraining) {
  const Encoding encoding = group_of(3, 32, false, 8);
  TrainOptions plain = short_training(1);
  Model reference = test::toy_model(kLabels);
  quantize(reference, encoding, plain);
  TrainOptions checkpointing = plain;
  checkpointing.gradient_checkpointing = true;
  Model model = test::toy_model(kLabels);
  quantize(model, encoding, checkpointing);
  EXPECT_EQ(test::weight_bytes(model), test::weight_bytes(reference));
  TrainOptions more = plain;
  more.ema_decay = 0.9;
  more.gradient_accumulation = 2;
  more.layer_decay = 0.9;
  Model averaged = test::toy_model(kLabels);
  quantize(averaged, encoding, more);
  EXPECT_EQ(averaged.parameters.get(encodings_of(averaged, encoding).begin()->first).encoding, encoding);
  Model distilled = test::toy_model(kLabels);
  quantize(distilled, encoding, plain, /*distill=*/true);
  EXPECT_EQ(distilled.manifest["steps"].back()["options"]["distill"], true);
}

TEST(QuantizeInTraining, RefusesWhatHasNoIntegers) {
  Model model = test::toy_model(kLabels);
  expect_error(ErrorCode::kBadInput, "cannot be trained as",
               [&] { quantize(model, Encoding::dense(DType::kBF16), short_training()); });
}

}  // namespace
}  // namespace fettle
