// Weights of the classes for the cross entropy.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "train/trainer.h"

namespace fettle {

// One weight for each name, or none where all are 1. `labels` are ids of the names, negative where there is none;
// balanced weights are counted in them as scikit-learn's: n / (classes that are there · n of the class). kUsage for a
// label that is not among the names, or twice in the list.
std::vector<float> weigh_classes(const ClassWeights& wanted, std::span<const std::string> names,
                                 std::span<const int32_t> labels);

}  // namespace fettle
