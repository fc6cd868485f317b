// Learned rounding for one linear: AdaRound (Nagel et al. 2020), whose loss needs nothing of the calibration data but
// the second moments of the inputs, and single steps on the same loss behind it.
#pragma once

#include "compress/quantize/rounding_problem.h"

namespace fettle {

struct LearnedRoundingOptions {
  int64_t iterations = 400;
  double learning_rate = 0.03;
  double regularization = 0.02;  // weight of the term that drives every weight up or down
  int64_t sweeps = 10;           // at most, of single steps afterwards; 0: AdaRound alone
};

// For every weight up or down is learned: q = ⌊w/s⌋ + h(v), h the rectified sigmoid, by Adam on
// Σ over rows of (w - w') M (w - w')ᵀ / (the same of nearest) and Σ 1 - |2h - 1|^β, β falling from 20 to 2 after the
// first fifth. Then single integers go one up or down while that lessens a row's loss. The error is never above
// nearest's. The same bytes at any number of threads.
RoundedWeight learn_rounding(const RoundingProblem& problem, const LearnedRoundingOptions& options,
                             const RoundingMachine& machine);

// Moves single integers of i32 [rows, cols] by one while that lessens their row's loss, at most `sweeps` times over
// every row. Returns the number of moves.
int64_t refine_integers(const RoundingProblem& problem, int64_t sweeps, Tensor& integers, ThreadPool& pool);

}  // namespace fettle
