#include "compress/quantize/channel_scaling.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "graph/op.h"

namespace fettle {
namespace {

// Beyond, a weight would leave what f32 holds well.
constexpr double kLargestScale = 1e4;

GraphOptions graph_options(const ModelConfig& config) {
  return {.head = config.labels.empty() ? GraphOptions::Head::kHidden : GraphOptions::Head::kClassifier};
}

class PairFinder {
 public:
  PairFinder(const Model& model, const Graph& graph) : model_(model), graph_(graph), readers_(graph.values().size()) {
    for (const Node& node : graph.nodes()) {
      for (const ValueId input : node.inputs) {
        if (input != kNoValue) readers_[static_cast<size_t>(input)].push_back(&node);
      }
    }
    for (const auto& [name, value] : graph.outputs()) outputs_.insert(value);
  }

  std::vector<ScalablePair> run() {
    std::vector<ScalablePair> found;
    std::map<std::string, std::set<std::string>> consumers_of;
    std::map<std::string, int64_t> n_places;  // of each parameter among the pairs
    for (const Node& node : graph_.nodes()) {
      ScalablePair pair = pair_of(node);
      if (pair.consumers.empty()) continue;
      ++n_places[pair.producer];
      for (const std::string& consumer : pair.consumers) ++n_places[consumer];
      const std::set<std::string> consumers(pair.consumers.begin(), pair.consumers.end());
      const auto [known, is_new] = consumers_of.emplace(pair.producer, consumers);
      if (is_new) found.push_back(std::move(pair));
      // Shared, and with others elsewhere.
      if (known->second != consumers) known->second.clear();
    }
    std::erase_if(found, [&](const ScalablePair& pair) {
      if (consumers_of[pair.producer].empty()) return true;
      // A parameter that is read at places of another kind too.
      const auto elsewhere = [&](const std::string& name) { return n_readers(name) != n_places[name]; };
      return elsewhere(pair.producer) || std::ranges::any_of(pair.consumers, elsewhere) || !is_dense(pair);
    });
    return found;
  }

 private:
  const std::vector<const Node*>& readers(ValueId value) const { return readers_[static_cast<size_t>(value)]; }
  const std::string& name_of(ValueId value) const { return graph_.value(value).name; }
  bool is_parameter(ValueId value) const {
    return value != kNoValue && graph_.value(value).kind == ValueKind::kParameter;
  }
  int64_t n_readers(const std::string& parameter) const { return std::ssize(readers(graph_.find(parameter))); }

  bool is_dense(const ScalablePair& pair) const {
    std::vector<std::string> names = pair.consumers;
    names.push_back(pair.producer);
    if (!pair.offset.empty()) names.push_back(pair.offset);
    return std::ranges::all_of(names, [&](const std::string& name) {
      return model_.parameters.get(name).encoding.kind == EncodingKind::kDense;
    });
  }

  // The value whose channels are those of `value`, behind ops that are linear in each of them.
  ValueId behind(ValueId value) const {
    while (readers(value).size() == 1 && !outputs_.contains(value)) {
      const Node& next = *readers(value).front();
      const bool is_relu = next.op->name() == "activate" && next.attributes.get_string("kind", "") == "relu";
      const bool is_value_input = next.op->name() == "attention" && next.inputs.size() > 2 && next.inputs[2] == value;
      if (!is_relu && !is_value_input) break;
      value = next.outputs[0];
    }
    return value;
  }

  ScalablePair pair_of(const Node& node) const {
    const bool is_norm = node.op->name() == "layer_norm";
    if (!is_norm && node.op->name() != "linear") return {};
    if (node.inputs.size() < 2 || !is_parameter(node.inputs[1])) return {};
    ScalablePair pair{.producer = name_of(node.inputs[1]), .is_norm = is_norm};
    if (node.inputs.size() > 2 && node.inputs[2] != kNoValue) {
      if (!is_parameter(node.inputs[2])) return {};
      pair.offset = name_of(node.inputs[2]);
    }
    const ValueId value = behind(node.outputs[0]);
    if (outputs_.contains(value)) return {};
    for (const Node* reader : readers(value)) {
      const bool is_linear = reader->op->name() == "linear" && reader->inputs[0] == value &&
                             is_parameter(reader->inputs[1]) && reader->inputs[1] != value;
      if (!is_linear) return {};
      pair.consumers.push_back(name_of(reader->inputs[1]));
    }
    pair.channels = model_.parameters.get(pair.producer).shape[0];
    return pair;
  }

