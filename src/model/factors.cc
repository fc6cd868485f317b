#include "model/factors.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "model/config_keys.h"
#include "model/layer_names.h"

namespace fettle {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr int64_t kMaxRank = int64_t{1} << 24;

bool has_value(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && !found->is_null();
}

const Json& object_of(const Json& json, const char* key, std::string_view where) {
  if (!json[key].is_object()) bad_input(std::string(where), fmt::format("\"{}\" is not an object", key));
  return json[key];
}

void parse_stacked(const Json& json, ModelConfig& config, std::string_view where) {
  for (const auto& [name, value] : object_of(json, kStackedKey, where).items()) {
    const std::string at = fmt::format("{}: {}[\"{}\"]", where, kStackedKey, name);
    if (!value.is_object()) bad_input(at, "is not an object");
    config.stacked[name] = {.owner = json_string(value, "owner", at),
                            .in_rank = json_int(value, "in_rank", 1, kMaxRank, at),
                            .out_rank = json_int(value, "out_rank", 1, kMaxRank, at)};
  }
}

void parse_sources(const Json& json, ModelConfig& config, std::string_view where) {
  const Json& list = json[kSourcesKey];
  if (!list.is_array() || list.size() != config.layers.size()) {
    bad_input(std::string(where), fmt::format("\"{}\" is not a list of {} layers", kSourcesKey, config.layers.size()));
  }
  for (const Json& source : list) {
    if (!source.is_number_integer()) {
      bad_input(std::string(where), fmt::format("\"{}\" has something that is no layer's number", kSourcesKey));
    }
    config.layer_sources.push_back(
        source.is_number_unsigned() && source.get<uint64_t>() > INT64_MAX ? INT64_MAX : source.get<int64_t>());
  }
}

void check_sources(const ModelConfig& config, std::string_view where) {
  if (config.layer_sources.empty()) return;
  const std::string at = fmt::format("{}: {}", where, kSourcesKey);
  if (config.shares_layers()) bad_input(at, "is given, but ALBERT's layers share their parameters by groups");
  if (config.layer_sources.size() != config.layers.size()) bad_input(at, "is not a list of all layers");
  for (size_t i = 0; i < config.layers.size(); ++i) {
    const int64_t source = config.layer_sources[i];
    if (source < 0 || source > static_cast<int64_t>(i)) {
      bad_input(at, fmt::format("layer {} has the parameters of layer {}", i, source),
                "those of itself or an earlier one");
    }
    if (config.source_of_layer(source) != source) {
      bad_input(at, fmt::format("layer {} has the parameters of layer {}, which has none of its own", i, source));
    }
    if (config.layers[i] != config.layers[static_cast<size_t>(source)]) {
      bad_input(at, fmt::format("layers {} and {} share parameters but differ in width", source, i));
    }
  }
}

// Shapes of all matrices as if none had factors, by the name of their linear or table.
std::map<std::string, Shape> whole_shapes(const ModelConfig& config) {
  ModelConfig whole = config;
  whole.ranks.clear();
  whole.stacked.clear();
  if (whole.labels.empty()) whole.labels = {"any"};
  std::map<std::string, Shape> shapes;
  for (const auto head : {GraphOptions::Head::kClassifier, GraphOptions::Head::kMaskedLm}) {
    for (const auto& [name, shape] : parameter_shapes(whole, {.head = head})) {
      if (shape.size() == 2 && name.ends_with(kWeight)) shapes[name.substr(0, name.size() - kWeight.size())] = shape;
    }
  }
  return shapes;
}

const Shape& shape_of(const std::map<std::string, Shape>& shapes, const std::string& name, const std::string& at) {
  const auto found = shapes.find(name);
  if (found == shapes.end()) bad_input(at, fmt::format("the model has no matrix '{}'", name));
  return found->second;
}

void check_ranks(const ModelConfig& config, const std::map<std::string, Shape>& shapes, std::string_view where) {
  const std::string at = fmt::format("{}: {}", where, kRanksKey);
  for (const auto& [name, rank] : config.ranks) {
    const Shape& shape = shape_of(shapes, name, at);
    const int64_t most = std::min(shape[0], shape[1]);
    if (rank < 1 || rank > most) {
      bad_input(at, fmt::format("'{}' {} has rank {}, not one of 1 to {}", name, shape_to_string(shape), rank, most));
    }
    if (config.stacked.contains(name)) bad_input(at, fmt::format("'{}' is stacked too", name));
  }
}

void check_stacked(const ModelConfig& config, const std::map<std::string, Shape>& shapes, std::string_view where) {
  const std::string at = fmt::format("{}: {}", where, kStackedKey);
  for (const auto& [name, factors] : config.stacked) {
    const Shape& shape = shape_of(shapes, name, at);
    if (name.find("embeddings.") != std::string::npos) bad_input(at, fmt::format("'{}' is a table", name));
    if (factors.in_rank < 1 || factors.out_rank < 1 || factors.in_rank > shape[1] || factors.out_rank > shape[0]) {
      bad_input(at, fmt::format("'{}' {} has a core [{}, {}]", name, shape_to_string(shape), factors.out_rank,
                                factors.in_rank));
    }
    const auto owner = config.stacked.find(factors.owner);
    if (owner == config.stacked.end() || owner->second != factors || shape_of(shapes, factors.owner, at) != shape) {
      bad_input(at, fmt::format("the owner '{}' of '{}' is no linear of the same shape, ranks and owner", factors.owner,
                                name));
    }
  }
}

// [a rows, b columns] = a [rows, k] · b [k, columns]
Tensor product(const Tensor& a, const Tensor& b) {
  Tensor c(DType::kF32, {a.dim(0), b.dim(1)});
  const int64_t k = a.dim(1);
  const int64_t n = b.dim(1);
  std::vector<double> sum(static_cast<size_t>(n));
  for (int64_t r = 0; r < a.dim(0); ++r) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (int64_t i = 0; i < k; ++i) {
      const double factor = a.data<float>()[r * k + i];
      const float* row = b.data<float>() + i * n;
      for (int64_t j = 0; j < n; ++j) sum[static_cast<size_t>(j)] += factor * row[j];
    }
    std::copy(sum.begin(), sum.end(), c.mutable_data<float>() + r * n);
  }
  return c;
}

