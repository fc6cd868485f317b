#include "compress/factorize/common.h"

#include "base/error.h"
#include "compress/quantize/report.h"
#include "model/factors.h"
#include "model/layer_names.h"

namespace fettle {

std::string weight_name(const std::string& module) {
  return module + ".weight";
}

DType float_type(const Model& model, const std::string& name) {
  for (const std::string& stored : {name, name + kFactorOut, name + kFactorCore}) {
    if (!model.parameters.has(weight_name(stored))) continue;
    const EncodedTensor& value = model.parameters.get(weight_name(stored));
    return value.encoding.kind == EncodingKind::kDense ? value.data.dtype() : DType::kF32;
  }
  return DType::kF32;
}

void set_matrix(Model& model, const std::string& module, const MatrixF& values, DType dtype) {
  model.parameters.set(weight_name(module), EncodedTensor::dense(tensor_of(values).to(dtype)));
}

MatrixF whole(const Model& model, const std::string& name) {
  const Tensor values = whole_matrix(model, name);
  return matrix_of(values);
}

void check_options(const FactorizeOptions& options) {
  const bool has_rank = options.rank > 0;
  const bool has_target = options.target > 0;
  if (has_rank == has_target) usage_error("factorize", "needs a rank or a target, not both");
  if (has_target && !(options.target < 1)) usage_error("factorize", "the target is not a share below 1");
}

void forget_matrix(Model& model, const std::string& name) {
  make_whole(model, name);
  model.parameters.erase(weight_name(name));
}

double size_mb_of(const Model& model) {
  return parameters_mb(model);
}

std::vector<std::string> encoder_linears(const ModelConfig& config, bool attention, bool feed_forward) {
  std::vector<std::string> linears;
  const auto add = [&](const std::string& name) {
    if (std::find(linears.begin(), linears.end(), name) == linears.end()) linears.push_back(name);
  };
  for (int64_t layer = 0; layer < std::ssize(config.layers); ++layer) {
    for (int64_t block = 0; block < config.blocks_per_group; ++block) {
      const EncoderLayerNames names = encoder_layer_names(config, layer, block);
      if (attention) {
        for (const std::string& name : {names.query, names.key, names.value, names.attention_output}) add(name);
      }
      if (feed_forward) {
        add(names.intermediate);
        add(names.output);
      }
    }
  }
  return linears;
}

}  // namespace fettle
