// Layer-wise decay of the learning rate: the nearer a parameter is to the input, the slower it learns.
#pragma once

#include <string_view>

#include "model/config.h"

namespace fettle {

// The factor on the learning rate of the parameter of that name (Howard & Ruder 2018; Sun et al. 2019): decay^(n - l)
// in layer l of n, from 0; decay^(n + 1) in the embeddings; 1 in everything behind the layers (pooler, heads) and for
// names that belong to no layer. ALBERT's layers share parameters: each of its groups counts as one layer.
double layer_rate_factor(const ModelConfig& config, std::string_view name, double decay);

}  // namespace fettle
