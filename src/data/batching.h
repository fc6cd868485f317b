// Which examples go together in a batch, and in what order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fettle {

struct BatchPlan {
  std::vector<int32_t> order;       // indices of examples, batch after batch
  std::vector<int64_t> offsets{0};  // [n_batches + 1] into order

  int64_t n_batches() const { return static_cast<int64_t>(offsets.size()) - 1; }
  std::span<const int32_t> batch(int64_t i) const {
    return {order.data() + offsets[i], static_cast<size_t>(offsets[i + 1] - offsets[i])};
  }
};

struct BatchOptions {
  int64_t batch_size = 32;   // examples
  int64_t token_budget = 0;  // > 0: as many examples as fit this many tokens (one at least), instead of batch_size
  // > 1: after the shuffle, windows of so many batches are sorted by length and the batches shuffled again, so that a
  // batch's lengths are alike. Ragged batches do no work on padding and gain nothing from it; padded rivals do.
  int64_t window_batches = 1;
  uint64_t seed = 0;
  int64_t epoch = 0;
};

// Every example once, in an order that is a pure function of the options and lengths (Philox).
BatchPlan training_batches(std::span<const int32_t> lengths, const BatchOptions& options);

// Sorted by length, ties in order of the data. `order` maps results back: row r of the concatenated batches is example
// order[r].
BatchPlan evaluation_batches(std::span<const int32_t> lengths, int64_t batch_size);

}  // namespace fettle