Tensor transposed(const Tensor& a) {
  Tensor t(DType::kF32, {a.dim(1), a.dim(0)});
  for (int64_t r = 0; r < a.dim(0); ++r) {
    for (int64_t c = 0; c < a.dim(1); ++c)
      t.mutable_data<float>()[c * a.dim(0) + r] = a.data<float>()[r * a.dim(1) + c];
  }
  return t;
}

std::string weight_of(const std::string& module) {
  return module + std::string(kWeight);
}

bool is_table(const Model& model, const std::string& name) {
  return model.parameters.has(weight_of(name));
}

}  // namespace

int64_t rank_of(const ModelConfig& config, std::string_view name) {
  const auto found = config.ranks.find(name);
  return found == config.ranks.end() ? 0 : found->second;
}

void parse_factors(const Json& json, ModelConfig& config, std::string_view where) {
  if (has_value(json, kRanksKey)) {
    const Json& ranks = object_of(json, kRanksKey, where);
    const std::string at = fmt::format("{}: {}", where, kRanksKey);
    for (const auto& [name, rank] : ranks.items()) config.ranks[name] = json_int(ranks, name, 1, kMaxRank, at);
  }
  if (has_value(json, kStackedKey)) parse_stacked(json, config, where);
  if (has_value(json, kSourcesKey)) parse_sources(json, config, where);
  check_factors(config, where);
}

void write_factors(const ModelConfig& config, Json& json) {
  if (!config.ranks.empty()) {
    Json& ranks = json[kRanksKey] = Json::object();
    for (const auto& [name, rank] : config.ranks) ranks[name] = rank;
  }
  if (!config.stacked.empty()) {
    Json& stacked = json[kStackedKey] = Json::object();
    for (const auto& [name, factors] : config.stacked) {
      stacked[name] = {{"owner", factors.owner}, {"in_rank", factors.in_rank}, {"out_rank", factors.out_rank}};
    }
  }
  if (!config.layer_sources.empty()) json[kSourcesKey] = config.layer_sources;
}

