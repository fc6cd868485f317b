// Limits are remembered for the machine that they were measured on, and for no other.
#include "evaluate/machine_limits.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/scratch_folder.h"
#include "kernels/dispatch.h"

namespace fettle {
namespace {

const MachineKey kKey{"some processor", "0123", "1.0"};
const Roofline kLimits{.bandwidth_gb_s = 12.5, .peak_f32_gflops = 100, .peak_bf16_gflops = 900, .peak_int8_gops = 1800};

TEST(LimitsCache, KeepsAnEntryForEachTableAndNumberOfThreads) {
  const ScratchFolder scratch;
  const LimitsCache cache(scratch / "deep/er/machine.json", kKey);
  EXPECT_FALSE(cache.find("amx", 1));
  cache.store("amx", 1, kLimits);
  Roofline faster = kLimits;
  faster.bandwidth_gb_s = 25;
  cache.store("amx", 2, faster);
  cache.store("avx2", 1, kLimits);
  EXPECT_EQ(cache.find("amx", 1)->bandwidth_gb_s, 12.5);
  EXPECT_EQ(cache.find("amx", 2)->bandwidth_gb_s, 25);
  EXPECT_EQ(cache.find("avx2", 1)->peak_int8_gops, 1800);
  EXPECT_FALSE(cache.find("avx2", 2));
  cache.store("amx", 1, faster);
  EXPECT_EQ(cache.find("amx", 1)->bandwidth_gb_s, 25);
  EXPECT_EQ(cache.find("avx2", 1)->bandwidth_gb_s, 12.5);
}

TEST(LimitsCache, OfAnotherMachineOrVersionIsEmptyAndReplaced) {
  const ScratchFolder scratch;
  LimitsCache(scratch / "m.json", kKey).store("amx", 1, kLimits);
  for (const MachineKey& other : {MachineKey{"another", "0123", "1.0"}, MachineKey{"some processor", "4567", "1.0"},
                                  MachineKey{"some processor", "0123", "1.1"}}) {
    EXPECT_FALSE(LimitsCache(scratch / "m.json", other).find("amx", 1));
  }
  const MachineKey newer{"some processor", "0123", "1.1"};
  LimitsCache(scratch / "m.json", newer).store("amx", 2, kLimits);
  EXPECT_FALSE(LimitsCache(scratch / "m.json", newer).find("amx", 1));
  EXPECT_TRUE(LimitsCache(scratch / "m.json", newer).find("amx", 2));
}

TEST(LimitsCache, WhatCannotBeReadCountsAsNothing) {
  const ScratchFolder scratch;
  const LimitsCache cache(scratch / "m.json", kKey);
  cache.store("amx", 1, kLimits);
  const std::string good = read_file(scratch / "m.json");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  for (const std::string& text : {std::string(), std::string("{"), std::string("[]"), std::string("null"),
                                  with("12.5", "-1"), with("12.5", "1e300"), with("12.5", "\"fast\""),
                                  with("bandwidth_gb_s", "bandwidth"), with("\"threads\": 1", "\"threads\": \"1\""),
                                  with("\"limits\": [", "\"limits\": [7, null, "), std::string(size_t{2} << 20, ' ')}) {
    write_file(scratch / "m.json", text);
    const bool only_strangers = text.find("[7, null") != std::string::npos;
    EXPECT_EQ(cache.find("amx", 1).has_value(), only_strangers) << text.substr(0, 300);
  }
  cache.store("amx", 1, kLimits);
  EXPECT_TRUE(cache.find("amx", 1));
}

TEST(LimitsCache, WithoutAPlaceNothingIsKept) {
  const LimitsCache nowhere({}, kKey);
  nowhere.store("amx", 1, kLimits);
  EXPECT_FALSE(nowhere.find("amx", 1));
  const ScratchFolder scratch;
  write_file(scratch / "file", "");
  const LimitsCache blocked(scratch / "file/machine.json", kKey);
  blocked.store("amx", 1, kLimits);
  EXPECT_FALSE(blocked.find("amx", 1));
}

TEST(MachineLimits, AreMeasuredOnceUnlessAskedFor) {
  const ScratchFolder scratch;
  const LimitsCache cache(scratch / "m.json", machine_key("1"));
  const KernelTable& table = table_named("reference");
  const MachineLimits first = machine_limits(table, 1, cache);
  EXPECT_FALSE(first.from_cache);
  EXPECT_GT(first.roofline.bandwidth_gb_s, 0);
  const MachineLimits second = machine_limits(table, 1, cache);
  EXPECT_TRUE(second.from_cache);
  EXPECT_EQ(second.roofline.bandwidth_gb_s, first.roofline.bandwidth_gb_s);
  EXPECT_EQ(second.roofline.peak_int8_gops, first.roofline.peak_int8_gops);
  EXPECT_FALSE(machine_limits(table, 1, cache, true).from_cache);
  Roofline impossible = first.roofline;
  impossible.bandwidth_gb_s = 9e6;
  cache.store(table.name, 1, impossible);
  EXPECT_EQ(machine_limits(table, 2, cache).roofline.bandwidth_gb_s, 9e6);
  EXPECT_LT(machine_limits(table, 1, cache, true).roofline.bandwidth_gb_s, 9e6);
  EXPECT_EQ(machine_key("1"), machine_key("1"));
}

}  // namespace
}  // namespace fettle
