// Ranks for many matrices under one budget.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace fettle {

// The largest rank at which two factors have fewer numbers than the matrix [rows, columns]: below rows · columns /
// (rows + columns).
int64_t largest_useful_rank(int64_t rows, int64_t columns);

struct RankCandidate {
  Shape shape;                          // [rows, columns]
  const std::vector<double>* energies;  // squares of singular values, falling
};

// The rank of each, 0 for one that stays whole, so that all together have at most `budget` numbers. Greedy: the next
// terms go where they bring most of a matrix's own energy for each number, up to `step` terms at a time (fewer where
// few ranks are useful); a matrix whose next terms would make factors as large as it is stays whole instead. kUsage
// when not even the first terms of each fit.
std::vector<int64_t> choose_ranks(std::span<const RankCandidate> matrices, int64_t budget, int64_t step);

}  // namespace fettle
