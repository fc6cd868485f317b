// Cuts heads, neurons, layers and hidden dimensions out of a model: what is left is a smaller model of the usual kind.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model.h"

namespace fettle {

struct KeptLayer {
  std::vector<int64_t> heads;    // rising, at least one
  std::vector<int64_t> neurons;  // of the feed-forward part; rising, at least one
  bool operator==(const KeptLayer&) const = default;
};

// What stays, by index in the model as it is.
struct KeptParts {
  std::vector<int64_t> layers;       // rising, at least one
  std::vector<KeptLayer> in_layers;  // of every layer, those that go too; alike where layers share their parameters
  std::vector<int64_t> hidden;       // rising, at least one
  std::vector<int64_t> pooled;       // outputs of the dense layer before the labels, as many as hidden
};
KeptParts everything(const ModelConfig& config);

// The smaller model; what is not cut shares its memory with the given one. Computes what the whole model would with the
// other parts masked: a head's or neuron's output set to zero, a layer passed by. A hidden dimension is left out of
// every sum, those of the norms included.
// Errors: kUsage for indices that do not fit; for ALBERT also where layers of one group would become different, or
// layers would change their group; for hidden dimensions of a sentence-transformers model with dense layers.
Model cut(const Model& model, const KeptParts& kept);

}  // namespace fettle
