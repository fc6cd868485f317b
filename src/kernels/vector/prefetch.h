// Fetching memory into the caches before it is needed.
#pragma once

namespace fettle {

// Into all caches; into the second level and below; into all caches, to be written. Written as assembler because gcc 12
// takes a function that does nothing but __builtin_prefetch for one without effect and removes the calls.
#if defined(__aarch64__)
[[gnu::always_inline]] inline void prefetch_near(const void* p) {
  asm volatile("prfm pldl1keep, %0" : : "Q"(*static_cast<const char*>(p)));
}
[[gnu::always_inline]] inline void prefetch_far(const void* p) {
  asm volatile("prfm pldl2keep, %0" : : "Q"(*static_cast<const char*>(p)));
}
[[gnu::always_inline]] inline void prefetch_to_write(const void* p) {
  asm volatile("prfm pstl1keep, %0" : : "Q"(*static_cast<const char*>(p)));
}
#else
[[gnu::always_inline]] inline void prefetch_near(const void* p) {
  asm volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(p)));
}
[[gnu::always_inline]] inline void prefetch_far(const void* p) {
  asm volatile("prefetcht1 %0" : : "m"(*static_cast<const char*>(p)));
}
[[gnu::always_inline]] inline void prefetch_to_write(const void* p) {
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(p)));
}
#endif

}  // namespace fettle
