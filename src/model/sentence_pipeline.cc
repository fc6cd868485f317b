#include "model/sentence_pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "format/hf_folder.h"
#include "format/safetensors.h"
#include "format/tensor_store.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kModules = "modules.json";
constexpr std::string_view kEncoderConfig = "sentence_bert_config.json";
constexpr int64_t kMaxWidth = int64_t{1} << 20;
constexpr int64_t kMaxLength = int64_t{1} << 24;
constexpr size_t kMaxModules = 16;

struct PoolingName {
  Pooling pooling;
  std::string_view name;
  std::string_view key;  // in 1_Pooling/config.json
};
// In the order in which sentence-transformers puts them behind each other.
constexpr std::array<PoolingName, 4> kPoolings = {
    {{Pooling::kCls, "cls", "pooling_mode_cls_token"},
     {Pooling::kMax, "max", "pooling_mode_max_tokens"},
     {Pooling::kMean, "mean", "pooling_mode_mean_tokens"},
     {Pooling::kMeanSqrtLength, "mean_sqrt_len", "pooling_mode_mean_sqrt_len_tokens"}}};
constexpr std::array<std::string_view, 2> kOtherPoolings = {"pooling_mode_weightedmean_tokens",
                                                            "pooling_mode_lasttoken"};

struct ActivationName {
  std::string_view name;  // of PyTorch's class
  std::string_view kind;
};
constexpr std::array<ActivationName, 4> kActivations = {
    {{"Tanh", "tanh"}, {"Identity", "none"}, {"ReLU", "relu"}, {"GELU", "gelu"}}};

struct Module {
  std::string kind;  // the last part of its type
  std::string path;
};

std::string after_last_dot(const std::string& name) {
  return name.substr(name.rfind('.') + 1);
}

std::vector<Module> read_modules(const fs::path& path) {
  const std::string where = path.string();
  const Json json = read_json(path);
  if (!json.is_array() || json.empty() || json.size() > kMaxModules) bad_input(where, "is not a list of modules");
  std::vector<Module> modules;
  for (const Json& item : json) {
    if (!item.is_object()) bad_input(where, "a module is not an object");
    modules.push_back({after_last_dot(json_string(item, "type", where)), json_string_or(item, "path", "", where)});
  }
  if (modules[0].kind != "Transformer" || modules.size() < 2 || modules[1].kind != "Pooling") {
    bad_input(where, "does not begin with Transformer and Pooling");
  }
  return modules;
}

std::vector<Pooling> read_pooling(const fs::path& path, int64_t hidden_size) {
  const std::string where = path.string();
  const Json json = read_json(path);
  if (!json.is_object()) bad_input(where, "is not a JSON object");
  const char* width_key =
      json.contains("word_embedding_dimension") ? "word_embedding_dimension" : "embedding_dimension";
  const int64_t width = json_int_or(json, width_key, hidden_size, 1, kMaxWidth, where);
  if (width != hidden_size) {
    bad_input(where,
              fmt::format("\"{}\" is {}, the encoder's hidden states are {} wide", width_key, width, hidden_size));
  }
  for (const std::string_view key : kOtherPoolings) {
    if (json_bool_or(json, key, false, where)) bad_input(where, fmt::format("\"{}\" is not supported", key));
  }
  std::vector<Pooling> pooling;
  // Newer files name one or several, joined by "+".
  const std::string named = json_string_or(json, "pooling_mode", "", where);
  for (const PoolingName& row : kPoolings) {
    const bool is_named = ("+" + named + "+").find("+" + std::string(row.name) + "+") != std::string::npos;
    if (is_named || json_bool_or(json, row.key, false, where)) pooling.push_back(row.pooling);
  }
  if (pooling.empty()) bad_input(where, "names no pooling", "known: cls, max, mean, mean_sqrt_len");
  return pooling;
}

EncodedTensor dense_parameter(const TensorStore& store, std::string_view name, const Shape& shape) {
  const Tensor& tensor = store.get(name);
  const std::string where = store.files()[0].string();
  if (tensor.shape() != shape || !dtype_is_float(tensor.dtype())) {
    bad_input(where, fmt::format("tensor '{}' is {} {}, its config.json needs floats {}", name,
                                 dtype_name(tensor.dtype()), shape_to_string(tensor.shape()), shape_to_string(shape)));
  }
  Tensor values = tensor.to(DType::kF32);
  if (!std::ranges::all_of(values.floats(), [](float value) { return std::isfinite(value); })) {
    bad_input(where, fmt::format("tensor '{}' holds values that are not finite", name));
  }
  return EncodedTensor::dense(std::move(values));
}

SentenceStep read_dense(const fs::path& folder) {
  const fs::path path = require_in_folder(folder, "config.json");
  const std::string where = path.string();
  const Json json = read_json(path);
  if (!json.is_object()) bad_input(where, "is not a JSON object");
  const int64_t in = json_int(json, "in_features", 1, kMaxWidth, where);
  const int64_t out = json_int(json, "out_features", 1, kMaxWidth, where);
  const std::string name = json_string_or(json, "activation_function", "torch.nn.modules.activation.Tanh", where);
  const auto* activation =
      std::ranges::find(kActivations, std::string_view(after_last_dot(name)), &ActivationName::name);
  if (activation == kActivations.end()) {
    bad_input(where, fmt::format("\"activation_function\" \"{}\" is not supported", name),
              "supported: Tanh, Identity, ReLU, GELU");
  }
  const TensorStore store = TensorStore::open(folder);
  SentenceStep step{.weight = dense_parameter(store, "linear.weight", {out, in}),
                    .activation = std::string(activation->kind)};
  if (json_bool_or(json, "bias", true, where)) step.bias = dense_parameter(store, "linear.bias", {out});
  return step;
}

