#include "compress/quantize/round_with_data.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/progress.h"
#include "compress/quantize/report.h"
#include "tensor/sparse.h"

namespace fettle {
namespace {

constexpr double kManyZeros = 0.3;  // share, from which on plans look at them too

bool has_many_zeros(const EncodedTensor& stored) {
  const auto n = static_cast<double>(element_count(stored.shape));
  return static_cast<double>(count_nonzeros(stored)) <= (1 - kManyZeros) * n;
}

// The part of a model that the inputs of this layer's linears need.
Model up_to_layer(const Model& model, int64_t layer) {
  Model part = model;
  const bool is_shared = model.config.shares_layers() || !model.config.layer_sources.empty();
  if (is_shared || layer < 0 || layer >= std::ssize(model.config.layers)) return part;
  part.config.layers.resize(static_cast<size_t>(layer) + 1);
  part.config.labels.clear();
  return part;
}

// Σ x xᵀ for each input.
std::vector<Tensor> moments_of(const Model& model, const std::vector<LinearInput>& inputs, const CalibrationRun& run) {
  std::vector<Tensor> moments;
  for (const LinearInput& input : inputs) moments.emplace_back(DType::kF32, Shape{input.width, input.width});
  run.run(model, inputs, [&](size_t input, int, const Tensor& x) {
    const int64_t width = x.dim(1);
    run.table().matmul_f32({.m = width,
                            .n = width,
                            .k = x.dim(0),
                            .a = x.data<float>(),
                            .lda = width,
                            .transpose_a = true,
                            .b = x.data<float>(),
                            .ldb = width,
                            .c = moments[input].mutable_data<float>(),
                            .ldc = width,
                            .accumulate = true},
                           run.pool());
  });
  return moments;
}

RoundedWeight round_weight(const RoundingProblem& problem, const DataRounding& options,
                           const RoundingMachine& machine) {
  if (options.method == DataRounding::Method::kGptq) return round_by_gptq(problem, options.gptq, machine);
  return learn_rounding(problem, options.learned, machine);
}

}  // namespace

DataRoundingReport round_with_data(Model& model, const QuantizePlan& plan, const CalibrationRun& run,
                                   const DataRounding& options) {
  const Model original = model;
  DataRoundingReport result;
  QuantizePlan by_data;
  for (const auto& [name, encoding] : plan) {
    if (!has_many_zeros(model.parameters.get(name))) {
      by_data[name] = encoding;
    } else {
      result.layers.push_back({.name = name, .remark = "has many zeros, which stay: rounded to nearest"});
    }
  }
  std::set<std::string> weights;
  for (const auto& [name, encoding] : by_data) weights.insert(name);
  std::map<int64_t, std::vector<LinearInput>> stages;
  std::map<std::string, LayerQuantization> compared;
  QuantizePlan nearest = plan;
  for (LinearInput& input : linear_inputs(model, weights)) {
    for (const std::string& weight : input.weights) nearest.erase(weight);
    stages[input.layer].push_back(std::move(input));
  }
  // Tables come first: what they round goes into every layer.
  result.report = apply_plan(model, nearest);
  for (LayerQuantization& layer : result.report.layers) compared[layer.name] = std::move(layer);

  const RoundingMachine machine{run.pool(), run.table()};
  Progress progress("rounding", std::ssize(weights), "weights");
  for (const auto& [layer, inputs] : stages) {
    const std::vector<Tensor> moments =
        moments_of(up_to_layer(options.sequential ? model : original, layer), inputs, run);
    for (size_t i = 0; i < inputs.size(); ++i) {
      for (const std::string& weight : inputs[i].weights) {
        const Tensor values = original.parameters.get(weight).decode();
        RoundedWeight rounded =
            round_weight(RoundingProblem::of(values, moments[i], plan.at(weight)), options, machine);
        compared[weight] = compare_encoding(weight, values, rounded.encoded);
        model.parameters.set(weight, std::move(rounded.encoded));
        result.layers.push_back({weight, rounded.damping, rounded.nearest_error, rounded.error, ""});
        progress.advance();
      }
    }
  }
  result.report.layers.clear();
  for (const std::string& name : model.parameters.names()) {
    if (const auto found = compared.find(name); found != compared.end()) result.report.layers.push_back(found->second);
  }
  finish_report(model, result.report);
  return result;
}

}  // namespace fettle
