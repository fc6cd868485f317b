// The merges of byte-pair encoding (Sennrich et al. 2016) by pair of ids, and their application to a word.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fettle {

// A piece of a word that is being merged.
struct Symbol {
  int32_t id = 0;
  int32_t size = 0;  // bytes of the word
};

// Immutable once filled.
class MergeTable {
 public:
  explicit MergeTable(size_t n_merges);

  // Ranks count up from 0: the pair added first is merged first. Of equal pairs the last counts.
  void add(int32_t left, int32_t right, int32_t result);
  struct Pair {
    int32_t left, right;
  };
  // All pairs by rank; what a later equal pair replaced is left out.
  std::vector<Pair> pairs() const;
  // Merges the adjacent pair of the lowest rank, the leftmost of equals, until none is left; returns how many of the
  // symbols are left. n log n in the worst case.
  size_t apply(Symbol* symbols, size_t n) const;

 private:
  static constexpr int32_t kNone = -1;
  struct Slot {
    int32_t left = kNone, right = 0;
    int32_t rank = 0;
  };

  size_t slot_of(int32_t left, int32_t right) const;
  // kNone when the pair is not merged.
  int32_t rank_of(int32_t left, int32_t right) const {
    const Slot& slot = slots_[slot_of(left, right)];
    return slot.left == kNone ? kNone : slot.rank;
  }
  size_t apply_to_short(Symbol* symbols, size_t n) const;
  size_t apply_to_long(Symbol* symbols, size_t n) const;

  std::vector<Slot> slots_;
  std::vector<int32_t> results_;  // by rank
  size_t mask_ = 0;
};

}  // namespace fettle
