#include "runtime/packed_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/philox.h"
#include "base/scratch_folder.h"

namespace fettle {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::vector<std::byte> random_bytes(size_t n, uint64_t seed) {
  Philox random(seed, 2);
  std::vector<std::byte> bytes(n);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(256));
  return bytes;
}

struct Images {
  std::vector<std::vector<std::byte>> bytes = {random_bytes(64, 1), random_bytes(5000, 2), {}, random_bytes(8192, 3)};

  std::vector<PackedEntry> entries() const {
    std::vector<PackedEntry> all;
    for (const auto& image : bytes) {
      const auto i = static_cast<int64_t>(all.size());
      all.push_back({{"layer." + std::to_string(i) + ".weight\nlayer." + std::to_string(i) + ".bias\n",
                      {i + 1, 16},
                      "int8-channel, int8 products",
                      0xfedcba9876543210u + static_cast<uint64_t>(i)},
                     image,
                     checksum64(image)});
    }
    return all;
  }
};

// A file as text, taken apart.
struct Parts {
  explicit Parts(const std::string& text)
      : directory(parse_json(text.substr(24, size_of(text)), "directory")), images(text.substr(24 + size_of(text))) {}
  static size_t size_of(const std::string& text) {
    uint64_t size;
    std::memcpy(&size, text.data() + 8, sizeof size);
    return size;
  }
  // With a directory of the same length and a checksum that is right.
  std::string joined() const {
    std::string text = directory.dump();
    text.resize(4096 - 24, ' ');
    uint64_t words[2] = {text.size(), checksum64(text)};
    return "FETTLEPK" + std::string(reinterpret_cast<const char*>(words), sizeof words) + text + images;
  }

  Json directory;
  std::string images;
};

std::string written() {
  const ScratchFolder folder;
  write_packed_file(folder / "p", "avx2", 0x123456789abcdef0u, Images().entries());
  return read_file(folder / "p");
}

std::string error_of(const std::string& text) {
  try {
    PackedFile::from_bytes(std::as_bytes(std::span(text)), nullptr, "p");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    return error.what();
  }
  return "no error";
}

std::string error_after(const std::function<void(Json& directory)>& change) {
  Parts parts(written());
  change(parts.directory);
  return error_of(parts.joined());
}

TEST(PackedFile, GivesBackWhatWasWritten) {
  const ScratchFolder folder;
  const Images images;
  const std::vector<PackedEntry> entries = images.entries();
  write_packed_file(folder / "p", "avx2", 0x123456789abcdef0u, entries);
  const PackedFile file = PackedFile::open(folder / "p");
  EXPECT_EQ(file.table(), "avx2");
  EXPECT_EQ(file.packing(), 0x123456789abcdef0u);
  ASSERT_EQ(file.entries().size(), entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    const PackedEntry* entry = file.find(entries[i].source.name);
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->source, entries[i].source);
    EXPECT_EQ(entry->checksum, entries[i].checksum);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(entry->bytes.data()) % 64, 0u);
    EXPECT_TRUE(std::ranges::equal(entry->bytes, entries[i].bytes));
  }
  EXPECT_EQ(file.find("layer.9.weight\n"), nullptr);
}

TEST(PackedFile, HoldsNothingAndManyThings) {
  const ScratchFolder folder;
  write_packed_file(folder / "none", "amx", 0, {});
  EXPECT_TRUE(PackedFile::open(folder / "none").entries().empty());
  const std::vector<std::byte> image = random_bytes(100, 7);
  std::vector<PackedEntry> many;
  for (int i = 0; i < 700; ++i) many.push_back({{std::to_string(i), {1, 1}, "f32", 1}, image, checksum64(image)});
  write_packed_file(folder / "many", "amx", 1, many);
  const PackedFile file = PackedFile::open(folder / "many");
  ASSERT_EQ(file.entries().size(), 700u);
  for (const PackedEntry& entry : file.entries()) EXPECT_EQ(checksum64(entry.bytes), entry.checksum);
}

