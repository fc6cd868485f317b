#include <fmt/format.h>

#include <algorithm>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "format/safetensors.h"
#include "model/config_keys.h"
#include "model/manifest.h"
#include "model/model.h"
#include "model/quantization_config.h"
#include "model/sparse_tensors.h"
#include "tensor/int_group.h"
#include "tensor/sparse.h"

namespace fettle {
namespace {

constexpr const char* kWeightsFile = "model.safetensors";

// As compressed-tensors' pack-quantized form names them.
void add_packed(const std::string& name, const EncodedTensor& value, std::vector<NamedTensor>& tensors) {
  Tensor shape(DType::kI64, {2});
  std::ranges::copy(value.shape, shape.mutable_data<int64_t>());
  tensors.push_back({name + "_packed", value.data});
  tensors.push_back({name + "_scale", value.scales});
  tensors.push_back({name + "_shape", shape});
  if (value.encoding.asymmetric) tensors.push_back({name + "_zero_point", packed_zeros(value)});
}

// The scale of a linear's inputs, beside its weight "X.weight".
void add_input_scale(const std::string& name, const EncodedTensor& value, std::vector<NamedTensor>& tensors) {
  if (!value.encoding.static_input) return;
  tensors.push_back({input_scale_name(name), Tensor::from({value.input_scale}, {1})});
}

std::vector<NamedTensor> named_tensors(const ParameterStore& parameters) {
  std::vector<NamedTensor> tensors;
  for (const std::string& name : parameters.names()) {
    const EncodedTensor& value = parameters.get(name);
    add_input_scale(name, value, tensors);
    if (value.encoding.kind == EncodingKind::kIntGroup) {
      add_packed(name, value, tensors);
      continue;
    }
    if (value.encoding.kind == EncodingKind::kSparse) {
      add_sparse(name, value, tensors);
    } else {
      tensors.push_back({name, value.data});
    }
    if (numbers_of(value.encoding).kind == EncodingKind::kIntChannel) {
      const Shape shape = value.encoding.per_tensor ? Shape{1} : Shape{value.shape[0], 1};
      tensors.push_back({name + "_scale", value.scales.reshaped(shape)});
    }
  }
  return tensors;
}

// transformers' name for the type of most of the numbers that are not quantized.
const char* torch_dtype(const ParameterStore& parameters) {
  int64_t n_f32 = 0;
  int64_t n_bf16 = 0;
  int64_t n_f16 = 0;
  for (const std::string& name : parameters.names()) {
    const EncodedTensor& value = parameters.get(name);
    if (numbers_of(value.encoding).kind != EncodingKind::kDense) continue;
    int64_t& n = value.data.dtype() == DType::kBF16 ? n_bf16 : value.data.dtype() == DType::kF16 ? n_f16 : n_f32;
    n += value.data.size();
  }
  if (n_f32 >= n_bf16 && n_f32 >= n_f16) return "float32";
  return n_bf16 >= n_f16 ? "bfloat16" : "float16";
}

// Without labels the head is told by the parameters.
std::string headless_architecture(const Model& model) {
  const ArchitectureKeys& keys = architecture_keys(model.config.architecture);
  return std::string(keys.class_prefix) + (model.parameters.has(keys.lm_head_bias) ? "ForMaskedLM" : "Model");
}

Json saved_config(const Model& model) {
  Json json = config_to_json(model.config);
  if (model.config.labels.empty()) json["architectures"] = Json::array({headless_architecture(model)});
  json["torch_dtype"] = torch_dtype(model.parameters);
  if (Json quantization = make_quantization_config(model.parameters); !quantization.is_null()) {
    json["quantization_config"] = std::move(quantization);
  }
  return json;
}

// Before anything is written: a folder that could not be read again is no model.
void check_complete(const Model& model) {
  GraphOptions options;
  options.head = model.config.labels.empty() ? GraphOptions::Head::kHidden : GraphOptions::Head::kClassifier;
  for (const auto& [name, shape] : parameter_shapes(model.config, options)) {
    const EncodedTensor& value = model.parameters.get(name);
    if (value.shape == shape) continue;
    failed(name,
           fmt::format("has the shape {}, the config says {}", shape_to_string(value.shape), shape_to_string(shape)));
  }
}

}  // namespace

int64_t save_model(const Model& model, const std::filesystem::path& folder, bool replace,
                   const std::map<std::string, std::string>& more_files) {
  check_complete(model);
  AtomicFolder target(folder, replace);
  write_json(target.path() / "config.json", saved_config(model));
  write_safetensors(target.path() / kWeightsFile, named_tensors(model.parameters), {{"format", "pt"}});
  if (model.tokenizer != nullptr) model.tokenizer->save(target.path());
  if (model.sentence && model.config.labels.empty()) {
    write_sentence_pipeline(target.path(), *model.sentence, model.config.hidden_size);
  }
  write_manifest(target.path(), model);
  for (const auto& [name, text] : more_files) write_file(target.path() / name, text);
  throw_if_cancelled();
  target.commit();
  return size_on_disk(folder / kWeightsFile);
}

}  // namespace fettle
