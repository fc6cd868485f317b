// Predictions of a session over a data set.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>
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

// Tokenized examples, cut into batches by length.
class Prediction {
 public:
  Prediction(const Model& model, const Dataset& data, int64_t batch_size)
      : batch_size_(static_cast<size_t>(batch_size)),
        ids_(data.examples.size()),
        types_(ids_.size()),
        order_(ids_.size()) {
    if (!model.tokenizer) bad_input("predict", "the model has no tokenizer");
    tokenize(model, data);
    std::iota(order_.begin(), order_.end(), size_t{0});
    std::ranges::stable_sort(order_, {}, [&](size_t i) { return ids_[i].size(); });
    predictions_.n_labels = model.config.n_labels();
    predictions_.labels.resize(ids_.size());
    predictions_.scores.resize(ids_.size());
    predictions_.logits.resize(ids_.size() * static_cast<size_t>(predictions_.n_labels));
  }

  int64_t n_batches() const { return static_cast<int64_t>((ids_.size() + batch_size_ - 1) / batch_size_); }
  double n_tokens(int64_t batch) const {
    double n = 0;
    for (size_t i = begin_of(batch); i < end_of(batch); ++i) n += static_cast<double>(ids_[order_[i]].size());
    return n;
  }

  // May be called from several threads, for different batches and sessions.
  void run(int64_t index, Session& session, Progress& progress) {
    throw_if_cancelled();
    const size_t begin = begin_of(index);
    const size_t end = end_of(index);
    RaggedBatch batch;
    for (size_t i = begin; i < end; ++i) {
      const std::vector<int32_t>& sequence = ids_[order_[i]];
      batch.append(sequence.data(), static_cast<int64_t>(sequence.size()));
      const std::vector<int32_t>& type = types_[order_[i]];
      std::copy(type.begin(), type.end(), batch.type_ids.end() - static_cast<int64_t>(sequence.size()));
    }
    const Tensor logits = session.classify(batch);
    for (size_t i = begin; i < end; ++i) {
      const float* row = logits.data<float>() + static_cast<int64_t>(i - begin) * predictions_.n_labels;
      store_row(row, predictions_.n_labels, order_[i], predictions_);
    }
    const std::lock_guard lock(mutex_);
    progress.advance(static_cast<int64_t>(end - begin));
  }

  int64_t n_examples() const { return std::ssize(ids_); }
  Predictions take() { return std::move(predictions_); }

 private:
  size_t begin_of(int64_t batch) const { return static_cast<size_t>(batch) * batch_size_; }
  size_t end_of(int64_t batch) const { return std::min(ids_.size(), begin_of(batch) + batch_size_); }

  void tokenize(const Model& model, const Dataset& data) {
    const int max_length = static_cast<int>(model.config.max_positions);
    for (size_t i = 0; i < ids_.size(); ++i) {
      throw_if_cancelled();
      const Example& example = data.examples[i];
      if (example.text_pair.empty()) {
        model.tokenizer->encode(example.text, max_length, ids_[i]);
      } else {
        model.tokenizer->encode_pair(example.text, example.text_pair, EncodeOptions{.max_length = max_length}, ids_[i],
                                     types_[i]);
      }
    }
  }

  size_t batch_size_;
  std::vector<std::vector<int32_t>> ids_;
  std::vector<std::vector<int32_t>> types_;
  std::vector<size_t> order_;
  Predictions predictions_;
  std::mutex mutex_;  // of the progress
};

}  // namespace

Predictions predict(Session& session, const Dataset& data, int64_t batch_size) {
  Prediction prediction(session.model(), data, batch_size);
  Progress progress("evaluating", prediction.n_examples(), "samples");
  for (int64_t batch = 0; batch < prediction.n_batches(); ++batch) prediction.run(batch, session, progress);
  progress.finish();
  return prediction.take();
}

Predictions predict(SessionGroup& group, const Dataset& data, std::optional<Regime> regime, RegimeChoice* choice,
                    int64_t batch_size) {
  Prediction prediction(group.whole().model(), data, batch_size);
  Progress progress("evaluating", prediction.n_examples(), "samples");
  const auto run = [&](int64_t batch, Session& session) { prediction.run(batch, session, progress); };
  RegimeChoice made{.regime = regime.value_or(Regime::kLatency)};
  if (regime) {
    group.run(*regime, prediction.n_batches(), run);
  } else {
    made = group.run_faster(
        prediction.n_batches(), [&](int64_t batch) { return prediction.n_tokens(batch); }, run);
  }
  if (choice != nullptr) *choice = made;
  progress.finish();
  return prediction.take();
}

void fit_oos_threshold(Model& model, const Dataset& validation, const SessionOptions& options, double oos_share) {
  model.oos_threshold = std::numeric_limits<double>::quiet_NaN();
  if (validation.oos_label < 0) return;
  // The session shares the model's parameters, so this copy costs nothing but the maps.
  Session session(std::make_shared<const Model>(model), options);
  model.oos_threshold = fit_oos_threshold(predict(session, validation), validation, oos_share);
}

}  // namespace fettle
