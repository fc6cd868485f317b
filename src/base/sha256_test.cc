#include "base/sha256.h"

#include <gtest/gtest.h>

#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/scratch_folder.h"

namespace fettle {
namespace {

std::string hash(std::string_view text) {
  return sha256_hex(std::as_bytes(std::span(text)));
}

// FIPS 180-2, appendix B, and the empty message.
TEST(Sha256, PublishedVectors) {
  EXPECT_EQ(hash(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hash(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, FileAndBytesAgree) {
  const ScratchFolder folder;
  write_file(folder / "empty", "");
  EXPECT_EQ(sha256_file(folder / "empty"), hash(""));
  std::string text;
  for (int i = 0; i < (17 << 20); ++i) text += static_cast<char>(i * 7 + i / 256);  // more than one chunk
  write_file(folder / "a", text);
  EXPECT_EQ(sha256_file(folder / "a"), hash(text));
  EXPECT_THROW(sha256_file(folder / "absent"), Error);
}

}  // namespace
}  // namespace fettle
