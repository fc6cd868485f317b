#include "compress/quantize/static.h"

#include "base/error.h"
#include "tensor/sparse.h"

namespace fettle {

std::set<std::string> int8_linears(const QuantizePlan& plan) {
  std::set<std::string> weights;
  for (const auto& [name, encoding] : plan) {
    if (encoding.input_bits == 8) weights.insert(name);
  }
  return weights;
}

int64_t set_input_scales(Model& model, const QuantizePlan& plan, const std::vector<InputScale>& scales) {
  const std::set<std::string> wanted = int8_linears(plan);
  int64_t n = 0;
  for (const InputScale& scale : scales) {
    for (const std::string& weight : scale.input.weights) {
      if (!wanted.contains(weight)) continue;
      EncodedTensor encoded = model.parameters.get(weight);
      if (numbers_of(encoded.encoding).kind == EncodingKind::kDense) failed(weight, "is not an integer yet");
      encoded.encoding.static_input = true;
      encoded.input_scale = scale.scale;
      model.parameters.set(weight, std::move(encoded));
      ++n;
    }
  }
  return n;
}

}  // namespace fettle
