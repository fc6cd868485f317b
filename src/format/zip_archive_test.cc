#include "format/zip_archive.h"

#include <gtest/gtest.h>

#include "format/test_zip.h"

namespace fettle {
namespace {

std::string content_of(const ZipArchive& archive, const std::string& name) {
  std::vector<std::byte> buffer;
  const std::span<const std::byte> content = archive.read(*archive.find(name), 1 << 20, buffer);
  return {reinterpret_cast<const char*>(content.data()), content.size()};
}

// Every member read; "refused" and why when the archive or a member is.
std::string outcome(const std::string& bytes) {
  const auto [block, owner] = exact_block(bytes);
  try {
    const ZipArchive archive(block, "z");
    std::string text;
    for (const ZipMember& member : archive.members())
      text += member.name + "=" + content_of(archive, member.name) + ";";
    return text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return std::string("refused: ") + error.what();
  }
}

const std::vector<TestMember> kMembers = {
    {"a/x", "hello"}, {"a/y", std::string(1000, 'y'), true}, {"a/empty", ""}, {"a/none", "", true}};
const std::string kExpected = "a/x=hello;a/y=" + std::string(1000, 'y') + ";a/empty=;a/none=;";

void put(std::string& text, size_t at, uint64_t value, size_t n_bytes) {
  text.replace(at, n_bytes, little_endian(value, n_bytes));
}

TEST(ZipArchive, ReadsStoredAndDeflated) {
  EXPECT_EQ(outcome(TestZip::of(kMembers).bytes()), kExpected);
  EXPECT_EQ(outcome(TestZip::of({}).bytes()), "");
}

TEST(ZipArchive, ReadsACommentThatLooksLikeAnEnd) {
  TestZip zip = TestZip::of(kMembers);
  zip.comment = "PK\x05\x06" + std::string(40, '\0') + "PK\x05\x06";
  EXPECT_EQ(outcome(zip.bytes()), kExpected);
}

TEST(ZipArchive, ReadsZip64) {
  TestZip zip = TestZip::of({{"a", "0123456789"}});
  std::string& entry = zip.entries[0];
  put(entry, 20, 0xFFFFFFFF, 4);
  put(entry, 24, 0xFFFFFFFF, 4);
  put(entry, 42, 0xFFFFFFFF, 4);
  put(entry, 30, 4 + 5 + 4 + 24, 2);
  entry += little_endian(0x4246, 2) + little_endian(5, 2) + "other" + little_endian(1, 2) + little_endian(24, 2) +
           little_endian(10, 8) + little_endian(10, 8) + little_endian(0, 8);
  const uint64_t begin = zip.locals[0].size(), end = begin + entry.size();
  zip.before_end = "PK\x06\x06" + little_endian(44, 8) + little_endian(45, 2) + little_endian(45, 2) +
                   little_endian(0, 8) + little_endian(1, 8) + little_endian(1, 8) + little_endian(entry.size(), 8) +
                   little_endian(begin, 8) + "PK\x06\x07" + little_endian(0, 4) + little_endian(end, 8) +
                   little_endian(1, 4);
  const std::string good = zip.bytes();
  EXPECT_EQ(outcome(good), "a=0123456789;");
  for (const uint64_t place : {end + 1, good.size(), uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 55}) {
    std::string bad = good;
    put(bad, end + 56 + 8, place, 8);
    EXPECT_TRUE(outcome(bad).starts_with("refused")) << place;
  }
  for (const size_t field : {32, 40, 48}) {
    for (const uint64_t value : {uint64_t{0}, uint64_t{1} << 60, ~uint64_t{0}}) {
      std::string bad = good;
      put(bad, end + field, value, 8);
      EXPECT_TRUE(outcome(bad).starts_with("refused")) << field << " " << value;
    }
  }
  for (const size_t field : {0, 8, 16}) {
    std::string bad = good;
    put(bad, end - 24 + field, ~uint64_t{0} - 20, 8);
    EXPECT_TRUE(outcome(bad).starts_with("refused")) << field;
  }
}

TEST(ZipArchive, EveryTruncationIsRefused) {
  const std::string whole = TestZip::of(kMembers).bytes();
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_TRUE(outcome(whole.substr(0, n)).starts_with("refused")) << n;
}

TEST(ZipArchive, EveryBitFlipIsReadOrRefused) {
  const std::string whole = TestZip::of(kMembers).bytes();
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    outcome(flipped);
  }
}

TEST(ZipArchive, RefusesWhatTwoReadersCouldUnderstandDifferently) {
  const auto refused_with = [](const TestZip& zip, const std::string& why) {
    const std::string result = outcome(zip.bytes());
    EXPECT_TRUE(result.starts_with("refused") && result.find(why) != std::string::npos) << why << ": " << result;
  };
  refused_with(TestZip::of({{"a", "x"}, {"a", "y"}}), "twice");
  refused_with(TestZip::of({{"", "x"}}), "malformed name");
  refused_with(TestZip::of({{std::string("a\0b", 3), "x"}}), "malformed name");
  TestZip zip = TestZip::of(kMembers);
  put(zip.entries[0], 42, 5, 4);
  refused_with(zip, "not where the directory says");
  zip = TestZip::of({{"a", "x"}, {"b", "y"}});
  zip.entries[1] = zip.entries[0];
  zip.entries[1].back() = 'b';
  refused_with(zip, "contradicts");
  zip = TestZip::of({{"outer", TestZip::of({{"inner", "z"}}).locals[0]}, {"inner", "z"}});
  put(zip.entries[1], 42, 30 + 5, 4);
  refused_with(zip, "overlaps");
  zip = TestZip::of(kMembers);
  put(zip.entries[0], 8, 1, 2);
  refused_with(zip, "encrypted");
  zip = TestZip::of(kMembers);
  put(zip.entries[0], 10, 12, 2);
  refused_with(zip, "other than deflate");
  zip = TestZip::of(kMembers);
  put(zip.entries[0], 34, 3, 2);
  refused_with(zip, "another disk");
  zip = TestZip::of(kMembers);
  put(zip.entries[0], 20, 4, 4);
  refused_with(zip, "two different sizes");
  zip = TestZip::of(kMembers);
  put(zip.entries[3], 20, 60'000, 4);
  refused_with(zip, "past the end");
  zip = TestZip::of(kMembers);
  zip.n_entries = 3;
  refused_with(zip, "left over");
  zip.n_entries = 60'000;
  refused_with(zip, "more than it can hold");
  zip = TestZip::of(kMembers);
  zip.before_end = "x";
  refused_with(zip, "not where its end record says");
}

TEST(ZipArchive, RefusesMembersThatUnpackToSomethingElse) {
  const auto with_size = [](uint64_t declared, uint64_t packed_change) {
    TestZip zip = TestZip::of({{"a", std::string(100'000, 'a'), true}, {"b", "b"}});
    put(zip.entries[0], 24, declared, 4);
    std::string& entry = zip.entries[0];
    put(entry, 20, static_cast<unsigned char>(entry[20]) + packed_change, 4);
    return outcome(zip.bytes());
  };
  EXPECT_TRUE(with_size(100'000, 0).starts_with("a=aaa"));
  EXPECT_NE(with_size(99'999, 0).find("declared size"), std::string::npos);
  EXPECT_NE(with_size(100'001, 0).find("declared size"), std::string::npos);
  EXPECT_NE(with_size(0, 0).find("declared size"), std::string::npos);
  EXPECT_NE(with_size(1'048'577, 0).find("100 times"), std::string::npos);
  TestZip zip = TestZip::of({{"a", std::string(100, 'a'), true}});
  zip.entries[0][16] ^= 1;
  EXPECT_NE(outcome(zip.bytes()).find("checksum"), std::string::npos);
}

TEST(ZipArchive, ReadingHasALimit) {
  const auto [bytes, owner] = exact_block(TestZip::of({{"a", "12345"}}).bytes());
  const ZipArchive archive(bytes, "z");
  std::vector<std::byte> buffer;
  EXPECT_EQ(archive.read(archive.members()[0], 5, buffer).size(), 5u);
  EXPECT_THROW(archive.read(archive.members()[0], 4, buffer), Error);
}

}  // namespace
}  // namespace fettle
