// Counter-based random numbers (Philox4x32-10; Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011).
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace fettle {

// A pure function of (seed, stream, counter): the same at any number of threads and on any machine.
// stream tells purposes apart (a layer's dropout, the shuffle, an initializer).
// Key words: seed (low, high). Counter words: counter (low, high), stream (low, high).
std::array<uint32_t, 4> philox4x32(uint64_t seed, uint64_t stream, uint64_t counter);

// Dropout decides on each element by 16 random bits, so that one block serves eight elements. Element `index` has half
// index % 2 (0 the low one) of word index % 8 / 2 of philox4x32(seed, stream, index / 8), and is kept when that half is
// at least this threshold: p · 2^16, rounded. p acts in steps of 1 / 65536 (0.1 as 0.100006); beyond 1 - 2^-17 nothing
// is kept. Kept values are divided by 1 - p, not by the rounded share.
inline uint32_t dropout_threshold(float p) {
  return static_cast<uint32_t>(std::lround(static_cast<double>(p) * 65536.0));
}
inline bool dropout_keep(uint64_t seed, uint64_t stream, uint64_t index, float p) {
  const uint32_t word = philox4x32(seed, stream, index / 8)[index % 8 / 2];
  return (word >> (index % 2 * 16) & 0xffff) >= dropout_threshold(p);
}

// Sequential view of one stream, for code that wants a generator. Copies continue independently from the same place.
class Philox {
 public:
  explicit Philox(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  uint32_t next_u32();
  uint64_t next_u64();
  // Uniform in [0, 1), 24 and 53 bits.
  float uniform();
  double uniform_double();
  // Standard normal (Box-Muller).
  float normal();
  // Uniform integer in [0, n), without modulo bias; n >= 1.
  uint64_t below(uint64_t n);
  // Fisher-Yates.
  template <typename Container>
  void shuffle(Container& items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

  // Number of 32-bit values drawn so far; with seed and stream it is the whole state, and what a checkpoint stores.
  uint64_t position() const { return position_; }
  void seek(uint64_t position);

 private:
  uint64_t seed_;
  uint64_t stream_;
  uint64_t position_ = 0;
  uint64_t buffered_block_ = ~uint64_t{0};
  std::array<uint32_t, 4> buffer_{};
};

}  // namespace fettle
