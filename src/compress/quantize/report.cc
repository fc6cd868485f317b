#include "compress/quantize/report.h"

#include <algorithm>
#include <cmath>

#include "model/quantization_config.h"

namespace fettle {

namespace {

constexpr double kOutlierDeviations = 6;
constexpr size_t kHistogramBins = 61;

// Deviations are from zero, which weights are centred on but for little.
void describe_weights(const Tensor& weights, LayerQuantization& layer) {
  const auto n = static_cast<double>(std::max<int64_t>(1, weights.size()));
  double squares = 0;
  for (const float weight : weights.floats()) {
    squares += double{weight} * weight;
    layer.largest = std::max(layer.largest, std::abs(double{weight}));
  }
  const double bound = kOutlierDeviations * std::sqrt(squares / n);
  layer.histogram.assign(kHistogramBins, 0);
  const double per_bin = 2 * layer.largest / static_cast<double>(kHistogramBins);
  int64_t n_outliers = 0;
  for (const float weight : weights.floats()) {
    n_outliers += std::abs(double{weight}) > bound ? 1 : 0;
    const double bin = per_bin > 0 ? (weight + layer.largest) / per_bin : 0;
    ++layer.histogram[std::min(kHistogramBins - 1, static_cast<size_t>(bin))];
  }
  layer.outlier_ratio = static_cast<double>(n_outliers) / n;
}

}  // namespace

LayerQuantization compare_encoding(const std::string& name, const Tensor& original, const EncodedTensor& encoded) {
  LayerQuantization layer{.name = name, .encoding = encoding_name(encoded.encoding), .shape = encoded.shape};
  const Tensor decoded = encoded.decode();
  double error = 0;
  double dot = 0;
  double norm_a = 0;
  double norm_b = 0;
  for (int64_t i = 0; i < original.size(); ++i) {
    const double a = original.data<float>()[i];
    const double b = decoded.data<float>()[i];
    error += (a - b) * (a - b);
    dot += a * b;
    norm_a += a * a;
    norm_b += b * b;
  }
  layer.rmse = std::sqrt(error / static_cast<double>(std::max<int64_t>(1, original.size())));
  if (norm_a > 0 && norm_b > 0) layer.cosine = dot / std::sqrt(norm_a * norm_b);
  layer.input_bits = is_embedding(name) ? 0 : encoded.encoding.input_bits;
  layer.bits_per_weight = 8 * static_cast<double>(encoded.size_bytes()) /
                          static_cast<double>(std::max<int64_t>(1, element_count(encoded.shape)));
  describe_weights(original, layer);
  return layer;
}

double parameters_mb(const Model& model) {
  return static_cast<double>(model.parameters.size_bytes()) / (1024.0 * 1024.0);
}

void finish_report(const Model& model, QuantizeReport& report) {
  report.size_mb = parameters_mb(model);
  const auto n_parameters = static_cast<double>(std::max<int64_t>(1, model.parameters.parameter_count()));
  report.bits_per_weight = static_cast<double>(model.parameters.size_bytes()) * 8 / n_parameters;
}

}  // namespace fettle