void check_factors(const ModelConfig& config, std::string_view where) {
  check_sources(config, where);
  if (!config.has_factors()) return;
  const std::map<std::string, Shape> shapes = whole_shapes(config);
  check_ranks(config, shapes, where);
  check_stacked(config, shapes, where);
}

Tensor whole_matrix(const Model& model, const std::string& name) {
  const auto values = [&](const std::string& module) { return model.parameters.get(weight_of(module)).decode(); };
  if (const auto stacked = model.config.stacked.find(name); stacked != model.config.stacked.end()) {
    const std::string& owner = stacked->second.owner;
    return product(product(values(owner + kFactorOut), values(name + kFactorCore)), values(owner + kFactorIn));
  }
  if (rank_of(model.config, name) == 0) return values(name);
  if (is_table(model, name)) return product(values(name), transposed(values(name + kFactorOut)));
  return product(values(name + kFactorOut), values(name + kFactorIn));
}

void make_whole(Model& model, const std::string& name) {
  const auto stacked = model.config.stacked.find(name);
  if (stacked == model.config.stacked.end() && rank_of(model.config, name) == 0) return;
  // Of a head that this model does not have.
  if (!model.parameters.has(weight_of(name + kFactorOut)) && stacked == model.config.stacked.end()) {
    model.config.ranks.erase(name);
    return;
  }
  EncodedTensor whole = EncodedTensor::dense(whole_matrix(model, name));
  if (stacked == model.config.stacked.end()) {
    for (const char* factor : {kFactorIn, kFactorOut}) model.parameters.erase(weight_of(name + factor));
    model.config.ranks.erase(name);
  } else {
    const std::string owner = stacked->second.owner;
    model.parameters.erase(weight_of(name + kFactorCore));
    model.config.stacked.erase(stacked);
    // The factors go with the last of their stack; until then another linear owns them.
    std::string heir;
    for (auto& [other, factors] : model.config.stacked) {
      if (factors.owner != owner) continue;
      if (heir.empty()) heir = owner == name ? other : owner;
      factors.owner = heir;
    }
    for (const char* factor : {kFactorIn, kFactorOut}) {
      if (heir == owner) break;
      if (!heir.empty()) {
        EncodedTensor moved = model.parameters.get(weight_of(owner + factor));
        model.parameters.set(weight_of(heir + factor), std::move(moved));
      }
      model.parameters.erase(weight_of(owner + factor));
    }
  }
  model.parameters.set(weight_of(name), std::move(whole));
}

void merge_factors(Model& model) {
  while (!model.config.ranks.empty()) make_whole(model, std::string(model.config.ranks.begin()->first));
  while (!model.config.stacked.empty()) make_whole(model, std::string(model.config.stacked.begin()->first));
}

void unshare_layers(Model& model) {
  ModelConfig config = model.config;
  config.layer_sources.clear();
  for (size_t i = 0; i < model.config.layers.size(); ++i) {
    const auto layer = static_cast<int64_t>(i);
    if (model.config.source_of_layer(layer) == layer) continue;
    const std::vector<std::string> from = modules_of(encoder_layer_names(model.config, layer));
    const std::vector<std::string> to = modules_of(encoder_layer_names(config, layer));
    for (size_t m = 0; m < from.size(); ++m) {
      if (const int64_t rank = rank_of(model.config, from[m]); rank > 0) config.ranks[to[m]] = rank;
      if (const auto found = model.config.stacked.find(from[m]); found != model.config.stacked.end()) {
        config.stacked[to[m]] = found->second;
      }
      const bool owns = config.stacked.contains(to[m]);
      for (const std::string& suffix :
           {std::string(), std::string(kFactorIn), std::string(kFactorOut), std::string(kFactorCore)}) {
        const bool is_owners = owns && (suffix == kFactorIn || suffix == kFactorOut);
        for (const char* kind : {".weight", ".bias"}) {
          const std::string name = from[m] + suffix + kind;
          if (is_owners || !model.parameters.has(name)) continue;
          EncodedTensor copy = model.parameters.get(name);
          model.parameters.set(to[m] + suffix + kind, std::move(copy));
        }
      }
    }
  }
  model.config = std::move(config);
}

}  // namespace fettle
