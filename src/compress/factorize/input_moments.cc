#include "compress/factorize/input_moments.h"

#include <algorithm>

#include "base/cancel.h"
#include "base/error.h"
#include "base/progress.h"
#include "base/thread_pool.h"
#include "data/batching.h"
#include "data/tokenized.h"
#include "graph/op.h"
#include "kernels/dispatch.h"
#include "model/factors.h"
#include "runtime/executor.h"
#include "train/objective.h"

namespace fettle {
namespace {

constexpr int64_t kBatch = 32;

// The graph with what the linears read as outputs, and the outputs' names by that of the linear: several where layers
// share it.
struct TappedGraph {
  Graph graph;
  std::map<std::string, std::vector<std::string>> inputs;
  std::map<std::string, int64_t> widths;  // by output
};

TappedGraph tapped_graph(const Model& model, const std::set<std::string>& linears) {
  const auto head = model.config.labels.empty() ? GraphOptions::Head::kHidden : GraphOptions::Head::kClassifier;
  TappedGraph tapped{.graph = build_graph(model.config, {.head = head}), .inputs = {}, .widths = {}};
  std::map<ValueId, std::string> outputs;
  const std::vector<Node> nodes = tapped.graph.nodes();
  for (const Node& node : nodes) {
    if (node.op->name() != "linear") continue;
    const std::string& name = node.name;
    if (!linears.contains(name)) continue;
    const ValueId x = node.inputs[0];
    const auto [found, is_new] = outputs.emplace(x, "read by " + name + " " + std::to_string(outputs.size()));
    if (is_new) {
      tapped.graph.add_output(found->second, x);
      tapped.widths[found->second] = tapped.graph.type(x).shape[1].value;
    }
    tapped.inputs[name].push_back(found->second);
  }
  return tapped;
}

Tensor sum_of(const Tensor& a, const Tensor& b) {
  Tensor sum = a.clone();
  for (int64_t i = 0; i < sum.size(); ++i) sum.mutable_data<float>()[i] += b.data<float>()[i];
  return sum;
}

}  // namespace

std::map<std::string, Tensor> input_moments(const Model& model, const std::set<std::string>& linears,
                                            const Dataset& data, const CalibrationOptions& options) {
  if (!model.config.ranks.empty() || !model.config.stacked.empty()) {
    Model merged = model;
    merge_factors(merged);
    return input_moments(merged, linears, data, options);
  }
  if (model.tokenizer == nullptr) bad_input("calibration", "the model has no tokenizer");
  if (data.examples.empty()) bad_input("calibration", "there are no texts");
  Dataset sample = data;
  const auto n_all = std::ssize(data.examples);
  const int64_t n = std::min<int64_t>(options.n_samples, n_all);
  sample.examples.clear();
  for (int64_t i = 0; i < n; ++i) sample.examples.push_back(data.examples[static_cast<size_t>(i * n_all / n)]);
  const TokenizedTexts texts =
      tokenize(sample, *model.tokenizer, std::min(options.max_length, model.config.max_positions));
  const BatchPlan plan = evaluation_batches(texts.lengths(), kBatch);

  ThreadPool pool(options.n_threads);
  const KernelTable& table = table_named(options.isa);
  const TappedGraph tapped = tapped_graph(model, linears);
  Executor executor(tapped.graph,
                    [&](std::string_view name) -> const EncodedTensor& { return model.parameters.get(name); },
                    {.pool = &pool, .table = &table});
  std::map<std::string, Tensor> sums;
  for (const auto& [output, width] : tapped.widths) sums.emplace(output, Tensor(DType::kF32, {width, width}));

  MicroBatch batch;
  RaggedBatch tokens;
  for (int64_t b = 0; b < plan.n_batches(); ++b) {
    throw_if_cancelled();
    tokens.clear();
    for (const int32_t example : plan.batch(b)) texts.append_to(tokens, example);
    bind_tokens(tokens, model.config, batch);
    for (const auto& [name, value] : batch.inputs) executor.set_input(name, value);
    executor.run();
    for (auto& [output, sum] : sums) {
      const Tensor x = executor.output(output);
      const int64_t width = x.dim(1);
      table.matmul_f32({.m = width,
                        .n = width,
                        .k = x.dim(0),
                        .a = x.data<float>(),
                        .lda = width,
                        .transpose_a = true,
                        .b = x.data<float>(),
                        .ldb = width,
                        .c = sum.mutable_data<float>(),
                        .ldc = width,
                        .accumulate = true},
                       pool);
    }
  }
  std::map<std::string, Tensor> moments;
  for (const auto& [name, outputs] : tapped.inputs) {
    moments[name] = sums.at(outputs[0]);
    for (size_t i = 1; i < outputs.size(); ++i) moments[name] = sum_of(moments[name], sums.at(outputs[i]));
  }
  return moments;
}

}  // namespace fettle
