#include "compress/prune/importance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/cancel.h"
#include "base/error.h"
#include "base/progress.h"
#include "compress/prune/weight_norms.h"
#include "evaluate/metrics.h"
#include "graph/autodiff.h"
#include "train/classify.h"
#include "train/distill/taps.h"

namespace fettle {
namespace {

constexpr std::pair<ImportanceKind, std::string_view> kNames[] = {{ImportanceKind::kGradient, "gradient"},
                                                                  {ImportanceKind::kTaylor, "taylor"},
                                                                  {ImportanceKind::kFisher, "fisher"},
                                                                  {ImportanceKind::kMagnitude, "magnitude"},
                                                                  {ImportanceKind::kContribution, "contribution"}};

TrainOptions machine_options(const ImportanceOptions& options) {
  TrainOptions o;
  o.n_threads = options.n_threads;
  o.isa = options.isa;
  o.batch_size = options.batch_size;
  o.precision = Precision::kF32;
  return o;
}

// Training graphs read dense f32.
Model decoded(const Model& model) {
  Model plain = model;
  for (const std::string& name : model.parameters.names()) {
    plain.parameters.set(name, EncodedTensor::dense(model.parameters.get(name).decode()));
  }
  return plain;
}

Dataset thinned(const Dataset& data, int64_t most) {
  const auto n = static_cast<int64_t>(data.examples.size());
  if (most <= 0 || n <= most) return data;
  Dataset some = data;
  some.examples.clear();
  for (int64_t i = 0; i < most; ++i) some.examples.push_back(data.examples[static_cast<size_t>(i * n / most)]);
  return some;
}

std::vector<PartScores> empty_scores(const ModelConfig& config, const std::vector<PartKind>& parts) {
  std::vector<PartScores> all;
  for (const PartKind kind : parts) {
    const bool of_model = kind == PartKind::kHidden || kind == PartKind::kPooled;
    all.push_back({kind, std::vector<std::vector<double>>(of_model ? 1 : config.layers.size())});
  }
  return all;
}

// Batches of like length, in a fixed order.
class Batches {
 public:
  Batches(const Model& model, const Dataset& data, const ImportanceOptions& options)
      : config_(model.config),
        data_(prepare_any(model, data, options.max_length)),
        plan_(evaluation_batches(data_.texts.lengths(), options.batch_size)) {}

  int64_t size() const { return plan_.n_batches(); }
  const ClassificationData& data() const { return data_; }
  std::span<const int32_t> examples(int64_t index) const { return plan_.batch(index); }
  int64_t max_rows() const {
    size_t most = 0;
    for (int64_t b = 0; b < size(); ++b) most = std::max(most, plan_.batch(b).size());
    return static_cast<int64_t>(most);
  }
  void load(int64_t index, MicroBatch& batch) {
    tokens_.clear();
    labels_.clear();
    for (const int32_t i : plan_.batch(index)) {
      data_.texts.append_to(tokens_, i);
      labels_.push_back(data_.labels[static_cast<size_t>(i)]);
    }
    bind_tokens(tokens_, config_, batch);
    batch.inputs.emplace_back("labels", view_i32(labels_));
  }

 private:
  // Texts alone where there are no labels to match.
  static ClassificationData prepare_any(const Model& model, const Dataset& data, int64_t max_length) {
    if (!model.config.labels.empty() && model.config.problem == ProblemType::kSingleLabel) {
      return prepare(model, data, max_length);
    }
    if (!model.tokenizer) usage_error("model", "has no tokenizer");
    if (data.examples.empty()) bad_input(data.source.empty() ? "data" : data.source, "holds no examples");
    ClassificationData plain;
    plain.labels.assign(data.examples.size(), kUnlabelled);
    plain.texts = tokenize(data, *model.tokenizer, std::min(max_length, model.config.max_positions));
    return plain;
  }