TEST(PackedFile, IsRefusedWhenCutOrLengthened) {
  const std::string text = written();
  for (size_t n = 0; n < text.size(); n += n < 5000 ? 1 : 97) {
    ASSERT_THAT(error_of(text.substr(0, n)), AllOf(HasSubstr("p: "), Not(HasSubstr("\n")))) << n;
  }
  EXPECT_THAT(error_of(text.substr(0, text.size() - 1)), HasSubstr("beyond the end"));
  EXPECT_THAT(error_of(text + "x"), HasSubstr("its images end at"));
}

TEST(PackedFile, IsRefusedWithAnyDamagedBitOfTheDirectory) {
  std::string text = written();
  ASSERT_EQ(error_of(text), "no error");
  for (size_t i = 0; i < 4096; ++i) {
    text[i] = static_cast<char>(text[i] ^ (1 << i % 8));
    ASSERT_NE(error_of(text), "no error") << i;
    text[i] = static_cast<char>(text[i] ^ (1 << i % 8));
  }
}

TEST(PackedFile, RefusesADirectoryThatDoesNotFit) {
  EXPECT_EQ(error_after([](Json&) {}), "no error");
  EXPECT_THAT(error_after([](Json& d) { d["format"] = 2; }), HasSubstr("is of format 2, not 1"));
  EXPECT_THAT(error_after([](Json& d) { d.erase("table"); }), HasSubstr("table"));
  EXPECT_THAT(error_after([](Json& d) { d["packing"] = "12"; }), HasSubstr("16 hexadecimal digits"));
  EXPECT_THAT(error_after([](Json& d) { d["packing"] = "123456789abcdefg"; }), HasSubstr("16 hexadecimal digits"));
  EXPECT_THAT(error_after([](Json& d) { d["size_bytes"] = 1; }), HasSubstr("its images end at"));
  EXPECT_THAT(error_after([](Json& d) { d["entries"] = 1; }), HasSubstr("has no \"entries\""));
  EXPECT_THAT(error_after([](Json& d) { d["entries"].push_back(3); }), HasSubstr("not an object"));
  EXPECT_THAT(error_after([](Json& d) { d = Json::array(); }), HasSubstr("not a JSON object"));
  const auto change_entry = [](const std::string& key, const Json& value) {
    return error_after([&](Json& d) { d["entries"][1][key] = value; });
  };
  EXPECT_THAT(change_entry("offset", 4096), HasSubstr("begins at"));
  EXPECT_THAT(change_entry("offset", -4096), HasSubstr("offset"));
  EXPECT_THAT(change_entry("offset", 0), HasSubstr("begins at"));
  EXPECT_THAT(change_entry("offset", INT64_MAX), HasSubstr("offset"));
  EXPECT_THAT(change_entry("size_bytes", INT64_MAX), HasSubstr("size_bytes"));
  EXPECT_THAT(change_entry("size_bytes", INT64_MAX / 2), HasSubstr("beyond the end"));
  EXPECT_THAT(change_entry("size_bytes", -1), HasSubstr("size_bytes"));
  EXPECT_THAT(change_entry("size_bytes", 1), HasSubstr("begins at"));  // then the next is not where it should be
  EXPECT_THAT(change_entry("shape", Json::array({1})), HasSubstr("shape"));
  EXPECT_THAT(change_entry("shape", Json::array({1, -1})), HasSubstr("size"));
  EXPECT_THAT(change_entry("checksum", 5), HasSubstr("checksum"));
  EXPECT_THAT(change_entry("source", nullptr), HasSubstr("source"));
  EXPECT_THAT(error_after([](Json& d) { d["entries"][2]["name"] = d["entries"][0]["name"]; }),
              HasSubstr("two images of the same parameters"));
}

TEST(PackedFile, RefusesWhatIsNoSuchFile) {
  const ScratchFolder folder;
  EXPECT_THROW(PackedFile::open(folder / "absent"), Error);
  EXPECT_THROW(PackedFile::open(folder.path()), Error);
  EXPECT_THAT(error_of(std::string(100000, 'x')), HasSubstr("is no file of packed weights"));
  std::string text = written();
  const uint64_t huge = UINT64_MAX;
  std::memcpy(text.data() + 8, &huge, sizeof huge);
  EXPECT_THAT(error_of(text), HasSubstr("longer than"));
}

}  // namespace
}  // namespace fettle
