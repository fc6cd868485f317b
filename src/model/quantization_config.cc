#include "model/quantization_config.h"

#include <fmt/format.h>

#include <string>

#include "base/error.h"

namespace fettle {
namespace {

constexpr std::string_view kWeightSuffix = ".weight";

void check_group(const Json& group, std::string_view where) {
  if (!group.is_object() || !group.contains("weights") || !group["weights"].is_object()) {
    bad_input(std::string(where), "has no \"weights\"");
  }
  const Json& weights = group["weights"];
  const int64_t bits = json_int(weights, "num_bits", 1, 64, where);
  const std::string type = json_string_or(weights, "type", "int", where);
  const std::string strategy = json_string_or(weights, "strategy", "tensor", where);
  if (bits != 8 || type != "int" || strategy != "channel" || !json_bool_or(weights, "symmetric", true, where)) {
    bad_input(std::string(where),
              fmt::format("{}-bit {} weights with a scale per {} are not supported", bits, type, strategy),
              "supported: 8-bit int, symmetric, a scale per channel");
  }
}

bool is_embedding(std::string_view name) {
  return name.find("embeddings.") != std::string_view::npos;
}

bool is_int8(const EncodedTensor& value) {
  return value.encoding.kind == EncodingKind::kIntChannel;
}

Json weights_scheme() {
  return {{"num_bits", 8}, {"type", "int"}, {"symmetric", true}, {"strategy", "channel"}, {"dynamic", false}};
}

Json activations_scheme() {
  return {{"num_bits", 8}, {"type", "int"}, {"symmetric", true}, {"strategy", "token"}, {"dynamic", true}};
}

}  // namespace

void check_quantization_config(const Json& quantization, std::string_view where) {
  const std::string at = fmt::format("{}: quantization_config", where);
  if (!quantization.is_object()) bad_input(at, "is not an object");
  const std::string method = json_string(quantization, "quant_method", at);
  if (method != "compressed-tensors") {
    bad_input(at, fmt::format("\"quant_method\" \"{}\" is not supported", method), "supported: compressed-tensors");
  }
  const std::string format = json_string(quantization, "format", at);
  if (format != "int-quantized") {
    bad_input(at, fmt::format("\"format\" \"{}\" is not supported", format), "supported: int-quantized");
  }
  const auto groups = quantization.find("config_groups");
  if (groups == quantization.end() || !groups->is_object()) bad_input(at, "has no \"config_groups\"");
  for (const auto& [name, group] : groups->items()) check_group(group, at + "." + name);
}

Json make_quantization_config(const ParameterStore& parameters) {
  bool has_linear = false;
  bool has_embedding = false;
  for (const std::string& name : parameters.names()) {
    if (is_int8(parameters.get(name))) (is_embedding(name) ? has_embedding : has_linear) = true;
  }
  if (!has_linear && !has_embedding) return nullptr;

  Json groups = Json::object();
  if (has_linear) {
    groups["group_0"] = {{"targets", Json::array({"Linear"})},
                         {"weights", weights_scheme()},
                         {"input_activations", activations_scheme()},
                         {"output_activations", nullptr}};
  }
  if (has_embedding) {
    groups[has_linear ? "group_1" : "group_0"] = {{"targets", Json::array({"Embedding"})},
                                                  {"weights", weights_scheme()},
                                                  {"input_activations", nullptr},
                                                  {"output_activations", nullptr}};
  }
  Json ignore = Json::array();
  for (const std::string& name : parameters.names()) {
    const EncodedTensor& value = parameters.get(name);
    const bool is_targeted = is_embedding(name) ? has_embedding : has_linear;
    if (value.shape.size() != 2 || is_int8(value) || !is_targeted || !name.ends_with(kWeightSuffix)) continue;
    ignore.push_back(name.substr(0, name.size() - kWeightSuffix.size()));
  }
  return {{"quant_method", "compressed-tensors"},
          {"format", "int-quantized"},
          {"quantization_status", "compressed"},
          {"config_groups", std::move(groups)},
          {"ignore", std::move(ignore)}};
}

}  // namespace fettle