  const ModelConfig& config_;
  ClassificationData data_;
  BatchPlan plan_;
  RaggedBatch tokens_;
  std::vector<int32_t> labels_;
};

// The graph of the loss with gates, and the gradient of each gate as an output of its name.
struct GatedLoss {
  Graph graph;
  std::vector<GateInput> gates;
};

std::string gradient_of(const GateInput& gate) {
  return "gradient of " + gate.name;
}

GatedLoss build_gated_loss(const ModelConfig& config, const std::vector<PartKind>& parts) {
  GatedLoss result{
      .graph = build_graph(with_dropout(config, 0), {.head = GraphOptions::Head::kClassifier, .training = true}),
      .gates = {}};
  Graph& graph = result.graph;
  for (const PartKind kind : parts) {
    for (GateInput& gate : add_gates(graph, config, kind)) result.gates.push_back(std::move(gate));
  }
  const ValueId labels = graph.add_input("labels", {DType::kI32, {graph.symbol("batch")}});
  const ValueId loss = graph.add_nodes("softmax_cross_entropy", {graph.find("logits"), labels}, {}, "cross_entropy")[0];
  std::vector<ValueId> inputs;
  for (const GateInput& gate : result.gates) inputs.push_back(graph.find(gate.name));
  const std::vector<ValueId> gradients = differentiate(graph, loss, inputs);
  for (size_t i = 0; i < gradients.size(); ++i) graph.add_output(gradient_of(result.gates[i]), gradients[i]);
  graph.remove_dead();
  return result;
}

double summand(ImportanceKind kind, double gradient) {
  if (kind == ImportanceKind::kTaylor) return gradient;
  return kind == ImportanceKind::kFisher ? gradient * gradient : std::fabs(gradient);
}

void check_labels(const Model& model, const Dataset& data) {
  const std::string where = data.source.empty() ? "data" : data.source;
  if (model.config.labels.empty() || model.config.problem != ProblemType::kSingleLabel) {
    bad_input("model", "importance by gradients is for classifiers with one label a text",
              "--importance magnitude needs no data");
  }
  require_labels(data);
}

std::vector<PartScores> by_gradient(const Model& given, const Dataset& data, const std::vector<PartKind>& parts,
                                    const ImportanceOptions& options) {
  check_labels(given, data);
  const Model model = decoded(given);
  Machine machine(machine_options(options));
  GatedLoss loss = build_gated_loss(model.config, parts);
  Executor executor(
      loss.graph, [&](std::string_view name) -> const EncodedTensor& { return model.parameters.get(name); },
      ExecutorOptions{
          .pool = &machine.pool, .table = &machine.table, .precision = Precision::kF32, .pack_parameters = false});
  Batches batches(model, data, options);
  std::vector<int32_t> row_offsets(static_cast<size_t>(batches.max_rows()) + 1);
  std::iota(row_offsets.begin(), row_offsets.end(), 0);
  std::vector<std::vector<double>> sums(loss.gates.size());
  int64_t widest = 0;
  for (size_t g = 0; g < loss.gates.size(); ++g) {
    sums[g].resize(static_cast<size_t>(loss.gates[g].n));
    widest = std::max(widest, loss.gates[g].n);
  }
  const std::vector<float> ones(static_cast<size_t>(batches.max_rows() * widest), 1.0f);
  const bool has_rows = loss.graph.find("row_offsets") != kNoValue;
  Progress progress("importance", batches.size(), "batches");
  MicroBatch batch;
  for (int64_t b = 0; b < batches.size(); ++b) {
    throw_if_cancelled();
    batches.load(b, batch);
    const auto n = static_cast<int64_t>(batches.examples(b).size());
    for (const auto& [name, value] : batch.inputs) executor.set_input(name, value);
    for (const GateInput& gate : loss.gates) {
      executor.set_input(gate.name, Tensor::view(DType::kF32, {n, gate.n}, ones.data(), nullptr));
    }
    if (has_rows) {
      executor.set_input("row_offsets", Tensor::view(DType::kI32, {n + 1}, row_offsets.data(), nullptr));
    }
    executor.run();
    for (size_t g = 0; g < loss.gates.size(); ++g) {
      const Tensor gradient = executor.output(gradient_of(loss.gates[g]));
      for (int64_t s = 0; s < n; ++s) {
        const float* row = gradient.data<float>() + s * loss.gates[g].n;
        for (size_t p = 0; p < sums[g].size(); ++p) {
          // The loss is a mean over the batch, which the gates of one example move by its share.
          const double of_example = static_cast<double>(row[p]) * static_cast<double>(n);
          sums[g][p] += summand(options.kind, of_example);
        }
      }
    }
    progress.advance(1);
  }
  std::vector<PartScores> all = empty_scores(model.config, parts);
  for (size_t g = 0; g < loss.gates.size(); ++g) {
    for (double& sum : sums[g]) sum = std::fabs(sum) / static_cast<double>(batches.data().size());
    for (PartScores& scores : all) {
      if (scores.kind == loss.gates[g].kind) scores.by_layer[static_cast<size_t>(loss.gates[g].layer)] = sums[g];
    }
  }
  return all;
}

double cosine(const float* a, const float* b, int64_t n) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (int64_t i = 0; i < n; ++i) {
    ab += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    aa += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    bb += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 1;
}

PartScores by_contribution(const Model& given, const Dataset& data, const ImportanceOptions& options) {
  const Model model = decoded(given);
  Machine machine(machine_options(options));
  Graph graph = build_graph(model.config, {.head = GraphOptions::Head::kHidden});
  const auto n_layers = static_cast<int64_t>(model.config.layers.size());
  for (int64_t layer = 0; layer < n_layers; ++layer) {
    graph.add_output("out." + std::to_string(layer), find_tap(graph, model.config, {TapKind::kHidden, layer}));
  }
  graph.add_output("in", find_layer_input(graph, model.config, 0));
  Executor executor(
      graph, [&](std::string_view name) -> const EncodedTensor& { return model.parameters.get(name); },
      ExecutorOptions{
          .pool = &machine.pool, .table = &machine.table, .precision = Precision::kF32, .pack_parameters = false});
  Batches batches(model, data, options);
  std::vector<double> sums(static_cast<size_t>(n_layers));
  double n_tokens = 0;
  Progress progress("contribution", batches.size(), "batches");
  MicroBatch batch;
  for (int64_t b = 0; b < batches.size(); ++b) {
    throw_if_cancelled();
    batches.load(b, batch);
    for (const auto& [name, value] : batch.inputs) {
      if (graph.find(name) != kNoValue) executor.set_input(name, value);
    }
    executor.run();
    Tensor before = executor.output("in");
    for (int64_t layer = 0; layer < n_layers; ++layer) {
      const Tensor behind = executor.output("out." + std::to_string(layer));
      const int64_t width = behind.dim(1);
      for (int64_t t = 0; t < behind.dim(0); ++t) {
        sums[static_cast<size_t>(layer)] +=
            1 - cosine(before.data<float>() + t * width, behind.data<float>() + t * width, width);
      }
      before = behind;
    }
    n_tokens += static_cast<double>(before.dim(0));
    progress.advance(1);
  }
  PartScores scores{PartKind::kLayers, {}};
  for (const double sum : sums) scores.by_layer.push_back({sum / n_tokens});
  return scores;
}

// Rank of each value, ties with the mean of theirs.
std::vector<double> ranks_of(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](size_t i) { return values[i]; });
  std::vector<double> ranks(values.size());
  for (size_t i = 0; i < order.size();) {
    size_t end = i;
    while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
    const double rank = static_cast<double>(i + end - 1) / 2;
    for (; i < end; ++i) ranks[order[i]] = rank;
  }
  return ranks;
}

