// Blocks of working memory: aligned, zero-filled, and on large pages where they are large.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace fettle {

inline constexpr int64_t kBlockAlignment = 64;

// size_bytes >= 0 zero bytes, aligned to kBlockAlignment; fresh pages take no memory until they are touched. From 2 MiB
// on the kernel is asked for pages of that size: a pass over weights then looks up one address translation where it
// would look up 512, which on virtual machines costs more than the reading. Null when there is not enough memory.
std::shared_ptr<std::byte> allocate_block(int64_t size_bytes);

}  // namespace fettle