  const Model& model_;
  const Graph& graph_;
  std::vector<std::vector<const Node*>> readers_;
  std::set<ValueId> outputs_;
};

std::vector<float> row_ranges(const Model& model, const std::string& name) {
  const Tensor values = model.parameters.get(name).decode();
  const int64_t n_cols = values.rank() == 1 ? 1 : values.dim(1);
  std::vector<float> ranges(static_cast<size_t>(values.dim(0)));
  for (int64_t i = 0; i < values.size(); ++i) {
    float& range = ranges[static_cast<size_t>(i / n_cols)];
    range = std::max(range, std::fabs(values.data<float>()[i]));
  }
  return ranges;
}

// The largest over all consumers.
std::vector<float> column_ranges(const Model& model, const ScalablePair& pair) {
  std::vector<float> ranges(static_cast<size_t>(pair.channels));
  for (const std::string& name : pair.consumers) {
    const Tensor values = model.parameters.get(name).decode();
    for (int64_t i = 0; i < values.size(); ++i) {
      float& range = ranges[static_cast<size_t>(i % pair.channels)];
      range = std::max(range, std::fabs(values.data<float>()[i]));
    }
  }
  return ranges;
}

double largest_over_median(std::vector<float> values) {
  if (values.empty()) return 1;
  std::ranges::sort(values);
  const auto median = static_cast<double>(values[values.size() / 2]);
  return median > 0 ? static_cast<double>(values.back()) / median : 1;
}

float bounded(double scale) {
  return static_cast<float>(std::clamp(scale, 1 / kLargestScale, kLargestScale));
}

// Multiplies each number of a dense parameter, which keeps its type. factor(i) of its place.
template <typename Factor>
void multiply(Model& model, const std::string& name, Factor factor) {
  const EncodedTensor& stored = model.parameters.get(name);
  Tensor values = stored.decode().clone();
  for (int64_t i = 0; i < values.size(); ++i) values.mutable_data<float>()[i] *= factor(i);
  model.parameters.set(name, EncodedTensor::dense(values.to(stored.encoding.dense_dtype)));
}

}  // namespace

std::vector<ScalablePair> scalable_pairs(const Model& model) {
  const Graph graph = build_graph(model.config, graph_options(model.config));
  return PairFinder(model, graph).run();
}

void scale_pair(Model& model, const ScalablePair& pair, const std::vector<float>& scales) {
  const int64_t n_cols = pair.is_norm ? 1 : model.parameters.get(pair.producer).shape[1];
  multiply(model, pair.producer, [&](int64_t i) { return 1 / scales[static_cast<size_t>(i / n_cols)]; });
  if (!pair.offset.empty()) {
    multiply(model, pair.offset, [&](int64_t i) { return 1 / scales[static_cast<size_t>(i)]; });
  }
  for (const std::string& consumer : pair.consumers) {
    multiply(model, consumer, [&](int64_t i) { return scales[static_cast<size_t>(i % pair.channels)]; });
  }
}

std::vector<ScaledPair> smooth(Model& model, const CalibrationRun& run, double alpha) {
  const std::vector<ScalablePair> pairs = scalable_pairs(model);
  std::set<std::string> weights;
  for (const ScalablePair& pair : pairs) weights.insert(pair.consumers.begin(), pair.consumers.end());
  const std::vector<InputStatistics> statistics = measure_inputs(model, linear_inputs(model, weights), run);
  std::vector<ScaledPair> scaled;
  for (const ScalablePair& pair : pairs) {
    const auto found = std::ranges::find_if(statistics, [&](const InputStatistics& one) {
      return std::ranges::count(one.input.weights, pair.consumers.front()) > 0;
    });
    if (found == statistics.end()) failed(pair.consumers.front(), "is read nowhere");
    const std::vector<float> columns = column_ranges(model, pair);
    std::vector<float> scales(columns.size(), 1.0f);
    std::vector<float> after = found->channel_absmax;
    for (size_t c = 0; c < scales.size(); ++c) {
      const double x = found->channel_absmax[c];
      const double w = columns[c];
      if (x > 0 && w > 0) scales[c] = bounded(std::pow(x, alpha) / std::pow(w, 1 - alpha));
      after[c] /= scales[c];
    }
    scale_pair(model, pair, scales);
    scaled.push_back({pair, largest_over_median(found->channel_absmax), largest_over_median(after)});
  }
  return scaled;
}

std::vector<ScaledPair> equalize(Model& model) {
  std::vector<ScaledPair> scaled;
  for (const ScalablePair& pair : scalable_pairs(model)) {
    if (pair.is_norm) continue;
    const std::vector<float> rows = row_ranges(model, pair.producer);
    const std::vector<float> columns = column_ranges(model, pair);
    std::vector<float> scales(columns.size(), 1.0f);
    ScaledPair done{.pair = pair};
    for (size_t c = 0; c < scales.size(); ++c) {
      if (rows[c] <= 0 || columns[c] <= 0) continue;
      const double apart = double{rows[c]} / double{columns[c]};
      scales[c] = bounded(std::sqrt(apart));
      const double left = apart / (double{scales[c]} * double{scales[c]});
      done.before = std::max({done.before, apart, 1 / apart});
      done.after = std::max({done.after, left, 1 / left});
    }
    scale_pair(model, pair, scales);
    scaled.push_back(std::move(done));
  }
  return scaled;
}

}  // namespace fettle
