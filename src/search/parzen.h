// Density of observed parameters: a mixture of one product kernel for each observation and a broad one for the prior.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/philox.h"
#include "search/space.h"

namespace fettle {

// Points to the values of an observed trial.
using Observation = const ParameterValues*;

// Kernels over several parameters at once keep what belongs together (Falkner, Klein & Hutter 2018). A number has a
// normal density in the search space, cut at its ends; a whole number the mass of it between its half steps. Its width
// is that of Scott's rule, σ · n^(-1/(d + 4)), where the n observations' variance is smoothed by one more of a uniform
// density; at least `narrowest` times the range. A choice has smoothed counts: weight 1 on the choice observed, and an
// equal share of 1 on each. The prior's kernel lies in the middle, as wide as the range; it has the weight of one
// observation.
class ParzenEstimator {
 public:
  ParzenEstimator(const Space& space, std::span<const Observation> observations, double narrowest);

  ParameterValues sample(Philox& random) const;
  // Logarithm of the density, of numbers in the search space.
  double log_density(const ParameterValues& values) const;

 private:
  struct Dimension {
    Parameter parameter;
    std::vector<double> centers;  // [kernels], numbers
    double width = 0;             // of the observations' kernels
    double prior_width = 0;
    std::vector<double> log_scale;  // [kernels]: what a kernel's normal density is multiplied by, as a logarithm
    std::vector<int64_t> observed;  // [kernels - 1], choices
    double log_hit = 0;             // of the choice observed
    double log_miss = 0;            // of any other

    double kernel_width(size_t kernel) const { return kernel + 1 < centers.size() ? width : prior_width; }
  };

  Dimension number_dimension(const Parameter& parameter, size_t index, std::span<const Observation> observations,
                             double narrowest, double shrink) const;
  Dimension choice_dimension(const Parameter& parameter, size_t index, std::span<const Observation> observations) const;
  void add_log_density(const Dimension& dimension, double value, std::vector<double>& sums) const;

  size_t n_kernels_;
  std::vector<Dimension> dimensions_;
};

}  // namespace fettle
