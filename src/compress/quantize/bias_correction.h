// Bias correction (Nagel et al. 2019): the mean of what rounding a linear's weights does to its outputs goes into its
// bias.
#pragma once

#include <string>
#include <vector>

#include "compress/quantize/calibration.h"

namespace fettle {

struct CorrectedBias {
  std::string name;    // of the bias
  double largest = 0;  // change of one of its numbers
};

// b' = b - (W' - W) E[x] for every linear that has a bias, whose weight differs between the two models and whose inputs
// are among the statistics (of `original` on the calibration texts). Among all constants this is the one with the least
// squared error of the outputs. Where places share a bias, but not its weight, it stays.
std::vector<CorrectedBias> correct_biases(Model& model, const Model& original,
                                          const std::vector<InputStatistics>& statistics);

}  // namespace fettle
