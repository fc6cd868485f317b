// A 64-bit checksum of bytes, as fast as memory gives them. It finds accidents and changes, not forgeries: whoever
// wants other bytes with the same checksum can make them (base/sha256.h is for that).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/thread_pool.h"

namespace fettle {

// The same for equal bytes on every little-endian machine and in every version, because files keep it. Bytes that
// differ in any way have another one, but for one pair in 2^64.
uint64_t checksum64(std::span<const std::byte> bytes);
// The same number, from all threads of the pool.
uint64_t checksum64(std::span<const std::byte> bytes, ThreadPool& pool);
uint64_t checksum64(std::string_view text);

}  // namespace fettle
