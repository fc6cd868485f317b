// Which weights stay: exactly as many as asked for, those with the best scores.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"

namespace fettle {

// The sparsity of step `step` on the way from `initial` at step `begin` to `final` at step `end`, which it has before
// and after: s_f + (s_i - s_f) (1 - (t - t0) / (N Δt))³ (Zhu & Gupta 2018; techniques H1).
struct CubicSchedule {
  double initial = 0;
  double final = 0.9;
  int64_t begin = 0;
  int64_t end = 100;

  double at(int64_t step) const;
};

// The scores of one matrix and the mask to fill, of the same size. Scores are finite.
struct ScoredPart {
  std::span<const float> scores;
  std::span<float> mask;
};

// Sets the mask of the best scores to 1, that of the others to 0; of equal scores the first ones stay (those of earlier
// parts before those of later ones). Each call gives the same masks at any number of threads.
class MaskSelector {
 public:
  explicit MaskSelector(ThreadPool& pool) : pool_(pool) {}

  // n_keep[p] of each part for itself. n_keep is in [0, size of the part].
  void keep_in_each(std::span<const ScoredPart> parts, std::span<const int64_t> n_keep);
  // n_keep of all parts together.
  void keep_of_all(std::span<const ScoredPart> parts, int64_t n_keep);
  // The 2:4 pattern: of four neighbours the two with the better scores. n_pruned of the groups of four have it, those
  // that lose least by it, in each part or of all parts together (then n_pruned has one element); the other groups
  // stay whole. Sizes of parts are multiples of four.
  void keep_two_of_four(std::span<const ScoredPart> parts, std::span<const int64_t> n_pruned);

 private:
  std::span<uint32_t> counts_of(size_t part);

  ThreadPool& pool_;
  std::vector<uint32_t> counts_;              // [parts, 65536]
  std::vector<std::vector<float>> losses_;    // of groups, by part
  std::vector<std::vector<float>> is_whole_;  // mask over groups, by part
};

}  // namespace fettle
