// Predictions of a session over a data set.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "base/cancel.h"
#include "base/error.h"
#include "base/progress.h"
#include "evaluate/metrics.h"

namespace fettle {

namespace {

void store_row(const float* logits, int64_t n_labels, size_t row, Predictions& predictions) {
  std::copy_n(logits, n_labels, predictions.logits.begin() + static_cast<int64_t>(row) * n_labels);
  const int64_t best = std::max_element(logits, logits + n_labels) - logits;
  double sum = 0;
  for (int64_t c = 0; c < n_labels; ++c) sum += std::exp(static_cast<double>(logits[c]) - logits[best]);
  if (!std::isfinite(sum)) failed("predict", "the model's output is not a number", "its weights may be damaged");
  predictions.labels[row] = static_cast<int32_t>(best);
  predictions.scores[row] = static_cast<float>(1 / sum);
}

}  // namespace

Predictions predict(Session& session, const Dataset& data, int64_t batch_size) {
  const ModelConfig& config = session.model().config;
  const auto& tokenizer = session.model().tokenizer;
  if (!tokenizer) bad_input("predict", "the model has no tokenizer");
  const int max_length = static_cast<int>(config.max_positions);
  const size_t n = data.examples.size();
  std::vector<std::vector<int32_t>> ids(n);
  std::vector<std::vector<int32_t>> types(n);
  for (size_t i = 0; i < n; ++i) {
    throw_if_cancelled();
    const Example& example = data.examples[i];
    if (example.text_pair.empty()) {
      tokenizer->encode(example.text, max_length, ids[i]);
    } else {
      tokenizer->encode_pair(example.text, example.text_pair, EncodeOptions{.max_length = max_length}, ids[i],
                             types[i]);
    }
  }
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return ids[a].size() < ids[b].size(); });

  Predictions predictions;
  predictions.n_labels = config.n_labels();
  predictions.labels.resize(n);
  predictions.scores.resize(n);
  predictions.logits.resize(n * static_cast<size_t>(predictions.n_labels));
  Progress progress("evaluating", static_cast<int64_t>(n), "samples");
  RaggedBatch batch;
  for (size_t begin = 0; begin < n; begin += static_cast<size_t>(batch_size)) {
    throw_if_cancelled();
    const size_t end = std::min(n, begin + static_cast<size_t>(batch_size));
    batch.clear();
    for (size_t i = begin; i < end; ++i) {
      const std::vector<int32_t>& sequence = ids[order[i]];
      batch.append(sequence.data(), static_cast<int64_t>(sequence.size()));
      const std::vector<int32_t>& type = types[order[i]];
      std::copy(type.begin(), type.end(), batch.type_ids.end() - static_cast<int64_t>(sequence.size()));
    }
    const Tensor logits = session.classify(batch);
    for (size_t i = begin; i < end; ++i) {
      const float* row = logits.data<float>() + static_cast<int64_t>(i - begin) * predictions.n_labels;
      store_row(row, predictions.n_labels, order[i], predictions);
    }
    progress.set(static_cast<int64_t>(end));
  }
  progress.finish();
  return predictions;
}

void fit_oos_threshold(Model& model, const Dataset& validation, const SessionOptions& options, double oos_share) {
  model.oos_threshold = std::numeric_limits<double>::quiet_NaN();
  if (validation.oos_label < 0) return;
  // The session shares the model's parameters, so this copy costs nothing but the maps.
  Session session(std::make_shared<const Model>(model), options);
  model.oos_threshold = fit_oos_threshold(predict(session, validation), validation, oos_share);
}

}  // namespace fettle
