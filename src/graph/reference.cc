#include "graph/reference.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/philox.h"
#include "graph/infer.h"

namespace fettle {
namespace {

constexpr double kGeluTanhCubic = 0.044715;  // Hendrycks & Gimpel 2016

double normal_cdf(double x) {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}
double normal_pdf(double x) {
  return std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
}

// Keys and values of one head of one sequence: rows are `stride` apart.
struct HeadRows {
  const double* k;
  const double* v;
  int64_t stride;
  int64_t length;
};

// One query of one head: adds to out [head_dim] and appends its probabilities.
void attend_query(const AttentionShape& shape, const double* q, const HeadRows& head, double* out,
                  std::vector<double>& probabilities) {
  std::vector<double> scores(static_cast<size_t>(head.length));
  for (int64_t j = 0; j < head.length; ++j) {
    double& score = scores[static_cast<size_t>(j)];
    for (int64_t d = 0; d < shape.head_dim; ++d) score += q[d] * head.k[j * head.stride + d];
    score *= shape.scale;
  }
  const std::vector<double> log_probabilities = log_softmax_row(scores);
  for (int64_t j = 0; j < head.length; ++j) {
    const double probability = std::exp(log_probabilities[static_cast<size_t>(j)]);
    const double kept = probability * shape.dropout_factor(static_cast<int64_t>(probabilities.size()));
    probabilities.push_back(probability);
    for (int64_t d = 0; d < shape.head_dim; ++d) out[d] += kept * head.v[j * head.stride + d];
  }
}

}  // namespace

std::vector<double> load_values(const Tensor& tensor) {
  std::vector<double> values(static_cast<size_t>(tensor.size()));
  if (tensor.dtype() == DType::kF64) {
    std::copy_n(tensor.data<double>(), values.size(), values.begin());
  } else {
    std::copy_n(tensor.data<float>(), values.size(), values.begin());
  }
  return values;
}

void store_values(std::span<const double> values, Tensor& tensor) {
  if (tensor.dtype() == DType::kF64) {
    std::copy(values.begin(), values.end(), tensor.mutable_data<double>());
  } else {
    std::transform(values.begin(), values.end(), tensor.mutable_data<float>(),
                   [](double value) { return static_cast<float>(value); });
  }
}

double load_value(const Tensor& tensor, int64_t index) {
  return tensor.dtype() == DType::kF64 ? tensor.data<double>()[index] : tensor.data<float>()[index];
}

std::vector<double> matmul_values(std::span<const double> a, std::span<const double> b, const MatmulShape& shape) {
  const auto [m, n, k, transpose_a, transpose_b] = shape;
  std::vector<double> c(static_cast<size_t>(m * n));
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < k; ++p) {
        sum += a[static_cast<size_t>(transpose_a ? p * m + i : i * k + p)] *
               b[static_cast<size_t>(transpose_b ? j * k + p : p * n + j)];
      }
      c[static_cast<size_t>(i * n + j)] = sum;
    }
  }
  return c;
}

std::vector<double> linear_values(std::span<const double> x, std::span<const double> weight,
                                  std::span<const double> bias, const MatmulShape& shape) {
  std::vector<double> y = matmul_values(x, weight, shape);
  for (size_t i = 0; !bias.empty() && i < y.size(); ++i) y[i] += bias[i % bias.size()];
  return y;
}

std::vector<double> log_softmax_row(std::span<const double> row, double temperature) {
  std::vector<double> result(row.begin(), row.end());
  if (row.empty()) return result;
  const double peak = *std::max_element(row.begin(), row.end()) / temperature;
  double sum = 0;
  for (double& value : result) {
    value = value / temperature - peak;
    sum += std::exp(value);
  }
  const double log_sum = std::log(sum);
  for (double& value : result) value -= log_sum;
  return result;
}

Moments layer_norm_values(std::span<double> y, std::span<const double> gamma, std::span<const double> beta,
                          double eps) {
  Moments moments;
  const size_t width = gamma.size();
  for (size_t first = 0; width > 0 && first < y.size(); first += width) {
    double* row = y.data() + first;
    double mean = 0;
    for (size_t i = 0; i < width; ++i) mean += row[i];
    mean /= static_cast<double>(width);
    double variance = 0;
    for (size_t i = 0; i < width; ++i) variance += (row[i] - mean) * (row[i] - mean);
    const double rstd = 1 / std::sqrt(variance / static_cast<double>(width) + eps);
    for (size_t i = 0; i < width; ++i) row[i] = (row[i] - mean) * rstd * gamma[i] + beta[i];
    moments.mean.push_back(mean);
    moments.rstd.push_back(rstd);
  }
  return moments;
}

