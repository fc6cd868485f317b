#include "runtime/embedder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/cancel.h"
#include "base/error.h"
#include "base/progress.h"
#include "text/unicode.h"

namespace fettle {
namespace {

constexpr size_t kBatch = 64;
// F.normalize of PyTorch divides by no less.
constexpr double kSmallestLength = 1e-12;

std::string lowercase(const std::string& text) {
  std::string out;
  const char* p = text.data();
  const char* end = p + text.size();
  while (p != end) {
    const unicode::DecodedChar next = unicode::decode_utf8(p, end);
    const unicode::CharSequence lower = unicode::to_lower(next.code);
    for (int i = 0; i < lower.size; ++i) unicode::append_utf8(lower.codes[static_cast<size_t>(i)], out);
    p += next.n_bytes;
  }
  return out;
}

double activated(const std::string& kind, double x) {
  if (kind == "tanh") return std::tanh(x);
  if (kind == "relu") return std::max(0.0, x);
  if (kind == "gelu") return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
  return x;
}

void normalize(std::vector<float>& values) {
  double squares = 0;
  for (const float value : values) squares += static_cast<double>(value) * value;
  const double length = std::max(std::sqrt(squares), kSmallestLength);
  for (float& value : values) value = static_cast<float>(value / length);
}

std::vector<float> dense(const SentenceStep& step, const std::vector<float>& values) {
  const int64_t n_out = step.weight.shape[0], n_in = step.weight.shape[1];
  const float* weight = step.weight.data.data<float>();
  const float* bias = step.bias.data.defined() ? step.bias.data.data<float>() : nullptr;
  std::vector<float> out(static_cast<size_t>(n_out));
  for (int64_t o = 0; o < n_out; ++o) {
    double sum = bias == nullptr ? 0 : bias[o];
    for (int64_t i = 0; i < n_in; ++i)
      sum += static_cast<double>(weight[o * n_in + i]) * values[static_cast<size_t>(i)];
    out[static_cast<size_t>(o)] = static_cast<float>(activated(step.activation, sum));
  }
  return out;
}

}  // namespace

Embedder::Embedder(std::shared_ptr<const Model> model, const SentencePipeline& pipeline, const SessionOptions& options)
    : model_(std::move(model)),
      pipeline_(pipeline),
      session_(model_, options),
      width_(pipeline.width(model_->config.hidden_size)) {
  if (model_->tokenizer == nullptr) bad_input(model_->source.string(), "the model has no tokenizer");
}

void Embedder::pool_sequence(const float* hidden, int64_t n_tokens, float* out) const {
  const int64_t width = model_->config.hidden_size;
  for (const Pooling pooling : pipeline_.pooling) {
    for (int64_t c = 0; c < width; ++c) {
      if (pooling == Pooling::kCls) {
        out[c] = hidden[c];
        continue;
      }
      double sum = 0;
      float largest = hidden[c];
      for (int64_t t = 0; t < n_tokens; ++t) {
        sum += hidden[t * width + c];
        largest = std::max(largest, hidden[t * width + c]);
      }
      const auto n = static_cast<double>(n_tokens);
      const double share = pooling == Pooling::kMean ? n : std::sqrt(n);
      out[c] = pooling == Pooling::kMax ? largest : static_cast<float>(sum / share);
    }
    out += width;
  }
}

std::vector<float> Embedder::run_steps(std::vector<float> values) const {
  for (const SentenceStep& step : pipeline_.steps) {
    if (step.is_dense()) {
      values = dense(step, values);
    } else {
      normalize(values);
    }
  }
  return values;
}

Tensor Embedder::pool(const Tensor& hidden, const RaggedBatch& batch) const {
  const int64_t width = model_->config.hidden_size;
  Tensor result(DType::kF32, {batch.n_sequences(), width_});
  float* out = result.mutable_data<float>();
  for (int64_t s = 0; s < batch.n_sequences(); ++s, out += width_) {
    const int64_t begin = batch.offsets[static_cast<size_t>(s)], end = batch.offsets[static_cast<size_t>(s) + 1];
    std::vector<float> values(static_cast<size_t>(width) * pipeline_.pooling.size());
    pool_sequence(hidden.data<float>() + begin * width, end - begin, values.data());
    std::ranges::copy(run_steps(std::move(values)), out);
  }
  return result;
}

Tensor Embedder::embed(std::span<const std::string> texts) {
  const auto max_length =
      static_cast<int>(std::min(pipeline_.max_length.value_or(INT32_MAX), model_->config.max_positions));
  std::vector<std::vector<int32_t>> ids(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    throw_if_cancelled();
    model_->tokenizer->encode(pipeline_.lowercase ? lowercase(texts[i]) : texts[i], max_length, ids[i]);
  }
  std::vector<size_t> order(texts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return ids[i].size(); });

  Tensor result(DType::kF32, {std::ssize(texts), width_});
  float* out = result.mutable_data<float>();
  Progress progress("embedding", std::ssize(texts), "texts");
  RaggedBatch batch;
  for (size_t begin = 0; begin < order.size(); begin += kBatch) {
    throw_if_cancelled();
    const size_t end = std::min(order.size(), begin + kBatch);
    batch.clear();
    for (size_t i = begin; i < end; ++i) batch.append(ids[order[i]].data(), std::ssize(ids[order[i]]));
    const Tensor rows = pool(session_.hidden(batch), batch);
    for (size_t i = begin; i < end; ++i) {
      std::copy_n(rows.data<float>() + static_cast<int64_t>(i - begin) * width_, width_,
                  out + static_cast<int64_t>(order[i]) * width_);
    }
    progress.set(static_cast<int64_t>(end));
  }
  progress.finish();
  return result;
}

}  // namespace fettle
