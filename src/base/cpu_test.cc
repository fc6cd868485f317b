#include "base/cpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fettle {
namespace {

// What the kernel says, for comparison: the words of the line that begins with `key`.
std::vector<std::string> kernel_flags(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    return {std::istream_iterator<std::string>(words), {}};
  }
  return {};
}

#if defined(__aarch64__)

TEST(Cpu, AgreesWithTheKernel) {
  EXPECT_TRUE(cpu_features().neon);
  // An emulator shows the file of the machine that it runs on.
  const std::vector<std::string> flags = kernel_flags("Features");
  if (flags.empty()) GTEST_SKIP() << "no features of aarch64 in /proc/cpuinfo";
  EXPECT_EQ(cpu_features().neon_dot, std::find(flags.begin(), flags.end(), "asimddp") != flags.end());
}

#else

TEST(Cpu, AgreesWithTheKernel) {
  const std::vector<std::string> flags = kernel_flags("flags");
  if (flags.empty()) GTEST_SKIP() << "no flags in /proc/cpuinfo";
  const auto all = [&](std::vector<std::string> names) {
    return std::all_of(names.begin(), names.end(),
                       [&](const auto& name) { return std::find(flags.begin(), flags.end(), name) != flags.end(); });
  };
  const CpuFeatures& cpu = cpu_features();
  EXPECT_EQ(cpu.avx2, all({"avx2", "fma", "f16c"}));
  EXPECT_EQ(cpu.avx512, all({"avx512f", "avx512bw", "avx512dq", "avx512vl"}));
  EXPECT_EQ(cpu.avx512_vnni, all({"avx512_vnni"}) && cpu.avx512);
  EXPECT_EQ(cpu.avx512_bf16, all({"avx512_bf16"}) && cpu.avx512);
  // Tiles may be refused by a kernel or container that shows the flag, but never the reverse.
  EXPECT_TRUE(!cpu.amx_int8 || all({"amx_tile", "amx_int8"}));
  EXPECT_TRUE(!cpu.amx_bf16 || all({"amx_tile", "amx_bf16"}));
}

#endif

TEST(Cpu, NameAndCores) {
  EXPECT_FALSE(cpu_features().model_name.empty());
  EXPECT_GE(cpu_features().n_cores, 1);
  EXPECT_EQ(&cpu_features(), &cpu_features());
}

#if defined(__x86_64__)

struct TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t column_bytes[16] = {};
  uint8_t rows[16] = {};
};

__attribute__((target("amx-tile,amx-int8"))) int one_tile_product() {
  TileConfig config;
  for (int t = 0; t < 3; ++t) {
    config.rows[t] = 1;
    config.column_bytes[t] = 4;
  }
  _tile_loadconfig(&config);
  const int8_t a[4] = {1, 2, 3, 4};
  const int8_t b[4] = {5, 6, 7, -8};
  int32_t c = 100;
  _tile_loadd(0, &c, 4);
  _tile_loadd(1, a, 4);
  _tile_loadd(2, b, 4);
  _tile_dpbssd(0, 1, 2);
  _tile_stored(0, &c, 4);
  _tile_release();
  return c;
}

// Without the permission the first tile instruction ends the process.
TEST(Cpu, TilesMayBeUsedWhenReported) {
  if (!cpu_features().amx_int8) GTEST_SKIP() << "no AMX here";
  EXPECT_EQ(one_tile_product(), 100 + 5 + 12 + 21 - 32);
}

#endif

}  // namespace
}  // namespace fettle
