#include "train/quantize/weight_quantization.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "train/quantize/quantize_graph.h"

namespace fettle {
namespace {

std::string steps_of(const std::string& weight) {
  return "quantize.step." + weight;
}

std::string zeros_of(const std::string& weight) {
  return "quantize.zero." + weight;
}

double mean_of(const Tensor& values) {
  double sum = 0;
  for (const float value : values.floats()) sum += static_cast<double>(value);
  return sum / static_cast<double>(std::max<int64_t>(1, values.size()));
}

int64_t columns_of_group(const Encoding& encoding, int64_t n_columns) {
  return encoding.kind == EncodingKind::kIntGroup && encoding.group_size > 0 ? encoding.group_size : n_columns;
}

// The gradient of a step is that of all its weights together: divided by what makes it as large as theirs.
double gradient_scale(const Encoding& encoding, const Shape& weight, int64_t n_steps) {
  const IntRange range = int_range(encoding);
  const double levels = encoding.asymmetric ? (range.highest - range.lowest) / 2.0 : range.highest;
  const double n_weights = static_cast<double>(element_count(weight)) / static_cast<double>(n_steps);
  return 1 / std::sqrt(n_weights * levels);
}

}  // namespace

WeightQuantization::WeightQuantization(Model& model, const WeightEncodings& encodings,
                                       const WeightQuantizeOptions& options)
    : model_(model), options_(options) {
  if (encodings.empty()) bad_input("model", "has no weights to quantize");
  for (const auto& [name, encoding] : encodings) {
    if (encoding.kind != EncodingKind::kIntChannel && encoding.kind != EncodingKind::kIntGroup) {
      bad_input(name, "cannot be trained as " + encoding_name(encoding), "integers can");
    }
    if (encoding.static_input)
      bad_input(name, "cannot be trained with a static input scale", "inputs scaled row by row can");
    Part part{.name = name, .encoding = encoding, .first = {}, .steps = {}, .weight = {}, .trained = {}};
    part.first = choose_grid(model.parameters.get(name).decode(), encoding);
    part.mean = mean_of(part.first.scales);
    part.steps = part.first.scales.clone();
    if (part.first.zeros.defined()) inputs_.emplace_back(zeros_of(name), part.first.zeros.to(DType::kF32));
    model_.parameters.set(steps_of(name), EncodedTensor::dense(part.steps));
    parts_.push_back(std::move(part));
  }
}

WeightQuantization::~WeightQuantization() {
  for (const Part& part : parts_) model_.parameters.erase(steps_of(part.name));
}

Json WeightQuantization::options() const {
  Json weights = Json::object();
  for (const Part& part : parts_) {
    weights[part.name] = fmt::format("{}, inputs {}", encoding_name(part.encoding), part.encoding.input_bits);
  }
  return {{"quantized", std::move(weights)}, {"step_learning_rate", options_.step_learning_rate}};
}

void WeightQuantization::record(Json& options, bool is_distilled) const {
  options["method"] = "qat";
  options["step_learning_rate"] = options_.step_learning_rate;
  if (is_distilled) {
    options["distill"] = true;
  } else {
    options.erase("alpha");
    options.erase("temperature");
  }
}

void WeightQuantization::add_to(Graph& graph) {
  std::vector<FakeQuantizeSite> sites;
  for (const Part& part : parts_) {
    const Encoding& encoding = part.encoding;
    const Shape& shape = model_.parameters.get(part.name).shape;
    const IntRange range = int_range(encoding);
    FakeQuantizeSite site{.weight = part.name,
                          .steps = steps_of(part.name),
                          .zeros = part.first.zeros.defined() ? zeros_of(part.name) : "",
                          .step_shape = part.steps.shape(),
                          .attributes = {},
                          .rounds_inputs = encoding.input_bits == 8};
    site.attributes = {{"block_rows", int64_t{encoding.per_tensor ? 0 : 1}},
                       {"block_columns", columns_of_group(encoding, shape[1])},
                       {"lowest", int64_t{range.lowest}},
                       {"highest", int64_t{range.highest}},
                       {"gradient_scale", gradient_scale(encoding, shape, part.steps.size())},
                       {"bf16_steps", encoding.kind == EncodingKind::kIntGroup}};
    sites.push_back(std::move(site));
  }
  insert_fake_quantize(graph, sites);
}

void WeightQuantization::begin(const HookRun& run) {
  pool_ = &run.pool;
  for (Part& part : parts_) {
    for (ParameterSlot& slot : run.slots) {
      if (slot.name == part.name) part.weight = slot.weight;
      if (slot.name != steps_of(part.name)) continue;
      part.steps = slot.weight;
      slot.decay = false;
      slot.rate_factor = run.learning_rate > 0 ? options_.step_learning_rate * part.mean / run.learning_rate : 0;
    }
  }
}

// A step that has been thrown below zero would turn its weights around.
void WeightQuantization::before_step(int64_t /*step*/) {
  for (Part& part : parts_) {
    float* steps = part.steps.mutable_data<float>();
    const float* first = part.first.scales.data<float>();
    for (int64_t i = 0; i < part.steps.size(); ++i) steps[i] = std::max(steps[i], first[i] / 64);
  }
}

IntGrid WeightQuantization::grid_of(const Part& part) {
  IntGrid grid{part.steps.clone(), part.first.zeros};
  float* scales = grid.scales.mutable_data<float>();
  const float* first = part.first.scales.data<float>();
  for (int64_t i = 0; i < grid.scales.size(); ++i) {
    scales[i] = stored_scale(part.encoding, std::max(scales[i], first[i] / 64));
  }
  return grid;
}

void WeightQuantization::round_weights() {
  pool_->parallel_for(std::ssize(parts_), [&](int64_t p, int) {
    Part& part = parts_[static_cast<size_t>(p)];
    const IntGrid grid = grid_of(part);
    const Tensor rounded = from_integers(round_to_grid(part.weight, grid, part.encoding), grid, part.encoding).decode();
    std::ranges::copy(rounded.floats(), part.weight.mutable_data<float>());
  });
}

void WeightQuantization::show(int64_t /*step*/) {
  for (Part& part : parts_) part.trained = part.weight.clone();
  round_weights();
}

void WeightQuantization::hide() {
  for (Part& part : parts_) {
    std::ranges::copy(part.trained.floats(), part.weight.mutable_data<float>());
    part.trained = Tensor();
  }
}

void WeightQuantization::finish(int64_t /*step*/) {
  round_weights();
}

std::map<std::string, EncodedTensor> WeightQuantization::encoded() const {
  std::map<std::string, EncodedTensor> result;
  for (const Part& part : parts_) {
    const IntGrid grid = grid_of(part);
    result[part.name] = from_integers(round_to_grid(part.weight, grid, part.encoding), grid, part.encoding);
  }
  return result;
}

// How far the steps have moved, as a share of where they began.
std::string WeightQuantization::note() const {
  double moved = 0;
  int64_t n = 0;
  for (const Part& part : parts_) {
    const std::span<const float> first = part.first.scales.floats();
    const std::span<const float> now = part.steps.floats();
    for (size_t i = 0; i < first.size(); ++i) moved += std::abs(static_cast<double>(now[i] / first[i]) - 1);
    n += std::ssize(first);
  }
  return fmt::format("steps moved {:.1f} %", 100 * moved / static_cast<double>(std::max<int64_t>(1, n)));
}

TrainResult quantize_in_training(Model& model, const WeightEncodings& encodings, const WeightQuantizeOptions& options,
                                 const QuantizeTraining& training) {
  TrainOptions train_options = training.options;
  if (train_options.learning_rate < 0) train_options.learning_rate = default_learning_rate(model.config.hidden_size);
  std::map<std::string, EncodedTensor> encoded;
  TrainResult result;
  {
    const auto teacher = std::make_shared<const Model>(model);
    WeightQuantization quantization(model, encodings, options);
    result = training.distill ? distill(model, {teacher}, training.train, training.eval, train_options,
                                        training.distillation, &quantization)
                              : train_classifier(model, training.train, training.eval, train_options, &quantization);
    encoded = quantization.encoded();
  }
  for (auto& [name, tensor] : encoded) model.parameters.set(name, std::move(tensor));
  return result;
}

}  // namespace fettle