double activation_value(std::string_view kind, double x) {
  if (kind == "relu") return x > 0 ? x : 0;
  if (kind == "tanh") return std::tanh(x);
  if (kind == "gelu") return x * normal_cdf(x);
  if (kind == "gelu_tanh") {
    const double inner = std::sqrt(2 / std::numbers::pi) * (x + kGeluTanhCubic * x * x * x);
    return 0.5 * x * (1 + std::tanh(inner));
  }
  return x;
}

double activation_slope(std::string_view kind, double x) {
  if (kind == "relu") return x > 0 ? 1 : 0;
  if (kind == "tanh") return 1 - std::tanh(x) * std::tanh(x);
  if (kind == "gelu") return normal_cdf(x) + x * normal_pdf(x);
  if (kind == "gelu_tanh") {
    const double c = std::sqrt(2 / std::numbers::pi);
    const double t = std::tanh(c * (x + kGeluTanhCubic * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * kGeluTanhCubic * x * x);
  }
  return 1;
}

std::span<const int32_t> checked_offsets(const Tensor& offsets, int64_t n_tokens, std::string_view where) {
  const std::span<const int32_t> values{offsets.data<int32_t>(), static_cast<size_t>(offsets.size())};
  const bool fits = !values.empty() && values.front() == 0 && values.back() == n_tokens &&
                    std::is_sorted(values.begin(), values.end());
  if (!fits) bad_input(std::string(where), "offsets do not rise from 0 to the number of tokens");
  return values;
}

int64_t checked_id(int32_t id, int64_t n, std::string_view where) {
  if (id < 0 || id >= n) {
    bad_input(std::string(where), "id " + std::to_string(id) + " is outside [0, " + std::to_string(n) + ")");
  }
  return id;
}

AttentionShape AttentionShape::of(const EvalContext& context) {
  const Attributes& attributes = context.view.attributes();
  return {.n_heads = attributes.get_int("n_heads"),
          .head_dim = attributes.get_int("head_dim"),
          .scale = attributes.get_double("scale"),
          .dropout = attributes.get_double("dropout", 0),
          .stream = static_cast<uint64_t>(attributes.get_int("stream", 0)),
          .seed = context.seed};
}

double AttentionShape::dropout_factor(int64_t index) const {
  if (dropout <= 0) return 1;
  return dropout_keep(seed, stream, static_cast<uint64_t>(index), static_cast<float>(dropout)) ? 1 / (1 - dropout) : 0;
}

AttentionResult attention_values(const AttentionShape& shape, const AttentionInputs& inputs) {
  AttentionResult result;
  const int64_t n_tokens = inputs.offsets.back();
  result.out.assign(static_cast<size_t>(n_tokens * shape.width()), 0);
  for (size_t s = 0; s + 1 < inputs.offsets.size(); ++s) {
    const int64_t begin = inputs.offsets[s];
    const int64_t end = inputs.offsets[s + 1];
    for (int64_t h = 0; h < shape.n_heads; ++h) {
      const int64_t column = h * shape.head_dim;
      const int64_t keys = begin * inputs.stride + column;
      for (int64_t i = begin; i < end; ++i) {
        attend_query(shape, inputs.q + i * inputs.stride + column,
                     {inputs.k + keys, inputs.v + keys, inputs.stride, end - begin},
                     result.out.data() + i * shape.width() + column, result.probabilities);
      }
    }
  }
  return result;
}

std::vector<double> attention_rows_values(const AttentionShape& shape, std::span<const double> q,
                                          std::span<const double> kv, std::span<const int32_t> rows,
                                          std::span<const int32_t> offsets) {
  const int64_t width = shape.width();
  std::vector<double> out(q.size(), 0);
  std::vector<double> probabilities;
  for (size_t r = 0; r < rows.size(); ++r) {
    const auto end = std::upper_bound(offsets.begin(), offsets.end(), rows[r]);
    const int64_t begin = *(end - 1);
    for (int64_t h = 0; h < shape.n_heads; ++h) {
      const int64_t column = h * shape.head_dim;
      const int64_t at = static_cast<int64_t>(r) * width + column;
      const double* keys = kv.data() + begin * 2 * width + column;
      attend_query(shape, q.data() + at, {keys, keys + width, 2 * width, *end - begin}, out.data() + at, probabilities);
    }
  }
  return out;
}

double attention_flops(const NodeView& view, const SymbolBindings& bindings, double flops_per_pair) {
  const auto index = static_cast<size_t>(view.graph.find_symbol(kPairsSymbol).symbol);
  if (index < bindings.size() && bindings[index] >= 0) return flops_per_pair * static_cast<double>(bindings[index]);
  size_t offsets = view.node.inputs.size() - 1;
  while (offsets > 0 && view.input_type(offsets).dtype != DType::kI32) --offsets;
  const double n_tokens = static_cast<double>(bind_shape(view.input_type(0), bindings)[0]);
  const double n_sequences = bound_elements(view.input_type(offsets), bindings) - 1;
  return n_sequences > 0 ? flops_per_pair * n_tokens * n_tokens / n_sequences : 0;
}

}  // namespace fettle
