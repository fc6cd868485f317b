#include "train/distill/teacher_cache.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/scratch_folder.h"

namespace fettle {
namespace {

class TeacherCacheTest : public testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kOff); }
  void TearDown() override { set_log_level(LogLevel::kWarning); }

  TeacherEntry entry(const std::string& what, int64_t rows = 10, int64_t width = 3) const {
    return {.key = Json{{"what", what}, {"teacher", "abc"}}, .dtype = DType::kF32, .rows = rows, .width = width};
  }
  TeacherCache cache(int64_t limit_bytes = 1 << 20) {
    return TeacherCache({.folder = folder_ / "cache" / "teachers", .limit_bytes = limit_bytes}, pool_);
  }
  static std::vector<float> values(const TeacherEntry& entry) {
    std::vector<float> all(static_cast<size_t>(entry.rows * entry.width));
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<float>(i);
    return all;
  }
  // In two parts.
  static void put(TeacherCache& cache, const TeacherEntry& entry) {
    const std::vector<float> all = values(entry);
    const auto writer = cache.write(entry);
    ASSERT_NE(writer, nullptr);
    const size_t half = all.size() / 2;
    writer->write(all.data(), static_cast<int64_t>(half * sizeof(float)));
    writer->write(all.data() + half, static_cast<int64_t>((all.size() - half) * sizeof(float)));
    writer->commit();
  }

  // Without waiting for the disk.
  static void overwrite(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }

  ScratchFolder folder_;
  ThreadPool pool_{2};
};

TEST_F(TeacherCacheTest, GivesBackWhatWasPut) {
  TeacherCache one = cache();
  EXPECT_FALSE(one.find(entry("logits")).has_value());
  put(one, entry("logits"));
  const auto found = cache().find(entry("logits"));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->shape(), (Shape{10, 3}));
  const std::vector<float> expected = values(entry("logits"));
  EXPECT_EQ(std::memcmp(found->raw(), expected.data(), expected.size() * sizeof(float)), 0);
  EXPECT_FALSE(one.find(entry("hidden")).has_value());
}

// More than one block of the checksum.
TEST_F(TeacherCacheTest, LargeEntriesAndEmptyOnes) {
  TeacherCache one = cache(64 << 20);
  for (const TeacherEntry& each : {entry("large", 900'000, 3), entry("empty", 0, 3)}) {
    put(one, each);
    const auto found = one.find(each);
    ASSERT_TRUE(found.has_value());
    const std::vector<float> expected = values(each);
    ASSERT_EQ(found->size(), static_cast<int64_t>(expected.size()));
    if (!expected.empty()) {
      EXPECT_EQ(std::memcmp(found->raw(), expected.data(), expected.size() * sizeof(float)), 0);
    }
  }
}

TEST_F(TeacherCacheTest, EveryDamagedByteAndEveryCutIsFound) {
  TeacherCache one = cache();
  const TeacherEntry small = entry("logits", 4, 2);
  put(one, small);
  const std::filesystem::path path = one.path_of(small);
  const std::string good = read_file(path);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 4);
    overwrite(path, bad);
    ASSERT_FALSE(one.find(small).has_value()) << "byte " << i;
  }
  for (size_t size = 0; size < good.size(); ++size) {
    overwrite(path, good.substr(0, size));
    ASSERT_FALSE(one.find(small).has_value()) << size << " bytes";
  }
  overwrite(path, good + "x");
  EXPECT_FALSE(one.find(small).has_value());
  overwrite(path, good);
  EXPECT_TRUE(one.find(small).has_value());
}

TEST_F(TeacherCacheTest, AFileOfAnotherKeyIsNotTaken) {
  TeacherCache one = cache();
  put(one, entry("logits"));
  std::filesystem::copy(one.path_of(entry("logits")), one.path_of(entry("hidden")));
  EXPECT_FALSE(one.find(entry("hidden")).has_value());
  TeacherEntry other_shape = entry("logits");
  other_shape.rows = 15;
  other_shape.width = 2;
  EXPECT_FALSE(one.find(other_shape).has_value());
}

TEST_F(TeacherCacheTest, NothingIsSeenBeforeTheLastRow) {
  TeacherCache one = cache();
  {
    const auto writer = one.write(entry("logits"));
    const std::vector<float> all = values(entry("logits"));
    writer->write(all.data(), 12);
    EXPECT_THROW(writer->commit(), Error);
  }
  EXPECT_FALSE(one.find(entry("logits")).has_value());
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "cache" / "teachers"));
}

TEST_F(TeacherCacheTest, WhatWasNotUsedForLongestGoesFirst) {
  TeacherCache one = cache(3000);
  const auto of_1000 = [&](const std::string& name) { return entry(name, 70, 3); };  // 840 bytes and a header
  for (const char* name : {"a", "b", "c"}) {
    put(one, of_1000(name));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_TRUE(one.find(of_1000("a")).has_value());
  EXPECT_TRUE(one.make_room(900));
  EXPECT_TRUE(one.find(of_1000("a")).has_value());
  EXPECT_FALSE(one.find(of_1000("b")).has_value());
  EXPECT_TRUE(one.find(of_1000("c")).has_value());
  EXPECT_FALSE(one.make_room(3001));
  EXPECT_TRUE(one.find(of_1000("c")).has_value()) << "removed for what does not fit anyway";
}

TEST_F(TeacherCacheTest, AFolderThatCannotBeMadeIsNoCache) {
  write_file(folder_ / "file", "");
  TeacherCache none({.folder = folder_ / "file" / "cache"}, pool_);
  EXPECT_FALSE(none.is_on());
  EXPECT_FALSE(none.find(entry("logits")).has_value());
  EXPECT_EQ(none.write(entry("logits")), nullptr);
  EXPECT_FALSE(none.make_room(1));
}

}  // namespace
}  // namespace fettle
