#include "compress/quantize/linear_inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "data/batching.h"
#include "graph/op.h"
#include "kernels/dispatch.h"
#include "model/layer_names.h"
#include "runtime/executor.h"
#include "train/objective.h"

namespace fettle {
namespace {

constexpr int64_t kBatch = 32;

GraphOptions graph_options(const ModelConfig& config) {
  return {.head = config.labels.empty() ? GraphOptions::Head::kHidden : GraphOptions::Head::kClassifier};
}

// One linear of the graph.
struct Use {
  std::string weight;
  std::string module;
  ValueId x = kNoValue;
};

std::vector<Use> uses_of(const Graph& graph, const std::set<std::string>& weights) {
  std::vector<Use> uses;
  for (const Node& node : graph.nodes()) {
    if (node.op->name() != "linear") continue;
    const std::string& weight = graph.value(node.inputs[1]).name;
    if (weights.contains(weight)) uses.push_back({weight, node.name, node.inputs[0]});
  }
  return uses;
}

// For each use the number of its input: uses that share a value or a weight have one.
std::vector<size_t> number_inputs(const std::vector<Use>& uses) {
  std::vector<size_t> numbers(uses.size());
  for (size_t i = 0; i < uses.size(); ++i) numbers[i] = i;
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < uses.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        const bool together = uses[i].x == uses[j].x || uses[i].weight == uses[j].weight;
        if (!together || numbers[i] == numbers[j]) continue;
        numbers[i] = numbers[j] = std::min(numbers[i], numbers[j]);
        changed = true;
      }
    }
  }
  return numbers;
}

int64_t layer_of(const ModelConfig& config, const std::string& module) {
  const auto n_layers = std::ssize(config.layers);
  for (int64_t layer = 0; layer < n_layers; ++layer) {
    for (int64_t block = 0; block < config.blocks_per_group; ++block) {
      const EncoderLayerNames names = encoder_layer_names(config, layer, block);
      for (const std::string& own : modules_of(names)) {
        if (module == own || module.starts_with(own + ".")) return layer;
      }
    }
  }
  return module.find("embed") != std::string::npos ? -1 : n_layers;
}

void check_finite(const Tensor& x, const LinearInput& input) {
  for (int64_t i = 0; i < x.size(); ++i) {
    const float value = x.data<float>()[i];
    if (std::isfinite(value)) continue;
    bad_input(input.modules.front(),
              fmt::format("reads {} on the calibration texts",
                          std::isnan(value) ? "values that are not numbers" : "infinite values"));
  }
}

}  // namespace

std::vector<LinearInput> linear_inputs(const Model& model, const std::set<std::string>& weights) {
  const Graph graph = build_graph(model.config, graph_options(model.config));
  const std::vector<Use> uses = uses_of(graph, weights);
  const std::vector<size_t> numbers = number_inputs(uses);
  std::vector<LinearInput> inputs;
  std::map<size_t, size_t> places;
  for (size_t i = 0; i < uses.size(); ++i) {
    const auto [place, is_new] = places.emplace(numbers[i], inputs.size());
    if (is_new) {
      inputs.push_back(
          {.width = graph.type(uses[i].x).shape[1].value, .layer = layer_of(model.config, uses[i].module)});
    }
    LinearInput& input = inputs[place->second];
    if (std::ranges::count(input.weights, uses[i].weight) > 0) continue;
    input.weights.push_back(uses[i].weight);
    input.modules.push_back(uses[i].module);
  }
  return inputs;
}

struct CalibrationRun::Machine {
  explicit Machine(const CalibrationOptions& options) : pool(options.n_threads), table(table_named(options.isa)) {}
  ThreadPool pool;
  const KernelTable& table;
};

CalibrationRun::CalibrationRun(const Model& model, const Dataset& data, const CalibrationOptions& options, int n_folds)
    : sample_(data), machine_(std::make_unique<Machine>(options)) {
  if (model.tokenizer == nullptr) bad_input("calibration", "the model has no tokenizer");
  const auto n_all = std::ssize(data.examples);
  if (n_all == 0) bad_input(data.source.empty() ? "calibration" : data.source, "holds no texts");
  const int64_t n = std::min<int64_t>(options.n_samples, n_all);
  sample_.examples.clear();
  for (int64_t i = 0; i < n; ++i) sample_.examples.push_back(data.examples[static_cast<size_t>(i * n_all / n)]);
  texts_ = tokenize(sample_, *model.tokenizer, std::min(options.max_length, model.config.max_positions));
  n_folds_ = static_cast<int>(std::clamp<int64_t>(n, 1, n_folds));
}

CalibrationRun::~CalibrationRun() = default;

ThreadPool& CalibrationRun::pool() const {
  return machine_->pool;
}
const KernelTable& CalibrationRun::table() const {
  return machine_->table;
}

void CalibrationRun::run(const Model& model, const std::vector<LinearInput>& inputs, const Visitor& visit) const {
  Graph graph = build_graph(model.config, graph_options(model.config));
  std::set<std::string> weights;
  std::map<std::string, size_t> input_of;
  for (size_t i = 0; i < inputs.size(); ++i) {
    for (const std::string& weight : inputs[i].weights) input_of[weight] = i;
    weights.insert(inputs[i].weights.begin(), inputs[i].weights.end());
  }
  std::vector<std::pair<std::string, size_t>> taps;
  std::set<ValueId> tapped;
  for (const Use& use : uses_of(graph, weights)) {
    if (!tapped.insert(use.x).second) continue;
    taps.emplace_back(fmt::format("read by {} {}", use.module, taps.size()), input_of.at(use.weight));
    graph.add_output(taps.back().first, use.x);
  }
  Executor executor(graph, [&](std::string_view name) -> const EncodedTensor& { return model.parameters.get(name); },
                    {.pool = &machine_->pool, .table = &machine_->table});
  MicroBatch batch;
  RaggedBatch tokens;
  for (int fold = 0; fold < n_folds_; ++fold) {
    std::vector<int32_t> members;
    std::vector<int32_t> lengths;
    for (int64_t i = fold; i < texts_.size(); i += n_folds_) {
      members.push_back(static_cast<int32_t>(i));
      lengths.push_back(static_cast<int32_t>(texts_.length(i)));
    }
    const BatchPlan plan = evaluation_batches(lengths, kBatch);
    for (int64_t b = 0; b < plan.n_batches(); ++b) {
      throw_if_cancelled();
      tokens.clear();
      for (const int32_t i : plan.batch(b)) texts_.append_to(tokens, members[static_cast<size_t>(i)]);
      bind_tokens(tokens, model.config, batch);
      for (const auto& [name, value] : batch.inputs) executor.set_input(name, value);
      executor.run();
      for (const auto& [name, input] : taps) {
        const Tensor x = executor.output(name);
        check_finite(x, inputs[input]);
        visit(input, fold, x);
      }
    }
  }
}

}  // namespace fettle
