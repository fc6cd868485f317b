// Loops over arrays in vectors, with one body for whole vectors and for the last, partial one. V is a vector type of an
// instruction set (x86/vec8.h, x86/vec16.h, arm/vec4.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/vector/prefetch.h"

namespace fettle::vector {
namespace {

// Which lanes a load or store touches: all, or the first n (loads fill the rest with zeros).
struct AllLanes {};
struct FirstLanes {
  int64_t n;
};

// body(i, lanes) for every vector of [0, n).
template <typename V, typename Body>
inline void for_each_vector(int64_t n, Body&& body) {
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) body(i, AllLanes{});
  if (i < n) body(i, FirstLanes{n - i});
}

// Elements ahead of the present one that memory is asked for. The processor fetches ahead by itself, but not beyond a
// page, and so too late.
constexpr int64_t kFetchAhead = 1024;

// The same for long arrays in memory: fetch(j) is to fetch vector j of every array. Nothing beyond n is fetched, as it
// may be another thread's.
template <typename V, typename Fetch, typename Body>
inline void for_each_vector_fetching(int64_t n, Fetch&& fetch, Body&& body) {
  int64_t i = 0;
  for (; i + kFetchAhead + V::kWidth <= n; i += V::kWidth) {
    fetch(i + kFetchAhead);
    body(i, AllLanes{});
  }
  for_each_vector<V>(n - i, [&](int64_t j, auto lanes) { body(i + j, lanes); });
}

// Combines value(i, lanes) over [0, n) lane by lane, in four chains and a fixed order. Lanes beyond n must be `start`.
template <typename V, typename Value, typename Combine>
inline typename V::Float reduce_vectors(int64_t n, typename V::Float start, Value&& value, Combine&& combine) {
  typename V::Float r0 = start;
  typename V::Float r1 = start;
  typename V::Float r2 = start;
  typename V::Float r3 = start;
  int64_t i = 0;
  for (; i + 4 * V::kWidth <= n; i += 4 * V::kWidth) {
    r0 = combine(r0, value(i, AllLanes{}));
    r1 = combine(r1, value(i + V::kWidth, AllLanes{}));
    r2 = combine(r2, value(i + 2 * V::kWidth, AllLanes{}));
    r3 = combine(r3, value(i + 3 * V::kWidth, AllLanes{}));
  }
  for (; i + V::kWidth <= n; i += V::kWidth) r0 = combine(r0, value(i, AllLanes{}));
  if (i < n) r1 = combine(r1, value(i, FirstLanes{n - i}));
  return combine(combine(r0, r1), combine(r2, r3));
}

}  // namespace
}  // namespace fettle::vector
