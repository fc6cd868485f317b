#include "model/initialize.h"

#include <algorithm>
#include <cmath>

#include "base/philox.h"
#include "model/model.h"

namespace fettle {
namespace {

uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace

EncodedTensor initial_parameter(std::string_view name, const Shape& shape, double deviation, uint64_t seed) {
  Tensor values(DType::kF32, shape);
  float* data = values.mutable_data<float>();
  const int64_t n = values.size();
  if (shape.size() == 1) {
    if (name.ends_with(".weight")) std::fill(data, data + n, 1.0f);
    return EncodedTensor::dense(std::move(values));
  }
  // Of two factors, so that their product has the deviation.
  const bool is_in = name.ends_with(".factor_in.weight");
  if (is_in || name.ends_with(".factor_out.weight")) {
    deviation = std::sqrt(deviation / std::sqrt(static_cast<double>(std::max<int64_t>(1, shape[is_in ? 0 : 1]))));
  }
  Philox random(seed, fnv1a(name));
  for (int64_t i = 0; i < n; ++i) {
    float z = random.normal();
    while (std::fabs(z) > 2) z = random.normal();
    data[i] = z * static_cast<float>(deviation);
  }
  return EncodedTensor::dense(std::move(values));
}

Model make_model(const ModelConfig& config, std::shared_ptr<const Tokenizer> tokenizer, uint64_t seed) {
  Model model;
  model.config = config;
  model.tokenizer = std::move(tokenizer);
  GraphOptions options;
  options.head = config.labels.empty() ? GraphOptions::Head::kMaskedLm : GraphOptions::Head::kClassifier;
  for (auto& [name, shape] : parameter_shapes(config, options)) {
    model.parameters.set(name, initial_parameter(name, shape, config.initializer_range, seed));
  }
  return model;
}

}  // namespace fettle