void read_encoder_config(const fs::path& folder, SentencePipeline& pipeline) {
  const auto path = find_in_folder(folder, kEncoderConfig);
  if (!path) return;
  const std::string where = path->string();
  const Json json = read_json(*path);
  if (!json.is_object()) bad_input(where, "is not a JSON object");
  const int64_t length = json_int_or(json, "max_seq_length", 0, 0, kMaxLength, where);
  if (length > 0) pipeline.max_length = length;
  pipeline.lowercase = json_bool_or(json, "do_lower_case", false, where);
}

Json module_json(size_t index, const std::string& path, std::string_view kind) {
  return {{"idx", index},
          {"name", std::to_string(index)},
          {"path", path},
          {"type", fmt::format("sentence_transformers.models.{}", kind)}};
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directory(folder, error);
  if (error) io_error_from(folder.string(), "cannot be made", error.value());
}

void write_dense(const fs::path& folder, const SentenceStep& step) {
  const auto* activation = std::ranges::find(kActivations, std::string_view(step.activation), &ActivationName::kind);
  const std::string_view module = activation->kind == "none" ? "linear.Identity" : "activation.";
  const std::string name =
      activation->kind == "none" ? std::string(module) : std::string(module) + std::string(activation->name);
  const bool has_bias = step.bias.data.defined();
  write_json(folder / "config.json", {{"in_features", step.weight.shape[1]},
                                      {"out_features", step.weight.shape[0]},
                                      {"bias", has_bias},
                                      {"activation_function", "torch.nn.modules." + name}});
  std::vector<NamedTensor> tensors = {{"linear.weight", step.weight.data}};
  if (has_bias) tensors.push_back({"linear.bias", step.bias.data});
  write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}});
}

}  // namespace

Pooling parse_pooling(std::string_view name) {
  const auto* row = std::ranges::find(kPoolings, name, &PoolingName::name);
  if (row == kPoolings.end())
    usage_error("pooling", fmt::format("does not know \"{}\"", name), "cls, max, mean, mean_sqrt_len");
  return row->pooling;
}

int64_t SentencePipeline::width(int64_t hidden_size) const {
  int64_t width = hidden_size * static_cast<int64_t>(pooling.size());
  for (const SentenceStep& step : steps) {
    if (!step.is_dense()) continue;
    if (step.weight.shape[1] != width) {
      bad_input("embedding",
                fmt::format("a dense layer takes {} numbers, the pooling gives {}", step.weight.shape[1], width));
    }
    width = step.weight.shape[0];
  }
  return width;
}

fs::path encoder_folder(const fs::path& folder) {
  std::error_code error;
  if (!fs::exists(folder / kModules, error)) return folder;
  const auto path = find_in_folder(folder, kModules);
  if (!path) return folder;
  const std::string inner = read_modules(*path)[0].path;
  if (inner.empty()) return folder;
  return require_in_folder(folder, inner + "/config.json").parent_path();
}

std::optional<SentencePipeline> read_sentence_pipeline(const fs::path& folder, int64_t hidden_size) {
  const auto path = find_in_folder(folder, kModules);
  if (!path) return std::nullopt;
  const std::vector<Module> modules = read_modules(*path);
  SentencePipeline pipeline;
  pipeline.pooling = read_pooling(require_in_folder(folder, modules[1].path + "/config.json"), hidden_size);
  for (size_t i = 2; i < modules.size(); ++i) {
    if (modules[i].kind == "Normalize") {
      pipeline.steps.emplace_back();
    } else if (modules[i].kind == "Dense") {
      pipeline.steps.push_back(read_dense(require_in_folder(folder, modules[i].path + "/config.json").parent_path()));
    } else {
      bad_input(path->string(), fmt::format("the module {} is not supported", modules[i].kind),
                "supported: Transformer, Pooling, Dense, Normalize");
    }
  }
  read_encoder_config(folder / modules[0].path, pipeline);
  pipeline.width(hidden_size);
  return pipeline;
}

void write_sentence_pipeline(const fs::path& folder, const SentencePipeline& pipeline, int64_t hidden_size) {
  Json modules = Json::array({module_json(0, "", "Transformer"), module_json(1, "1_Pooling", "Pooling")});
  make_folder(folder / "1_Pooling");
  Json pooling = {{"word_embedding_dimension", hidden_size}};
  for (const PoolingName& row : kPoolings) {
    pooling[std::string(row.key)] = std::ranges::find(pipeline.pooling, row.pooling) != pipeline.pooling.end();
  }
  write_json(folder / "1_Pooling/config.json", pooling);
  for (const SentenceStep& step : pipeline.steps) {
    const char* kind = step.is_dense() ? "Dense" : "Normalize";
    const std::string path = fmt::format("{}_{}", modules.size(), kind);
    modules.push_back(module_json(modules.size(), path, kind));
    make_folder(folder / path);
    if (step.is_dense()) write_dense(folder / path, step);
  }
  write_json(folder / kModules, modules);
  if (!pipeline.max_length && !pipeline.lowercase) return;
  Json encoder = {{"do_lower_case", pipeline.lowercase}};
  if (pipeline.max_length) encoder["max_seq_length"] = *pipeline.max_length;
  write_json(folder / kEncoderConfig, encoder);
}

}  // namespace fettle
