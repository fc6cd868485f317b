#include "base/cpu.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <thread>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace fettle {
namespace {

// The share of the machine that a container may use (cgroup v2 "QUOTA PERIOD" or "max PERIOD"), rounded up; 0 when
// unlimited.
int container_cores() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  long long quota_us = 0;
  long long period_us = 0;
  if (!(file >> quota_us >> period_us) || quota_us <= 0 || period_us <= 0) return 0;
  return static_cast<int>(std::min<long long>((quota_us + period_us - 1) / period_us, CPU_SETSIZE));
}

int usable_cores() {
  int n_cores = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0) n_cores = CPU_COUNT(&allowed);
  const int share = container_cores();
  if (share > 0) n_cores = std::min(n_cores, share);
  return std::max(n_cores, 1);
}

#if defined(__x86_64__)

struct CpuidWords {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// All zero for a leaf that the processor does not have.
CpuidWords cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  CpuidWords r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

bool bit(uint32_t word, int index) {
  return (word >> index & 1) != 0;
}

// Which register states the operating system saves (XCR0); 0 without XGETBV.
uint64_t saved_states() {
  if (!bit(cpuid(1).ecx, 27)) return 0;
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

// Linux gives the 8 KiB of tile data only to processes that ask.
bool request_tiles() {
#if defined(__linux__)
  constexpr int kArchReqXcompPerm = 0x1023;
  constexpr int kXfeatureXtiledata = 18;
  return ::syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureXtiledata) == 0;
#else
  return false;
#endif
}

std::string brand_string() {
  std::array<char, 49> text{};
  for (uint32_t i = 0; i < 3; ++i) {
    const CpuidWords words = cpuid(0x80000002 + i);
    std::memcpy(text.data() + 16 * i, &words, sizeof words);
  }
  std::string name(text.data());
  name.erase(0, name.find_first_not_of(' '));
  name.erase(name.find_last_not_of(' ') + 1);
  return name;
}

void detect_instructions(CpuFeatures& features) {
  constexpr uint64_t kAvxStates = 0x6;
  constexpr uint64_t kAvx512States = 0xe6;
  constexpr uint64_t kTileStates = 0x60000;
  const uint64_t states = saved_states();
  const CpuidWords basic = cpuid(1);
  const CpuidWords extended = cpuid(7);
  const CpuidWords extended1 = cpuid(7, 1);
  const bool fma_f16c = bit(basic.ecx, 12) && bit(basic.ecx, 29);

  features.avx2 = (states & kAvxStates) == kAvxStates && bit(extended.ebx, 5) && fma_f16c;
  features.avx512 = features.avx2 && (states & kAvx512States) == kAvx512States && bit(extended.ebx, 16) &&
                    bit(extended.ebx, 17) && bit(extended.ebx, 30) && bit(extended.ebx, 31);
  features.avx512_vnni = features.avx512 && bit(extended.ecx, 11);
  features.avx512_bf16 = features.avx512 && bit(extended1.eax, 5);
  const bool tiles = (states & kTileStates) == kTileStates && bit(extended.edx, 24) && request_tiles();
  features.amx_int8 = tiles && bit(extended.edx, 25);
  features.amx_bf16 = tiles && bit(extended.edx, 22);
  features.model_name = brand_string();
}

#else

void detect_instructions(CpuFeatures& features) {
#if defined(__aarch64__)
  features.neon = true;
#if defined(__linux__)
  constexpr unsigned long kHwcapAsimdDotProducts = 1ul << 20;
  features.neon_dot = (::getauxval(AT_HWCAP) & kHwcapAsimdDotProducts) != 0;
#endif
#endif
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) features.model_name = line.substr(colon + 2);
    if (!features.model_name.empty()) return;
  }
}

#endif

CpuFeatures detect() {
  CpuFeatures features;
  detect_instructions(features);
  if (features.model_name.empty()) features.model_name = "unknown processor";
  features.n_cores = usable_cores();
  return features;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

}  // namespace fettle
