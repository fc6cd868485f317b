#include "compress/prune/surgery.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "base/error.h"
#include "compress/prune/select.h"
#include "model/config_keys.h"
#include "model/factors.h"
#include "model/layer_names.h"

namespace fettle {
namespace {

using Indices = std::vector<int64_t>;

Indices all_of(int64_t n) {
  Indices indices(static_cast<size_t>(n));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

void check_indices(const Indices& indices, int64_t n, const std::string& what) {
  const bool rises = std::ranges::adjacent_find(indices, std::greater_equal<>()) == indices.end();
  const bool fits = !indices.empty() && indices.front() >= 0 && indices.back() < n;
  if (!rises || !fits) usage_error(what, fmt::format("must be a rising list of some of {}, not empty", n));
}

void check(const ModelConfig& config, const KeptParts& kept) {
  const auto n_layers = static_cast<int64_t>(config.layers.size());
  check_indices(kept.layers, n_layers, "layers to keep");
  check_indices(kept.hidden, config.hidden_size, "hidden dimensions to keep");
  check_indices(kept.pooled, config.hidden_size, "outputs of the head's dense layer to keep");
  if (kept.pooled.size() != kept.hidden.size()) usage_error("outputs of the head's dense layer", "as many as hidden");
  if (kept.in_layers.size() != config.layers.size()) usage_error("parts to keep", "are not those of this model");
  for (size_t i = 0; i < config.layers.size(); ++i) {
    check_indices(kept.in_layers[i].heads, config.layers[i].n_heads, fmt::format("heads of layer {} to keep", i));
    check_indices(kept.in_layers[i].neurons, config.layers[i].intermediate_size,
                  fmt::format("neurons of layer {} to keep", i));
  }
}

// Old layers by the parameters that they compute with.
int64_t group_of(const ModelConfig& config, int64_t layer) {
  return config.shares_layers() ? config.group_of_layer(layer) : config.source_of_layer(layer);
}

void check_groups(const ModelConfig& config, const KeptParts& kept) {
  std::map<int64_t, const KeptLayer*> of_group;
  for (const int64_t layer : kept.layers) {
    const KeptLayer& mine = kept.in_layers[static_cast<size_t>(layer)];
    const auto [found, is_new] = of_group.emplace(group_of(config, layer), &mine);
    if (!is_new && *found->second != mine) {
      usage_error("layers that share their parameters", "must keep the same heads and neurons");
    }
  }
}

// ALBERT's layers find their groups by their numbers: the ones that are left must find the same ones, renumbered.
int64_t groups_after(const ModelConfig& config, const ModelConfig& cut_config, const Indices& layers) {
  std::set<int64_t> left;
  for (const int64_t layer : layers) left.insert(config.group_of_layer(layer));
  ModelConfig after = cut_config;
  after.n_layer_groups = static_cast<int64_t>(left.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    const auto rank = std::distance(left.begin(), left.find(config.group_of_layer(layers[i])));
    if (after.group_of_layer(static_cast<int64_t>(i)) == rank) continue;
    usage_error("layers to keep", fmt::format("leave the {} groups of shared parameters with unequal numbers of layers",
                                              after.n_layer_groups));
  }
  return after.n_layer_groups;
}

// The kept layers' sources, renumbered: the first kept one of those that shared.
Indices sources_after(const ModelConfig& config, const Indices& layers) {
  Indices sources;
  for (size_t i = 0; i < layers.size(); ++i) {
    const int64_t source = config.source_of_layer(layers[i]);
    const auto first = std::ranges::find(layers, source, [&](int64_t layer) { return config.source_of_layer(layer); });
    sources.push_back(first - layers.begin());
  }
  return sources == all_of(std::ssize(layers)) ? Indices() : sources;
}

ModelConfig cut_config(const ModelConfig& config, const KeptParts& kept) {
  ModelConfig after = config;
  after.hidden_size = static_cast<int64_t>(kept.hidden.size());
  after.layers.clear();
  for (const int64_t layer : kept.layers) {
    LayerConfig width = config.layers[static_cast<size_t>(layer)];
    const KeptLayer& mine = kept.in_layers[static_cast<size_t>(layer)];
    width.n_heads = static_cast<int64_t>(mine.heads.size());
    width.intermediate_size = static_cast<int64_t>(mine.neurons.size());
    after.layers.push_back(width);
  }
  if (!config.layer_sources.empty()) after.layer_sources = sources_after(config, kept.layers);
  if (config.shares_layers()) after.n_layer_groups = groups_after(config, after, kept.layers);
  return after;
}

// Moves the parameters over, each under its new name and cut on its sides.
class Cutter {
 public:
  Cutter(const Model& model, const KeptParts& kept)
      : old_(model), kept_(kept), keys_(architecture_keys(model.config.architecture)), new_(model) {
    new_.config = cut_config(model.config, kept);
    new_.parameters = ParameterStore();
    if (static_cast<int64_t>(kept.hidden.size()) < model.config.hidden_size) hidden_ = kept.hidden;
    if (kept.pooled != all_of(model.config.hidden_size)) pooled_ = kept.pooled;
  }

  Model run() {
    check_sentence();
    for (size_t i = 0; i < kept_.layers.size(); ++i) plan_layer(kept_.layers[i], static_cast<int64_t>(i));
    plan_dropped_layers();
    plan_tables();
    plan_heads();
    rename_ranks();
    // In the order in which they were, so that nothing else moves in the file.
    for (const std::string& name : old_.parameters.names()) {
      const auto plan = plans_.find(name);
      if (plan == plans_.end()) {
        new_.parameters.set(name, old_.parameters.get(name));
      } else if (!plan->second.name.empty()) {
        new_.parameters.set(plan->second.name, cut_sides(old_.parameters.get(name), plan->second));
      }
    }
    return std::move(new_);
  }

 private:
  using Side = std::optional<Indices>;  // nothing: all of it

  struct Plan {
    std::string name;  // "": it goes
    Side rows;
    Side columns;
  };

  static EncodedTensor cut_sides(const EncodedTensor& value, const Plan& plan) {
    EncodedTensor out = plan.rows ? select_rows(value, *plan.rows) : value;
    return plan.columns ? select_columns(out, *plan.columns) : out;
  }

  void check_sentence() const {
    if (!hidden_ || !old_.sentence) return;
    for (const SentenceStep& step : old_.sentence->steps) {
      if (step.is_dense()) usage_error("sentence-transformers model", "dense layers behind the pooling need its width");
    }
  }

  void plan(const std::string& from, const std::string& to, const Side& rows, const Side& columns = {}) {
    if (!old_.parameters.has(from)) return;
    plans_[from] = {to, rows, columns};
  }
  // `rows` are outputs, `columns` inputs.
  void plan_linear(const std::string& from, const std::string& to, const Side& rows, const Side& columns) {
    plan(from + ".weight", to + ".weight", rows, columns);
    plan(from + kFactorIn + ".weight", to + kFactorIn + ".weight", {}, columns);
    plan(from + kFactorOut + ".weight", to + kFactorOut + ".weight", rows);
    plan(from + ".bias", to + ".bias", rows);
    if (rank_of(old_.config, from) > 0) renamed_[from] = to;
  }
  // Linears with factors that got another name or went.
  void rename_ranks() {
    std::map<std::string, int64_t, std::less<>>& ranks = new_.config.ranks;
    for (const auto& [name, rank] : old_.config.ranks) {
      const bool goes = plans_.contains(name + kFactorOut + ".weight");
      if (goes) ranks.erase(name);
    }
    for (const auto& [from, to] : renamed_) ranks[to] = old_.config.ranks.at(from);
    check_factors(new_.config, "what is left");
  }
  void plan_norm(const std::string& from, const std::string& to, const Side& width) {
    plan(from + ".weight", to + ".weight", width);
    plan(from + ".bias", to + ".bias", width);
  }

  void plan_layer(int64_t layer, int64_t to_layer) {
    const LayerConfig& width = old_.config.layers[static_cast<size_t>(layer)];
    const KeptLayer& mine = kept_.in_layers[static_cast<size_t>(layer)];
    Side heads;
    if (static_cast<int64_t>(mine.heads.size()) < width.n_heads) {
      heads.emplace();
      for (const int64_t head : mine.heads) {
        for (int64_t i = 0; i < width.head_dim; ++i) heads->push_back(head * width.head_dim + i);
      }
    }
    Side neurons;
    if (static_cast<int64_t>(mine.neurons.size()) < width.intermediate_size) neurons = mine.neurons;
    for (int64_t block = 0; block < old_.config.blocks_per_group; ++block) {
      const EncoderLayerNames from = encoder_layer_names(old_.config, layer, block);
      const EncoderLayerNames to = encoder_layer_names(new_.config, to_layer, block);
      plan_linear(from.query, to.query, heads, hidden_);
      plan_linear(from.key, to.key, heads, hidden_);
      plan_linear(from.value, to.value, heads, hidden_);
      plan_linear(from.attention_output, to.attention_output, hidden_, heads);
      plan_norm(from.attention_norm, to.attention_norm, hidden_);
      plan_linear(from.intermediate, to.intermediate, neurons, hidden_);
      plan_linear(from.output, to.output, hidden_, neurons);
      plan_norm(from.output_norm, to.output_norm, hidden_);
    }
  }

  // What only layers that go have.
  void plan_dropped_layers() {
    for (int64_t layer = 0; layer < static_cast<int64_t>(old_.config.layers.size()); ++layer) {
      for (int64_t block = 0; block < old_.config.blocks_per_group; ++block) {
        const EncoderLayerNames names = encoder_layer_names(old_.config, layer, block);
        for (const std::string* part :
             {&names.query, &names.key, &names.value, &names.attention_output, &names.attention_norm,
              &names.intermediate, &names.output, &names.output_norm}) {
          for (const char* suffix : {".weight", ".bias", ".factor_in.weight", ".factor_out.weight"}) {
            plans_.try_emplace(*part + suffix);
          }
        }
      }
    }
  }

  void plan_tables() {
    if (!hidden_) return;
    const std::string embeddings = std::string(keys_.parameter_prefix) + "embeddings.";
    if (old_.config.embedding_size > 0) {
      plan_linear("albert.encoder.embedding_hidden_mapping_in", "albert.encoder.embedding_hidden_mapping_in", hidden_,
                  {});
      return;
    }
    for (const char* table : {"word_embeddings", "position_embeddings", "token_type_embeddings"}) {
      const std::string name = embeddings + table;
      if (const int64_t rank = rank_of(old_.config, name); rank > 0) {
        plan(name + kFactorOut + ".weight", name + kFactorOut + ".weight", hidden_);
        renamed_[name] = name;
      } else {
        plan(name + ".weight", name + ".weight", {}, hidden_);
      }
    }
    plan_norm(embeddings + "LayerNorm", embeddings + "LayerNorm", hidden_);
  }

  void plan_heads() {
    if (!hidden_ && !pooled_) return;
    const std::string dense(keys_.hidden_head);
    const std::string labels(keys_.label_layer);
    plan_linear(dense, dense, pooled_, hidden_);
    plan_linear(labels, labels, {}, pooled_);
    if (!hidden_) return;
    // The masked-word head: a dense layer and its norm, both as wide as the tables.
    const Side table = old_.config.embedding_size > 0 ? Side() : hidden_;
    for (const auto& [name, shape] : parameter_shapes(old_.config, {.head = GraphOptions::Head::kMaskedLm})) {
      if (name.starts_with(keys_.parameter_prefix) || name == keys_.lm_head_bias) continue;
      plan(name, name, table, shape.size() == 2 ? hidden_ : Side());
    }
  }

  const Model& old_;
  const KeptParts& kept_;
  const ArchitectureKeys& keys_;
  Model new_;
  Side hidden_;
  Side pooled_;
  std::map<std::string, std::string> renamed_;  // of linears and tables with factors
  std::map<std::string, Plan> plans_;           // by old name; what has none stays as it is
};

}  // namespace

KeptParts everything(const ModelConfig& config) {
  KeptParts kept;
  kept.layers = all_of(static_cast<int64_t>(config.layers.size()));
  kept.hidden = kept.pooled = all_of(config.hidden_size);
  for (const LayerConfig& layer : config.layers) {
    kept.in_layers.push_back({.heads = all_of(layer.n_heads), .neurons = all_of(layer.intermediate_size)});
  }
  return kept;
}

Model cut(const Model& model, const KeptParts& kept) {
  if (!model.config.stacked.empty()) {
    usage_error("prune", "parts cannot be cut out of layers that share the factors of a Tucker decomposition",
                "prune first, factorize then");
  }
  check(model.config, kept);
  check_groups(model.config, kept);
  return Cutter(model, kept).run();
}

}  // namespace fettle
