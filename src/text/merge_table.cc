#include "text/merge_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <queue>

#include "base/error.h"

namespace fettle {
namespace {

// Up to here looking through all pairs for the best is faster than a queue.
constexpr size_t kShort = 48;
constexpr int32_t kNever = std::numeric_limits<int32_t>::max();
constexpr size_t kMaxProbes = 1024;

uint64_t hash_pair(int32_t left, int32_t right) {
  const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  const uint64_t mixed = (key ^ key >> 29) * 0x9e3779b97f4a7c15u;
  return mixed ^ mixed >> 32;
}

struct Candidate {
  int32_t rank;
  uint32_t place;
  int32_t left, right;  // ids when it was found

  bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : place > other.place; }
};

}  // namespace

MergeTable::MergeTable(size_t n_merges) : slots_(std::bit_ceil(2 * n_merges + 2)), mask_(slots_.size() - 1) {
  results_.reserve(n_merges);
}

size_t MergeTable::slot_of(int32_t left, int32_t right) const {
  size_t i = static_cast<size_t>(hash_pair(left, right)) & mask_;
  while (slots_[i].left != kNone && (slots_[i].left != left || slots_[i].right != right)) i = (i + 1) & mask_;
  return i;
}

void MergeTable::add(int32_t left, int32_t right, int32_t result) {
  const size_t first = static_cast<size_t>(hash_pair(left, right)) & mask_;
  const size_t slot = slot_of(left, right);
  if (((slot - first) & mask_) > kMaxProbes) bad_input("merges", "they are made to collide in a hash table");
  slots_[slot] = {left, right, static_cast<int32_t>(results_.size())};
  results_.push_back(result);
}

std::vector<MergeTable::Pair> MergeTable::pairs() const {
  std::vector<Slot> used;
  for (const Slot& slot : slots_) {
    if (slot.left != kNone) used.push_back(slot);
  }
  std::ranges::sort(used, {}, &Slot::rank);
  std::vector<Pair> pairs;
  for (const Slot& slot : used) pairs.push_back({slot.left, slot.right});
  return pairs;
}

size_t MergeTable::apply(Symbol* symbols, size_t n) const {
  return n <= kShort ? apply_to_short(symbols, n) : apply_to_long(symbols, n);
}

size_t MergeTable::apply_to_short(Symbol* symbols, size_t n) const {
  std::array<int32_t, kShort> ranks;  // of each symbol with the next one
  const auto rank_at = [&](size_t i) {
    if (i + 1 >= n) return kNever;
    const int32_t rank = rank_of(symbols[i].id, symbols[i + 1].id);
    return rank == kNone ? kNever : rank;
  };
  for (size_t i = 0; i < n; ++i) ranks[i] = rank_at(i);
  while (n > 1) {
    const auto best = static_cast<size_t>(std::min_element(ranks.begin(), ranks.begin() + n) - ranks.begin());
    if (ranks[best] == kNever) break;
    symbols[best] = {results_[static_cast<size_t>(ranks[best])], symbols[best].size + symbols[best + 1].size};
    std::copy(symbols + best + 2, symbols + n, symbols + best + 1);
    std::copy(ranks.begin() + best + 2, ranks.begin() + n, ranks.begin() + best + 1);
    --n;
    ranks[best] = rank_at(best);
    if (best > 0) ranks[best - 1] = rank_at(best - 1);
  }
  return n;
}

size_t MergeTable::apply_to_long(Symbol* symbols, size_t n) const {
  constexpr auto kEnd = std::numeric_limits<uint32_t>::max();
  std::vector<uint32_t> next(n), previous(n);
  std::priority_queue<Candidate> queue;
  const auto push = [&](uint32_t place) {
    if (place == kEnd || next[place] == kEnd) return;
    const int32_t left = symbols[place].id, right = symbols[next[place]].id;
    if (const int32_t rank = rank_of(left, right); rank != kNone) queue.push({rank, place, left, right});
  };
  for (uint32_t i = 0; i < n; ++i) {
    next[i] = i + 1 < n ? i + 1 : kEnd;
    previous[i] = i > 0 ? i - 1 : kEnd;
  }
  for (uint32_t i = 0; i < n; ++i) push(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.place];
    // What has been merged away has size 0.
    if (left.size == 0 || left.id != best.left || next[best.place] == kEnd) continue;
    const uint32_t right_place = next[best.place];
    Symbol& right = symbols[right_place];
    if (right.id != best.right) continue;
    left = {results_[static_cast<size_t>(best.rank)], left.size + right.size};
    right.size = 0;
    next[best.place] = next[right_place];
    if (next[best.place] != kEnd) previous[next[best.place]] = best.place;
    push(best.place);
    push(previous[best.place]);
  }
  const Symbol* end = std::remove_if(symbols, symbols + n, [](const Symbol& symbol) { return symbol.size == 0; });
  return static_cast<size_t>(end - symbols);
}

}  // namespace fettle
