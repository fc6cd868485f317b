#include "data/batching.h"

#include <algorithm>
#include <numeric>

#include "base/philox.h"

namespace fettle {
namespace {

constexpr uint64_t kShuffleStream = 0x5348554646ull << 20;

// Cuts plan.order into batches by count or by tokens.
void cut(BatchPlan& plan, std::span<const int32_t> lengths, const BatchOptions& options) {
  plan.offsets.assign(1, 0);
  const int64_t n = static_cast<int64_t>(plan.order.size());
  int64_t begin = 0;
  int64_t tokens = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t length = lengths[plan.order[i]];
    const bool full =
        options.token_budget > 0 ? tokens + length > options.token_budget : i - begin >= options.batch_size;
    if (full && i > begin) {
      plan.offsets.push_back(i);
      begin = i;
      tokens = 0;
    }
    tokens += length;
  }
  if (n > begin) plan.offsets.push_back(n);
}

void sort_windows(BatchPlan& plan, std::span<const int32_t> lengths, int64_t window_batches) {
  const auto by_length = [&](int32_t a, int32_t b) { return lengths[a] < lengths[b]; };
  for (int64_t first = 0; first < plan.n_batches(); first += window_batches) {
    const int64_t last = std::min(first + window_batches, plan.n_batches());
    std::stable_sort(plan.order.begin() + plan.offsets[first], plan.order.begin() + plan.offsets[last], by_length);
  }
}

void shuffle_batches(BatchPlan& plan, Philox& random) {
  std::vector<int64_t> batches(static_cast<size_t>(plan.n_batches()));
  std::iota(batches.begin(), batches.end(), 0);
  random.shuffle(batches);
  BatchPlan shuffled;
  shuffled.order.reserve(plan.order.size());
  for (int64_t b : batches) {
    const std::span<const int32_t> batch = plan.batch(b);
    shuffled.order.insert(shuffled.order.end(), batch.begin(), batch.end());
    shuffled.offsets.push_back(static_cast<int64_t>(shuffled.order.size()));
  }
  plan = std::move(shuffled);
}

}  // namespace

BatchPlan training_batches(std::span<const int32_t> lengths, const BatchOptions& options) {
  BatchPlan plan;
  plan.order.resize(lengths.size());
  std::iota(plan.order.begin(), plan.order.end(), 0);
  Philox random(options.seed, kShuffleStream + static_cast<uint64_t>(options.epoch));
  random.shuffle(plan.order);
  cut(plan, lengths, options);
  if (options.window_batches <= 1) return plan;
  sort_windows(plan, lengths, options.window_batches);
  cut(plan, lengths, options);
  shuffle_batches(plan, random);
  return plan;
}

BatchPlan evaluation_batches(std::span<const int32_t> lengths, int64_t batch_size) {
  BatchPlan plan;
  plan.order.resize(lengths.size());
  std::iota(plan.order.begin(), plan.order.end(), 0);
  std::stable_sort(plan.order.begin(), plan.order.end(), [&](int32_t a, int32_t b) { return lengths[a] < lengths[b]; });
  cut(plan, lengths, {.batch_size = std::max<int64_t>(1, batch_size)});
  return plan;
}

}  // namespace fettle
