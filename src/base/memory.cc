#include "base/memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <limits>

namespace fettle {
namespace {

constexpr size_t kLargePage = size_t{2} << 20;

// The sanitizers watch only what comes from malloc.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kMapsBlocks = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool kMapsBlocks = false;
#else
constexpr bool kMapsBlocks = true;
#endif
#else
constexpr bool kMapsBlocks = true;
#endif

// Begins where a large page may begin: more is mapped, and what sticks out on both sides given back.
std::shared_ptr<std::byte> map_block(size_t size) {
  const size_t reserved = size + kLargePage;
  void* mapped = ::mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* first = static_cast<std::byte*>(mapped);
  const size_t before = (kLargePage - reinterpret_cast<uintptr_t>(mapped) % kLargePage) % kLargePage;
  std::byte* data = first + before;
  if (before > 0) ::munmap(first, before);
  if (before < kLargePage) ::munmap(data + size, kLargePage - before);
  ::madvise(data, size, MADV_HUGEPAGE);  // a wish; small pages serve as well
  return std::shared_ptr<std::byte>(data, [size](std::byte* p) { ::munmap(p, size); });
}

}  // namespace

std::shared_ptr<std::byte> allocate_block(int64_t size_bytes) {
  constexpr size_t kPage = 4096;
  constexpr auto kMost = static_cast<size_t>(std::numeric_limits<int64_t>::max() / 2);
  const auto size = static_cast<size_t>(size_bytes);
  if (size > kMost) return nullptr;
  if (kMapsBlocks && size >= kLargePage) return map_block((size + kPage - 1) / kPage * kPage);
  const size_t rounded = (size / kBlockAlignment + 1) * kBlockAlignment;
  auto* data = static_cast<std::byte*>(std::aligned_alloc(kBlockAlignment, rounded));
  if (data == nullptr) return nullptr;
  std::memset(data, 0, rounded);
  return std::shared_ptr<std::byte>(data, [](std::byte* p) { std::free(p); });
}

}  // namespace fettle