std::vector<double> flat(const PartScores& scores) {
  std::vector<double> all;
  for (const auto& layer : scores.by_layer) all.insert(all.end(), layer.begin(), layer.end());
  return all;
}

}  // namespace

ImportanceKind parse_importance(std::string_view name) {
  for (const auto& [kind, its_name] : kNames) {
    if (its_name == name) return kind;
  }
  usage_error("importance", fmt::format("'{}' is not known", name), "gradient, taylor, magnitude, contribution");
}

std::string_view importance_name(ImportanceKind kind) {
  return std::ranges::find(kNames, kind, &std::pair<ImportanceKind, std::string_view>::first)->second;
}

std::vector<PartScores> measure_importance(const Model& model, const Dataset& data, const std::vector<PartKind>& parts,
                                           const ImportanceOptions& options) {
  if (options.kind == ImportanceKind::kMagnitude) {
    std::vector<PartScores> all = empty_scores(model.config, parts);
    for (PartScores& scores : all) scores.by_layer = weight_norms(model, scores.kind);
    return all;
  }
  const Dataset some = thinned(data, options.max_examples);
  if (options.kind != ImportanceKind::kContribution) return by_gradient(model, some, parts, options);
  if (parts != std::vector<PartKind>{PartKind::kLayers}) usage_error("contribution", "is of whole layers");
  return {by_contribution(model, some, options)};
}

void normalize_by_layer(PartScores& scores) {
  for (std::vector<double>& layer : scores.by_layer) {
    double squares = 0;
    for (const double score : layer) squares += score * score;
    if (squares <= 0) continue;
    for (double& score : layer) score /= std::sqrt(squares);
  }
}

double rank_correlation(const PartScores& a, const PartScores& b) {
  const std::vector<double> ra = ranks_of(flat(a));
  const std::vector<double> rb = ranks_of(flat(b));
  if (ra.size() != rb.size()) failed("importance", "is of other parts");
  const double mean = (static_cast<double>(ra.size()) - 1) / 2;
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (size_t i = 0; i < ra.size(); ++i) {
    ab += (ra[i] - mean) * (rb[i] - mean);
    aa += (ra[i] - mean) * (ra[i] - mean);
    bb += (rb[i] - mean) * (rb[i] - mean);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace fettle
