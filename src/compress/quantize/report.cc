#include "compress/quantize/report.h"

#include <algorithm>
#include <cmath>

namespace fettle {

LayerQuantization compare_encoding(const std::string& name, const Tensor& original, const EncodedTensor& encoded) {
  LayerQuantization layer{name, encoding_name(encoded.encoding), encoded.shape, 0, 1};
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
