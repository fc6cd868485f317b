#include "compress/quantize/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/cancel.h"
#include "base/error.h"
#include "base/progress.h"
#include "base/thread_pool.h"
#include "data/batching.h"
#include "data/tokenized.h"
#include "kernels/dispatch.h"
#include "runtime/executor.h"
#include "train/objective.h"

namespace fettle {
namespace {

constexpr int64_t kBatch = 32;

Dataset evenly(const Dataset& data, int64_t n_samples) {
  if (data.examples.empty()) bad_input("sensitivity", "there are no texts to measure on");
  Dataset sample = data;
  const auto n_all = std::ssize(data.examples);
  const int64_t n = std::min(n_samples, n_all);
  sample.examples.clear();
  for (int64_t i = 0; i < n; ++i) sample.examples.push_back(data.examples[static_cast<size_t>(i * n_all / n)]);
  return sample;
}

const Model& checked(const Model& model) {
  if (model.config.labels.empty()) {
    bad_input("sensitivity", "the model has no classification head", "the logits' divergence is what is measured");
  }
  if (model.config.problem == ProblemType::kRegression) {
    bad_input("sensitivity", "the model gives numbers, not labels");
  }
  if (model.tokenizer == nullptr) bad_input("sensitivity", "the model has no tokenizer");
  return model;
}

// log p of one row of logits; of each label and its absence where a text can have several.
std::vector<double> log_probabilities(const float* logits, int64_t n, bool is_multi_label) {
  std::vector<double> logs;
  if (is_multi_label) {
    for (int64_t i = 0; i < n; ++i) {
      const double x = logits[i];
      const double log_sum = std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
      logs.push_back(x - log_sum);
      logs.push_back(-log_sum);
    }
    return logs;
  }
  const double largest = *std::max_element(logits, logits + n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(logits[i]) - largest);
  for (int64_t i = 0; i < n; ++i) logs.push_back(static_cast<double>(logits[i]) - largest - std::log(sum));
  return logs;
}

}  // namespace

struct LogitProbe::Impl {
  Impl(const Model& model, const Dataset& data, const SensitivityOptions& options)
      : config(checked(model).config),
        texts(tokenize(evenly(data, options.n_samples), *model.tokenizer,
                       std::min(options.max_length, model.config.max_positions))),
        plan(evaluation_batches(texts.lengths(), kBatch)),
        pool(options.n_threads) {
    const Graph graph = build_graph(config, {});
    for (const ValueId id : graph.parameters()) {
      const std::string& name = graph.value(id).name;
      parameters.set(name, EncodedTensor::dense(model.parameters.get(name).decode().clone()));
    }
    executor = std::make_unique<Executor>(
        graph, [this](std::string_view name) -> const EncodedTensor& { return parameters.get(name); },
        ExecutorOptions{
            .pool = &pool, .table = &table_named(options.isa), .precision = Precision::kF32, .pack_parameters = false});
    expected = run();
  }

  // Of all texts, one after the other.
  std::vector<double> run() {
    std::vector<double> logs;
    MicroBatch batch;
    RaggedBatch tokens;
    for (int64_t b = 0; b < plan.n_batches(); ++b) {
      throw_if_cancelled();
      tokens.clear();
      for (const int32_t example : plan.batch(b)) texts.append_to(tokens, example);
      bind_tokens(tokens, config, batch);
      for (const auto& [name, value] : batch.inputs) executor->set_input(name, value);
      executor->run();
      const Tensor logits = executor->output("logits");
      for (int64_t row = 0; row < logits.dim(0); ++row) {
        const std::vector<double> of_text = log_probabilities(logits.data<float>() + row * logits.dim(1), logits.dim(1),
                                                              config.problem == ProblemType::kMultiLabel);
        logs.insert(logs.end(), of_text.begin(), of_text.end());
      }
    }
    return logs;
  }

  void put(const std::string& name, const Tensor& values) {
    Tensor& stored = parameters.get_mutable(name).data;
    std::memcpy(stored.raw_mutable(), values.raw(), static_cast<size_t>(stored.size_bytes()));
  }

  ModelConfig config;
  TokenizedTexts texts;
  BatchPlan plan;
  ThreadPool pool;
  ParameterStore parameters;
  std::unique_ptr<Executor> executor;
  std::vector<double> expected;
};

LogitProbe::LogitProbe(const Model& model, const Dataset& texts, const SensitivityOptions& options)
    : impl_(std::make_unique<Impl>(model, texts, options)) {}

LogitProbe::~LogitProbe() = default;

double LogitProbe::kl(const std::map<std::string, const EncodedTensor*>& weights) {
  std::map<std::string, Tensor> kept;
  for (const auto& [name, weight] : weights) {
    kept[name] = impl_->parameters.get(name).data.clone();
    impl_->put(name, weight->decode());
  }
  std::vector<double> actual;
  try {
    actual = impl_->run();
  } catch (...) {
    for (const auto& [name, values] : kept) impl_->put(name, values);
    throw;
  }
  for (const auto& [name, values] : kept) impl_->put(name, values);
  double sum = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    sum += std::exp(impl_->expected[i]) * (impl_->expected[i] - actual[i]);
  }
  if (!std::isfinite(sum)) {
    failed(weights.empty() ? "model" : weights.begin()->first, "the logits with it rounded are not finite numbers");
  }
  // Rounding of the sum may leave a little less than nothing.
  return std::max(0.0, sum / static_cast<double>(std::max<int64_t>(1, impl_->texts.size())));
}

std::vector<WeightChoice> measure_sensitivity(LogitProbe& probe, const Model& model,
                                              const std::vector<QuantizePlan>& plans) {
  int64_t n_choices = 0;
  for (const QuantizePlan& plan : plans) n_choices += std::ssize(plan);
  Progress progress("sensitivity", n_choices, "choices");
  std::vector<WeightChoice> choices;
  for (const std::string& name : model.parameters.names()) {
    std::vector<Encoding> tried;
    for (const QuantizePlan& plan : plans) {
      const auto planned = plan.find(name);
      if (planned == plan.end()) continue;
      progress.advance();
      if (std::ranges::count(tried, planned->second) > 0) continue;
      tried.push_back(planned->second);
      WeightChoice choice{name, encode(model.parameters.get(name).decode(), planned->second), 0};
      choice.kl = probe.kl(name, choice.encoded);
      choices.push_back(std::move(choice));
    }
  }
  progress.finish();
  return choices;
}

}  // namespace fettle
