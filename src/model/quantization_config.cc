#include "model/quantization_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "model/factors.h"
#include "tensor/int_grid.h"
#include "tensor/int_group.h"
#include "tensor/sparse.h"

namespace fettle {
namespace {

constexpr std::string_view kWeightSuffix = ".weight";
constexpr int64_t kMaxGroupSize = 1 << 20;
// Classes of modules.
constexpr const char* kLinear = "Linear";
constexpr const char* kTable = "Embedding";

// Scheme names and meanings: QuantizationArgs and CompressionFormat of compressed-tensors.
constexpr const char* kInt8Format = "int-quantized";
constexpr const char* kInt4Format = "pack-quantized";
constexpr const char* kMixedFormat = "mixed-precision";  // each group has its own "format"
constexpr const char* kSparsity = "sparsity_config";

// CompressionFormat and SparsityStructure of compressed-tensors; the blocks' are fettle's own.
struct SparseFormat {
  SparsePattern pattern;
  const char* format;
  const char* structure;
};
constexpr SparseFormat kSparseFormats[] = {{SparsePattern::kNone, "dense", "unstructured"},
                                           {SparsePattern::kBitmask, "sparse-bitmask", "unstructured"},
                                           {SparsePattern::kTwoOfFour, "sparse-24-bitmask", "2:4"},
                                           {SparsePattern::kBlock4x1, "fettle-block-4x1", "4x1"},
                                           {SparsePattern::kBlock32x32, "fettle-block-32x32", "32x32"}};

// 16 bits when inputs stay floats, 8 when they are quantized as fettle does.
void read_inputs(const Json& group, const std::string& where, Encoding& encoding) {
  encoding.input_bits = 16;
  const auto inputs = group.find("input_activations");
  if (inputs == group.end() || inputs->is_null()) return;
  const std::string at = where + ".input_activations";
  if (!inputs->is_object()) bad_input(at, "is not an object");
  const bool is_int8 = json_int(*inputs, "num_bits", 1, 64, at) == 8 &&
                       json_string_or(*inputs, "type", "int", at) == "int" &&
                       json_bool_or(*inputs, "symmetric", true, at);
  const std::string strategy = json_string_or(*inputs, "strategy", "tensor", at);
  const bool is_dynamic = json_bool_or(*inputs, "dynamic", false, at);
  if (!is_int8 || strategy != (is_dynamic ? "token" : "tensor")) {
    bad_input(at, "are not supported",
              "supported: 8-bit int, symmetric, dynamic with a scale per token or static with one for all");
  }
  encoding.input_bits = 8;
  encoding.static_input = !is_dynamic;
}

// What a group of modules is stored as: its own word for it, else that of all. Where these differ from module to module
// and nothing is said, what fettle would have taken.
bool is_packed(const Json& group, const std::string& format, int64_t bits, const std::string& where) {
  const auto own = group.find("format");
  const std::string name = own != group.end() && !own->is_null() ? json_string(group, "format", where) : format;
  if (name == kInt8Format) return false;
  return name == kInt4Format || bits != 8;
}

// Encoding of a group's weights. `format` is that of the whole model.
Encoding read_group(const Json& group, const std::string& format, const std::string& where) {
  if (!group.is_object() || !group.contains("weights") || !group["weights"].is_object()) {
    bad_input(where, "has no \"weights\"");
  }
  const Json& weights = group["weights"];
  const int64_t bits = json_int(weights, "num_bits", 1, 64, where);
  const std::string type = json_string_or(weights, "type", "int", where);
  const std::string strategy = json_string_or(weights, "strategy", "tensor", where);
  Encoding encoding = Encoding::int8_channel();
  encoding.bits = static_cast<int>(bits);
  encoding.asymmetric = !json_bool_or(weights, "symmetric", true, where);
  bool is_known = type == "int" && (strategy == "channel" || strategy == "tensor" || strategy == "group");
  if (is_packed(group, format, bits, where)) {
    is_known = is_known && strategy != "tensor";
    encoding.kind = EncodingKind::kIntGroup;
    if (strategy == "group") {
      encoding.group_size = static_cast<int>(json_int(weights, "group_size", 1, kMaxGroupSize, where));
    }
  } else {
    is_known = is_known && strategy != "group";
    encoding.per_tensor = strategy == "tensor";
  }
  if (!is_known) {
    bad_input(where, fmt::format("{}-bit {} weights with a scale per {} are not supported", bits, type, strategy),
              fmt::format("supported: int with a scale per channel or tensor in {}, per channel or group in {}",
                          kInt8Format, kInt4Format));
  }
  read_inputs(group, where, encoding);
  if (const std::string fault = encoding_fault(encoding); !fault.empty()) {
    bad_input(where, fmt::format("{}-bit {} weights are not supported: {}", bits,
                                 encoding.asymmetric ? "asymmetric" : "symmetric", fault));
  }
  return encoding;
}

std::vector<std::string> read_targets(const Json& group, const std::string& where) {
  const auto targets = group.find("targets");
  std::vector<std::string> names;
  if (targets == group.end() || !targets->is_array()) bad_input(where, "has no \"targets\"");
  for (const Json& target : *targets) {
    if (!target.is_string()) bad_input(where, "\"targets\" has something that is no name");
    names.push_back(target.get<std::string>());
  }
  return names;
}

bool is_integer(const EncodedTensor& value) {
  return numbers_of(value.encoding).kind != EncodingKind::kDense;
}
bool is_sparse(const EncodedTensor& value) {
  return value.encoding.kind == EncodingKind::kSparse;
}

void check_sparsity_config(const Json& quantization, const std::string& at) {
  const auto sparsity = quantization.find(kSparsity);
  if (sparsity == quantization.end() || sparsity->is_null()) return;
  const std::string where = at + "." + kSparsity;
  if (!sparsity->is_object()) bad_input(where, "is not an object");
  if (sparsity->empty()) return;
  const std::string format = json_string(*sparsity, "format", where);
  std::string known;
  for (const SparseFormat& sparse : kSparseFormats) {
    if (format == sparse.format) return;
    known += (known.empty() ? "" : ", ") + std::string(sparse.format);
  }
  bad_input(where, fmt::format("\"format\" \"{}\" is not supported", format), "supported: " + known);
}

std::string module_of(std::string_view weight) {
  if (weight.ends_with(kWeightSuffix)) weight.remove_suffix(kWeightSuffix.size());
  return std::string(weight);
}

// Modules of one class with one encoding.
struct Members {
  Encoding encoding;
  std::vector<std::string> modules;
};

// Most modules first.
std::vector<Members> members_of_class(const ParameterStore& parameters, bool embeddings) {
  std::vector<Members> all;
  for (const std::string& name : parameters.names()) {
    const EncodedTensor& value = parameters.get(name);
    if (!is_integer(value) || is_embedding(name) != embeddings) continue;
    const Encoding numbers = numbers_of(value.encoding);
    auto found = std::ranges::find(all, numbers, &Members::encoding);
    if (found == all.end()) found = all.insert(found, {numbers, {}});
    found->modules.push_back(module_of(name));
  }
  std::ranges::stable_sort(all, std::ranges::greater(), [](const Members& members) { return members.modules.size(); });
  return all;
}

Json weights_scheme(const Encoding& encoding) {
  const bool grouped = encoding.group_size > 0;
  Json scheme = {{"num_bits", encoding.bits},
                 {"type", "int"},
                 {"symmetric", !encoding.asymmetric},
                 {"strategy", encoding.per_tensor ? "tensor"
                              : grouped           ? "group"
                                                  : "channel"},
                 {"dynamic", false}};
  if (grouped) scheme["group_size"] = encoding.group_size;
  return scheme;
}

Json activations_scheme(bool is_static) {
  return {{"num_bits", 8},
          {"type", "int"},
          {"symmetric", true},
          {"strategy", is_static ? "tensor" : "token"},
          {"dynamic", !is_static}};
}

const char* format_of(const Encoding& encoding) {
  return encoding.kind == EncodingKind::kIntGroup ? kInt4Format : kInt8Format;
}

// Of the pattern with the most modules; null when nothing is sparse.
Json make_sparsity_config(const ParameterStore& parameters) {
  std::vector<std::string> modules[std::size(kSparseFormats)];
  int64_t n_left_out = 0;
  for (const std::string& name : parameters.names()) {
    const EncodedTensor& value = parameters.get(name);
    if (!is_sparse(value)) continue;
    const auto at = std::ranges::find(kSparseFormats, value.encoding.pattern, &SparseFormat::pattern);
    modules[at - std::begin(kSparseFormats)].push_back(module_of(name));
    n_left_out += element_count(value.shape) - count_nonzeros(value);
  }
  const auto most = std::ranges::max_element(modules, {}, [](const auto& names) { return names.size(); });
  if (most->empty()) return nullptr;
  const SparseFormat& sparse = kSparseFormats[most - std::begin(modules)];
  const auto n_parameters = static_cast<double>(parameters.parameter_count());
  return {{"format", sparse.format},
          {"global_sparsity", static_cast<double>(n_left_out) / n_parameters},
          {"ignore", Json::array()},
          {"registry_requires_subclass", false},
          {"sparsity_structure", sparse.structure},
          {"targets", *most}};
}

}  // namespace

std::vector<IntegerScheme> read_quantization_config(const Json& quantization, std::string_view where) {
  const std::string at = fmt::format("{}: quantization_config", where);
  if (!quantization.is_object()) bad_input(at, "is not an object");
  const std::string method = json_string(quantization, "quant_method", at);
  if (method != "compressed-tensors") {
    bad_input(at, fmt::format("\"quant_method\" \"{}\" is not supported", method), "supported: compressed-tensors");
  }
  check_sparsity_config(quantization, at);
  // Sparse floats.
  if (quantization.contains(kSparsity) && !quantization.contains("config_groups")) return {};
  const std::string format = json_string(quantization, "format", at);
  if (format != kInt8Format && format != kInt4Format && format != kMixedFormat) {
    bad_input(at, fmt::format("\"format\" \"{}\" is not supported", format),
              fmt::format("supported: {}, {}, {}", kInt8Format, kInt4Format, kMixedFormat));
  }
  const auto groups = quantization.find("config_groups");
  if (groups == quantization.end() || !groups->is_object()) bad_input(at, "has no \"config_groups\"");
  std::vector<IntegerScheme> schemes;
  for (const auto& [name, group] : groups->items()) {
    const std::string group_at = at + "." + name;
    schemes.push_back({.targets = {}, .encoding = read_group(group, format, group_at)});
    schemes.back().targets = read_targets(group, group_at);
  }
  return schemes;
}

std::string input_scale_name(std::string_view weight) {
  return module_of(weight) + ".input_scale";
}

bool is_embedding(std::string_view weight) {
  return weight.find("embeddings.") != std::string_view::npos && weight.find(kFactorOut) == std::string_view::npos;
}

const IntegerScheme* find_scheme(const std::vector<IntegerScheme>& schemes, EncodingKind kind,
                                 std::string_view weight) {
  std::vector<const IntegerScheme*> of_kind;
  for (const IntegerScheme& scheme : schemes) {
    if (scheme.encoding.kind == kind) of_kind.push_back(&scheme);
  }
  for (const std::string& target : {module_of(weight), std::string(is_embedding(weight) ? kTable : kLinear)}) {
    for (const IntegerScheme* scheme : of_kind) {
      if (std::ranges::find(scheme->targets, target) != scheme->targets.end()) return scheme;
    }
  }
  std::erase_if(of_kind,
                [](const IntegerScheme* scheme) { return scheme->targets == std::vector{std::string(kTable)}; });
  return of_kind.size() == 1 ? of_kind[0] : nullptr;
}

Json make_quantization_config(const ParameterStore& parameters) {
  Json groups = Json::object();
  std::vector<std::string> formats;
  bool is_class_quantized[2] = {};
  for (const bool embeddings : {false, true}) {
    for (const Members& members : members_of_class(parameters, embeddings)) {
      // The most frequent encoding stands for the class, others by the names of their modules.
      const Json targets =
          is_class_quantized[embeddings] ? Json(members.modules) : Json::array({embeddings ? kTable : kLinear});
      is_class_quantized[embeddings] = true;
      const bool int_inputs = !embeddings && members.encoding.input_bits == 8;
      groups[fmt::format("group_{}", groups.size())] = {
          {"targets", targets},
          {"weights", weights_scheme(members.encoding)},
          {"input_activations", int_inputs ? activations_scheme(members.encoding.static_input) : Json()},
          {"output_activations", nullptr}};
      formats.emplace_back(format_of(members.encoding));
    }
  }
  Json sparsity = make_sparsity_config(parameters);
  if (groups.empty() && sparsity.is_null()) return nullptr;
  if (groups.empty()) return {{"quant_method", "compressed-tensors"}, {kSparsity, std::move(sparsity)}};

  const bool is_mixed = std::ranges::count(formats, formats[0]) != static_cast<std::ptrdiff_t>(formats.size());
  for (size_t i = 0; is_mixed && i < formats.size(); ++i) groups[fmt::format("group_{}", i)]["format"] = formats[i];

  Json ignore = Json::array();
  for (const std::string& name : parameters.names()) {
    const EncodedTensor& value = parameters.get(name);
    const bool is_targeted = is_class_quantized[is_embedding(name)];
    if (value.shape.size() != 2 || is_integer(value) || !is_targeted || !name.ends_with(kWeightSuffix)) continue;
    ignore.push_back(module_of(name));
  }
  Json config = {{"quant_method", "compressed-tensors"},
                 {"format", is_mixed ? kMixedFormat : formats[0]},
                 {"quantization_status", "compressed"},
                 {"config_groups", std::move(groups)},
                 {"ignore", std::move(ignore)}};
  if (!sparsity.is_null()) config[kSparsity] = std::move(sparsity);
  return config;
}

}  // namespace fettle
