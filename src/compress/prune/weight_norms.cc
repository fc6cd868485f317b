#include "compress/prune/weight_norms.h"

#include <cmath>

#include "base/error.h"
#include "model/config_keys.h"
#include "model/layer_names.h"

namespace fettle {
namespace {

// Sums of squares of groups of neighbouring rows, or columns, of a weight [out, in].
std::vector<double> squares_of_rows(const Tensor& weight, int64_t group) {
  std::vector<double> sums(static_cast<size_t>(weight.dim(0) / group));
  for (int64_t i = 0; i < weight.size(); ++i) {
    const double value = weight.data<float>()[i];
    sums[static_cast<size_t>(i / weight.dim(1) / group)] += value * value;
  }
  return sums;
}
std::vector<double> squares_of_columns(const Tensor& weight, int64_t group) {
  std::vector<double> sums(static_cast<size_t>(weight.dim(1) / group));
  for (int64_t i = 0; i < weight.size(); ++i) {
    const double value = weight.data<float>()[i];
    sums[static_cast<size_t>(i % weight.dim(1) / group)] += value * value;
  }
  return sums;
}

void add(std::vector<double>& to, const std::vector<double>& more) {
  to.resize(std::max(to.size(), more.size()));
  for (size_t i = 0; i < more.size(); ++i) to[i] += more[i];
}

std::vector<double> product_of_norms(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> scores(a.size());
  for (size_t i = 0; i < a.size(); ++i) scores[i] = std::sqrt(a[i] * b[i]);
  return scores;
}

class Norms {
 public:
  explicit Norms(const Model& model) : model_(model), config_(model.config) {}

  std::vector<double> of_layer(int64_t layer, PartKind kind) const {
    std::vector<double> writing;
    std::vector<double> reading;
    for (int64_t block = 0; block < config_.blocks_per_group; ++block) {
      const EncoderLayerNames names = encoder_layer_names(config_, layer, block);
      const bool heads = kind == PartKind::kHeads;
      const int64_t group = heads ? config_.layers[static_cast<size_t>(layer)].head_dim : 1;
      add(writing, squares_of_rows(weight(heads ? names.value : names.intermediate), group));
      add(reading, squares_of_columns(weight(heads ? names.attention_output : names.output), group));
    }
    return product_of_norms(writing, reading);
  }

  std::vector<double> of_hidden() const {
    std::vector<double> writing;
    std::vector<double> reading;
    for (int64_t layer = 0; layer < static_cast<int64_t>(config_.layers.size()); ++layer) {
      if (unit_of_layer(config_, layer) != layer) continue;
      for (int64_t block = 0; block < config_.blocks_per_group; ++block) {
        const EncoderLayerNames names = encoder_layer_names(config_, layer, block);
        for (const std::string& name : {names.attention_output, names.output}) {
          add(writing, squares_of_rows(weight(name), 1));
        }
        for (const std::string& name : {names.query, names.key, names.value, names.intermediate}) {
          add(reading, squares_of_columns(weight(name), 1));
        }
      }
    }
    return product_of_norms(writing, reading);
  }

  std::vector<double> of_pooled() const {
    const ArchitectureKeys& keys = architecture_keys(config_.architecture);
    return product_of_norms(squares_of_rows(weight(std::string(keys.hidden_head)), 1),
                            squares_of_columns(weight(std::string(keys.label_layer)), 1));
  }

 private:
  Tensor weight(const std::string& name) const { return model_.parameters.get(name + ".weight").decode(); }

  const Model& model_;
  const ModelConfig& config_;
};

}  // namespace

std::vector<std::vector<double>> weight_norms(const Model& model, PartKind kind) {
  const Norms norms(model);
  switch (kind) {
    case PartKind::kLayers:
      usage_error("importance", "of layers is not told by the norms of weights", "gradient, contribution");
    case PartKind::kHidden:
      return {norms.of_hidden()};
    case PartKind::kPooled:
      return {norms.of_pooled()};
    default:
      break;
  }
  std::vector<std::vector<double>> all(model.config.layers.size());
  for (int64_t layer = 0; layer < static_cast<int64_t>(all.size()); ++layer) {
    if (unit_of_layer(model.config, layer) == layer) all[static_cast<size_t>(layer)] = norms.of_layer(layer, kind);
  }
  return all;
}

}  // namespace fettle
