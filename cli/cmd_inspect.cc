// fettle inspect: what a model is made of.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>

#include "base/error.h"
#include "cli/app.h"
#include "evaluate/profile.h"
#include "format/tensor_store.h"
#include "graph/op.h"
#include "model/config_keys.h"
#include "tensor/sparse.h"

namespace fettle::cli {

namespace {

struct InspectCommand {
  std::string model;
  bool tensors = false;
  bool time = false;
  int64_t sequence = 16;
};

struct Part {
  std::string name;
  int64_t parameters = 0;
  int64_t bytes = 0;
  double flops_per_token = 0;
  double ms = -1;  // of one sequence; -1: not measured
};

// Of one layer; empty where layers share their parameters.
struct LayerParts {
  Part attention{"attention"};
  Part feed_forward{"feed_forward"};
};

std::string part_of(const std::string& name) {
  if (name.find("embedding") != std::string::npos) return "embeddings";
  if (name.find("attention") != std::string::npos) return "attention";
  const bool in_layer = name.find(".layer.") != std::string::npos || name.find(".albert_layers.") != std::string::npos;
  if (in_layer) return "feed_forward";
  return "head";
}

// How many products of the model's graph read each matrix: more than one where layers share it, none for tables.
std::map<std::string, int64_t> uses_of_parameters(const ModelConfig& config) {
  const auto head = config.labels.empty() ? GraphOptions::Head::kHidden : GraphOptions::Head::kClassifier;
  const Graph graph = build_graph(config, {.head = head});
  std::map<std::string, int64_t> uses;
  for (const Node& node : graph.nodes()) {
    if (node.op->name() == "linear") ++uses[graph.value(node.inputs[1]).name];
    if (node.op->name() == "gather_rows") uses.try_emplace(graph.value(node.inputs[0]).name, 0);
  }
  return uses;
}

// FLOPs of one token in a sequence of `length`: products with the weights, and attention's own.
std::vector<Part> parts_of(const Model& model, int64_t length) {
  std::vector<Part> parts{{"embeddings"}, {"attention"}, {"feed_forward"}, {"head"}};
  const std::map<std::string, int64_t> uses = uses_of_parameters(model.config);
  for (const std::string& name : model.parameters.names()) {
    const EncodedTensor& value = model.parameters.get(name);
    auto part = std::find_if(parts.begin(), parts.end(), [&](const Part& p) { return p.name == part_of(name); });
    part->parameters += element_count(value.shape);
    part->bytes += value.size_bytes();
    if (value.shape.size() == 2) {
      const double share = part->name == "head" ? 1.0 / static_cast<double>(length) : 1.0;
      // A language model's head, which no classifier has, is read once.
      const auto found = uses.find(name);
      const double n_uses = found == uses.end() ? 1 : static_cast<double>(found->second);
      part->flops_per_token += 2.0 * static_cast<double>(element_count(value.shape)) * share * n_uses;
    }
  }
  for (const LayerConfig& layer : model.config.layers) {
    const int64_t width = layer.n_heads * layer.head_dim * model.config.blocks_per_group;
    parts[1].flops_per_token += 4.0 * static_cast<double>(length * width);
  }
  return parts;
}

// The number behind ".layer.", -1 where there is none.
int64_t layer_of(const std::string& name) {
  constexpr std::string_view kMark = ".layer.";
  const size_t at = name.find(kMark);
  if (at == std::string::npos) return -1;
  int64_t layer = 0;
  for (size_t i = at + kMark.size(); i < name.size() && name[i] >= '0' && name[i] <= '9'; ++i) {
    layer = 10 * layer + (name[i] - '0');
  }
  return layer;
}

std::vector<LayerParts> layers_of(const Model& model, int64_t length) {
  if (model.config.shares_layers() || !model.config.layer_sources.empty()) return {};
  std::vector<LayerParts> layers(model.config.layers.size());
  for (const std::string& name : model.parameters.names()) {
    const int64_t layer = layer_of(name);
    if (layer < 0 || layer >= static_cast<int64_t>(layers.size())) continue;
    LayerParts& mine = layers[static_cast<size_t>(layer)];
    Part& part = part_of(name) == "attention" ? mine.attention : mine.feed_forward;
    const EncodedTensor& value = model.parameters.get(name);
    part.parameters += element_count(value.shape);
    part.bytes += value.size_bytes();
    if (value.shape.size() == 2) part.flops_per_token += 2.0 * static_cast<double>(element_count(value.shape));
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    const LayerConfig& width = model.config.layers[i];
    layers[i].attention.flops_per_token += 4.0 * static_cast<double>(length * width.n_heads * width.head_dim);
  }
  return layers;
}

// Times of one sequence of random tokens on the fast path. Nodes that passes made of several count where the first of
// them stands.
void measure(const std::shared_ptr<const Model>& model, int64_t length, const Globals& globals,
             std::vector<Part>& parts, std::vector<LayerParts>& layers) {
  ProfileOptions options;
  options.session = globals.session();
  options.slow_path = false;
  const PathProfile profile = profile_model(model, profile_random(*model, 1, length, globals.seed), options)[0];
  for (Part& part : parts) part.ms = 0;
  for (LayerParts& layer : layers) layer.attention.ms = layer.feed_forward.ms = 0;
  for (const NodeTime& node : profile.nodes) {
    const std::string name = part_of(node.node);
    std::ranges::find(parts, name, &Part::name)->ms += node.self_ms;
    const int64_t layer = layer_of(node.node);
    if (layer < 0 || layer >= static_cast<int64_t>(layers.size())) continue;
    LayerParts& mine = layers[static_cast<size_t>(layer)];
    (name == "attention" ? mine.attention : mine.feed_forward).ms += node.self_ms;
  }
}

Json to_json(const Part& part) {
  Json json{{"name", part.name},
            {"parameters", part.parameters},
            {"bytes", part.bytes},
            {"flops_per_token", part.flops_per_token}};
  if (part.ms >= 0) json["ms"] = part.ms;
  return json;
}

std::string to_line(const std::string& name, const Part& part) {
  std::string line =
      fmt::format("{:<24}{:>14}{:>14}{:>18.3f}", name, part.parameters, part.bytes, part.flops_per_token / 1e6);
  return line + (part.ms >= 0 ? fmt::format("{:>12.4f}\n", part.ms) : "\n");
}

// How many matrices are stored in each way, and how much of them is zeros.
Json encodings_of(const Model& model) {
  struct Stored {
    int64_t matrices = 0;
    int64_t parameters = 0;
    int64_t bytes = 0;
    int64_t nonzeros = 0;
  };
  std::map<std::string, Stored> all;
  for (const std::string& name : model.parameters.names()) {
    const EncodedTensor& value = model.parameters.get(name);
    if (value.shape.size() != 2) continue;
    Stored& stored = all[encoding_name(value.encoding)];
    ++stored.matrices;
    stored.parameters += element_count(value.shape);
    stored.bytes += value.size_bytes();
    stored.nonzeros += count_nonzeros(value);
  }
  Json list = Json::array();
  for (const auto& [name, stored] : all) {
    const auto n = static_cast<double>(std::max<int64_t>(1, stored.parameters));
    list.push_back(Json{{"name", name},
                        {"matrices", stored.matrices},
                        {"parameters", stored.parameters},
                        {"bytes", stored.bytes},
                        {"zeros", 1 - static_cast<double>(stored.nonzeros) / n}});
  }
  return list;
}

Json tensor_list(const std::string& folder) {
  const TensorStore store = TensorStore::open(encoder_folder(folder));
  Json list = Json::array();
  for (const std::string& name : store.names()) {
    const Tensor& tensor = store.get(name);
    const Tensor first =
        Tensor::view(tensor.dtype(), {std::min<int64_t>(4, tensor.size())}, tensor.raw(), nullptr).to(DType::kF32);
    Json values = Json::array();
    for (float value : first.floats()) values.push_back(value);
    list.push_back(Json{{"index", list.size()},
                        {"name", name},
                        {"shape", tensor.shape()},
                        {"dtype", std::string(dtype_name(tensor.dtype()))},
                        {"first_values", std::move(values)}});
  }
  return list;
}

int run_inspect(const InspectCommand& command, const Globals& globals) {
  const std::string folder = resolve_model(command.model);
  const std::shared_ptr<const Model> loaded = load_shared(command.model);
  const Model& model = *loaded;
  std::vector<Part> parts = parts_of(model, command.sequence);
  std::vector<LayerParts> layers = layers_of(model, command.sequence);
  if (command.time) measure(loaded, command.sequence, globals, parts, layers);
  const double size_mb = weights_mb(folder);
  Json json{{"architecture", std::string(architecture_keys(model.config.architecture).model_type)},
            {"parameters", model.parameters.parameter_count()},
            {"size_mb", size_mb},
            {"layers", model.config.layers.size()},
            {"hidden_size", model.config.hidden_size},
            {"vocab_size", model.config.vocab_size},
            {"labels", model.config.n_labels()},
            {"sequence", command.sequence},
            {"parts", Json::array()}};
  for (const Part& part : parts) json["parts"].push_back(to_json(part));
  json["encodings"] = encodings_of(model);
  json["by_layer"] = Json::array();
  for (const LayerParts& layer : layers) {
    json["by_layer"].push_back(
        Json{{"attention", to_json(layer.attention)}, {"feed_forward", to_json(layer.feed_forward)}});
  }
  if (command.tensors) json["tensors"] = tensor_list(folder);
  if (globals.json) {
    print_json(json);
    return 0;
  }
  std::string text =
      fmt::format("{}: {} layers, hidden {}, vocabulary {}, {} labels; {} parameters, {:.2f} MiB\n",
                  json["architecture"].get<std::string>(), model.config.layers.size(), model.config.hidden_size,
                  model.config.vocab_size, model.config.n_labels(), model.parameters.parameter_count(), size_mb);
  text += fmt::format("{:<24}{:>14}{:>14}{:>18}{}\n", "part", "parameters", "bytes", "MFLOP per token",
                      command.time ? fmt::format("{:>12}", "ms") : "");
  for (const Part& part : parts) text += to_line(part.name, part);
  for (size_t i = 0; i < layers.size(); ++i) {
    text += to_line(fmt::format("layer {} attention", i), layers[i].attention);
    text += to_line(fmt::format("layer {} feed-forward", i), layers[i].feed_forward);
  }
  text += fmt::format("{:<24}{:>14}{:>14}{:>18}\n", "matrices", "parameters", "bytes", "zeros");
  for (const Json& stored : json["encodings"]) {
    const std::string name = fmt::format("{} {}", stored["matrices"].get<int64_t>(), stored["name"].get<std::string>());
    text += fmt::format("{:<24}{:>14}{:>14}{:>16.1f} %\n", name, stored["parameters"].get<int64_t>(),
                        stored["bytes"].get<int64_t>(), 100 * stored["zeros"].get<double>());
  }
  for (const Json& tensor : json.value("tensors", Json::array())) {
    text +=
        fmt::format("{:>4}  {:<62} {:<16} {:<5} {}\n", tensor["index"].get<int>(), tensor["name"].get<std::string>(),
                    tensor["shape"].dump(), tensor["dtype"].get<std::string>(), tensor["first_values"].dump());
  }
  print(text);
  return 0;
}

}  // namespace

void add_inspect(Program& program) {
  auto command = std::make_shared<InspectCommand>();
  CLI::App* verb = program.add_verb("inspect", "parameters, bytes and FLOPs of a model, part by part",
                                    [command, &program] { return run_inspect(*command, program.globals()); });
  verb->add_option("model", command->model, "model folder")->required();
  verb->add_flag("--tensors", command->tensors, "list every tensor with its first values");
  verb->add_flag("--time", command->time, "measure the time of each part on this machine");
  verb->add_option("--sequence", command->sequence, "tokens that FLOPs and times are of (default 16)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
}

}  // namespace fettle::cli
