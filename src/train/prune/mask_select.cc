#include "train/prune/mask_select.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>

namespace fettle {
namespace {

constexpr size_t kBuckets = 65536;
constexpr int kGroup = 4;

// Rises with the score; both zeros are the same.
uint32_t key_of(float score) {
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}

// Of what falls from the highest bucket down: where the n-th is, and how many stand above it.
struct Place {
  uint32_t bucket = 0;
  int64_t above = 0;
};
template <typename CountAt>
Place find_place(int64_t n, const CountAt& count_at) {
  Place place;
  for (size_t bucket = kBuckets; bucket-- > 0;) {
    const int64_t count = count_at(bucket);
    if (place.above + count >= n) {
      place.bucket = static_cast<uint32_t>(bucket);
      return place;
    }
    place.above += count;
  }
  return place;
}

void count_high(std::span<const float> scores, std::span<uint32_t> counts) {
  std::ranges::fill(counts, 0);
  for (const float score : scores) ++counts[key_of(score) >> 16];
}

void count_low(std::span<const float> scores, uint32_t high, std::span<uint32_t> counts) {
  std::ranges::fill(counts, 0);
  for (const float score : scores) {
    const uint32_t key = key_of(score);
    if (key >> 16 == high) ++counts[key & 0xffff];
  }
}

void write_mask(const ScoredPart& part, uint32_t threshold, int64_t n_equal) {
  for (size_t i = 0; i < part.scores.size(); ++i) {
    const uint32_t key = key_of(part.scores[i]);
    const bool stays = key > threshold || (key == threshold && n_equal-- > 0);
    part.mask[i] = stays ? 1.0f : 0.0f;
  }
}

bool fill_if_trivial(const ScoredPart& part, int64_t n_keep) {
  const auto n = static_cast<int64_t>(part.scores.size());
  if (n_keep > 0 && n_keep < n) return false;
  std::ranges::fill(part.mask, n_keep > 0 ? 1.0f : 0.0f);
  return true;
}

void keep_in_one(const ScoredPart& part, int64_t n_keep, std::span<uint32_t> counts) {
  if (fill_if_trivial(part, n_keep)) return;
  const auto count_at = [&](size_t bucket) { return static_cast<int64_t>(counts[bucket]); };
  count_high(part.scores, counts);
  const Place high = find_place(n_keep, count_at);
  count_low(part.scores, high.bucket, counts);
  const Place low = find_place(n_keep - high.above, count_at);
  write_mask(part, high.bucket << 16 | low.bucket, n_keep - high.above - low.above);
}

// What a group of four loses when its two best stay.
float loss_of_group(const float* scores) {
  std::array<float, kGroup> sorted;
  std::copy_n(scores, kGroup, sorted.begin());
  std::ranges::sort(sorted);
  return sorted[0] + sorted[1];
}

void mask_group(const float* scores, float* mask) {
  for (int i = 0; i < kGroup; ++i) {
    int better = 0;
    for (int j = 0; j < kGroup; ++j) better += scores[j] > scores[i] || (scores[j] == scores[i] && j < i);
    mask[i] = better < 2 ? 1.0f : 0.0f;
  }
}

}  // namespace

double CubicSchedule::at(int64_t step) const {
  if (step <= begin) return step < end ? initial : final;
  if (step >= end) return final;
  const double left = 1 - static_cast<double>(step - begin) / static_cast<double>(end - begin);
  return final + (initial - final) * left * left * left;
}

std::span<uint32_t> MaskSelector::counts_of(size_t part) {
  return std::span(counts_).subspan(part * kBuckets, kBuckets);
}

void MaskSelector::keep_in_each(std::span<const ScoredPart> parts, std::span<const int64_t> n_keep) {
  counts_.resize(parts.size() * kBuckets);
  pool_.parallel_for(static_cast<int64_t>(parts.size()), [&](int64_t p, int) {
    const auto i = static_cast<size_t>(p);
    keep_in_one(parts[i], n_keep[i], counts_of(i));
  });
}

void MaskSelector::keep_of_all(std::span<const ScoredPart> parts, int64_t n_keep) {
  int64_t n = 0;
  for (const ScoredPart& part : parts) n += static_cast<int64_t>(part.scores.size());
  if (n_keep <= 0 || n_keep >= n) {
    for (const ScoredPart& part : parts) std::ranges::fill(part.mask, n_keep > 0 ? 1.0f : 0.0f);
    return;
  }
  counts_.resize(parts.size() * kBuckets);
  const auto count_at = [&](size_t bucket) {
    int64_t sum = 0;
    for (size_t p = 0; p < parts.size(); ++p) sum += counts_[p * kBuckets + bucket];
    return sum;
  };
  const auto n_parts = static_cast<int64_t>(parts.size());
  pool_.parallel_for(n_parts, [&](int64_t p, int) {
    count_high(parts[static_cast<size_t>(p)].scores, counts_of(static_cast<size_t>(p)));
  });
  const Place high = find_place(n_keep, count_at);
  pool_.parallel_for(n_parts, [&](int64_t p, int) {
    count_low(parts[static_cast<size_t>(p)].scores, high.bucket, counts_of(static_cast<size_t>(p)));
  });
  const Place low = find_place(n_keep - high.above, count_at);
  // Equal ones are dealt out in order.
  int64_t left = n_keep - high.above - low.above;
  std::vector<int64_t> n_equal;
  for (size_t p = 0; p < parts.size(); ++p) {
    n_equal.push_back(left);
    left -= std::min<int64_t>(left, counts_of(p)[low.bucket]);
  }
  pool_.parallel_for(n_parts, [&](int64_t p, int) {
    write_mask(parts[static_cast<size_t>(p)], high.bucket << 16 | low.bucket, n_equal[static_cast<size_t>(p)]);
  });
}

void MaskSelector::keep_two_of_four(std::span<const ScoredPart> parts, std::span<const int64_t> n_pruned) {
  const auto n_parts = static_cast<int64_t>(parts.size());
  losses_.resize(parts.size());
  is_whole_.resize(parts.size());
  std::vector<ScoredPart> groups;
  std::vector<int64_t> n_whole;
  int64_t n_groups = 0;
  for (size_t p = 0; p < parts.size(); ++p) {
    const size_t n = parts[p].scores.size() / kGroup;
    losses_[p].resize(n);
    is_whole_[p].resize(n);
    groups.push_back({losses_[p], is_whole_[p]});
    n_groups += static_cast<int64_t>(n);
    if (n_pruned.size() == parts.size()) n_whole.push_back(static_cast<int64_t>(n) - n_pruned[p]);
  }
  pool_.parallel_for(n_parts, [&](int64_t p, int) {
    const auto i = static_cast<size_t>(p);
    for (size_t g = 0; g < losses_[i].size(); ++g) losses_[i][g] = loss_of_group(&parts[i].scores[g * kGroup]);
  });
  if (n_whole.empty()) {
    keep_of_all(groups, n_groups - n_pruned[0]);
  } else {
    keep_in_each(groups, n_whole);
  }
  pool_.parallel_for(n_parts, [&](int64_t p, int) {
    const auto i = static_cast<size_t>(p);
    for (size_t g = 0; g < losses_[i].size(); ++g) {
      float* mask = &parts[i].mask[g * kGroup];
      if (is_whole_[i][g] != 0) {
        std::fill_n(mask, kGroup, 1.0f);
      } else {
        mask_group(&parts[i].scores[g * kGroup], mask);
      }
    }
  });
}

}  // namespace fettle
