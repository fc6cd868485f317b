// Saying it when a technique did not help.
#pragma once

#include <string>

#include "evaluate/benchmark.h"

namespace fettle {

// Where `made` falls short of `from`, which it was made of, in speed (less than 2 % won counts as nothing) and size,
// and of the baseline in accuracy (significantly, p < 0.05): "no faster than "baseline" (0.97×); 1.2 points less
// accurate than the baseline (p = 0.003)". Empty when nothing is to be said.
std::string shortfall(const BenchmarkResult& made, const BenchmarkResult& from, const PairedTest& against_baseline);

}  // namespace fettle
