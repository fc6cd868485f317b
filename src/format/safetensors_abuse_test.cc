// Files that are damaged or lie: each must be refused in one line, or read as what it says.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "format/safetensors.h"
#include "format/safetensors_header.h"
#include "format/test_files.h"

namespace fettle {
namespace {

std::string with_header(const std::string& header, const std::string& data) {
  return little_endian(header.size(), 8) + header + data;
}

std::string tensor_entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

// {"x": …} over four bytes of data.
std::string one_tensor(const std::string& entry) {
  return with_header(R"({"x":)" + entry + "}", "abcd");
}

// Everything that reading the file can tell, as text; the Error when it is refused.
std::string outcome(const std::string& bytes) {
  const auto [block, owner] = exact_block(bytes);
  try {
    const SafetensorsFile file = SafetensorsFile::from_bytes(block, owner, "f");
    std::string text;
    for (const auto& [key, value] : file.metadata()) text += key + "=" + value + ";";
    for (const std::string& name : file.names()) {
      const Tensor& tensor = file.tensor(name);
      text += name + std::string(dtype_name(tensor.dtype())) + shape_to_string(tensor.shape());
      text.append(static_cast<const char*>(tensor.raw()), static_cast<size_t>(tensor.size_bytes()));
    }
    return text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput) << error.what();
    const std::string what = error.what();
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
    EXPECT_EQ(what.substr(0, 3), "f: ") << what;
    EXPECT_LT(what.size(), 400u) << what;
    return "refused: " + what;
  }
}

bool refused(const std::string& bytes) {
  return outcome(bytes).starts_with("refused: ");
}

std::string small_file() {
  const std::string header =
      R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
      R"("b":{"dtype":"BF16","shape":[2,1],"data_offsets":[4,8]},"c":{"dtype":"I8","shape":[0],"data_offsets":[8,8]}}  )";
  return with_header(header, "abcdefgh");
}

TEST(SafetensorsAbuse, EveryTruncationIsRefused) {
  const std::string whole = small_file();
  ASSERT_FALSE(refused(whole));
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_TRUE(refused(whole.substr(0, n))) << n;
}

TEST(SafetensorsAbuse, BytesAddedAnywhereNearTheEndAreRefused) {
  const std::string whole = small_file();
  for (size_t n = 1; n <= 9; ++n) EXPECT_TRUE(refused(whole + std::string(n, ' '))) << n;
}

// A flip in the data, a name or the metadata shows there; elsewhere the file is refused. Nothing else may happen.
TEST(SafetensorsAbuse, EveryBitFlipIsReadAsSuchOrRefused) {
  const std::string whole = small_file();
  const size_t data_begin = whole.size() - 8;
  size_t n_refused = 0;
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const std::string result = outcome(flipped);
    const bool is_refused = result.starts_with("refused");
    if (is_refused) ++n_refused;
    if (bit / 8 >= data_begin) {
      EXPECT_FALSE(is_refused) << bit;
    } else if (bit / 8 < 8) {
      EXPECT_TRUE(is_refused) << bit;
    }
  }
  EXPECT_GT(n_refused, whole.size() * 4);
}

TEST(SafetensorsAbuse, HeaderLengths) {
  const std::string whole = small_file();
  for (const uint64_t n :
       {uint64_t{0}, uint64_t{1}, uint64_t{whole.size() - 8}, uint64_t{whole.size() - 7}, uint64_t{100'000'001},
        uint64_t{1} << 63, std::numeric_limits<uint64_t>::max(), std::numeric_limits<uint64_t>::max() - 7}) {
    EXPECT_TRUE(refused(little_endian(n, 8) + whole.substr(8))) << n;
  }
}

TEST(SafetensorsAbuse, HeadersThatAreRefused) {
  const std::string good = tensor_entry("U8", "[4]", "[0,4]");
  ASSERT_FALSE(refused(one_tensor(good)));
  const std::string headers[] = {"",
                                 " ",
                                 " {}",
                                 "\n{}",
                                 "[]",
                                 "null",
                                 "\"x\"",
                                 "{",
                                 "}",
                                 "{}}",
                                 "{}x",
                                 "{},",
                                 "{}{}",
                                 "\xEF\xBB\xBF{}",
                                 std::string("{}\0", 3),
                                 std::string("{}\0{", 4),
                                 std::string("{\"x\0\":1}", 8),
                                 R"({"x\u0000":)" + good + "}",
                                 R"({"x":)" + good + ",}",
                                 R"({"x":)" + good + R"(,"x":)" + good + "}",
                                 R"({"x":)" + good + R"(,"\u0078":)" + good + "}",
                                 "{\"\xff\":" + good + "}",
                                 "{\"\xc0\x80\":" + good + "}",
                                 "{\"\xed\xa0\x80\":" + good + "}",
                                 R"({"\ud800":)" + good + "}",
                                 "{\"a\nb\":" + good + "}",
                                 "{'x':" + good + "}",
                                 "{/**/\"x\":" + good + "}",
                                 R"({"x":1})",
                                 R"({"x":null})",
                                 R"({"x":[]})",
                                 R"({"x":"F32"})",
                                 R"({"x":{}})",
                                 "{\"" + std::string(1025, 'n') + "\":" + good + "}"};
  for (const std::string& header : headers) {
    const bool has_data = header.find("[0,4]") != std::string::npos;
    EXPECT_TRUE(refused(with_header(header, has_data ? "abcd" : ""))) << header;
  }
}

TEST(SafetensorsAbuse, TrailingSpacesAreAllowed) {
  const std::string header = R"({"x":)" + tensor_entry("U8", "[4]", "[0,4]") + "}";
  EXPECT_EQ(outcome(with_header(header + std::string(100, ' '), "abcd")), outcome(with_header(header, "abcd")));
  EXPECT_EQ(outcome(with_header("{}", "")), "");
}

TEST(SafetensorsAbuse, MetadataThatIsRefused) {
  for (const char* value : {"1", "[]", "\"v\"", R"({"k":1})", R"({"k":null})", R"({"k":{}})", R"({"k":[]})",
                            R"({"k":"a","k":"b"})", R"({"k":true})", R"({"k\u0000":"a"})"}) {
    EXPECT_TRUE(refused(with_header(std::string(R"({"__metadata__":)") + value + "}", ""))) << value;
  }
  EXPECT_TRUE(refused(with_header(R"({"__metadata__":{},"__metadata__":{}})", "")));
  EXPECT_TRUE(refused(with_header(R"({"__metadata__":{")" + std::string(4097, 'k') + R"(":"v"}})", "")));
  EXPECT_FALSE(refused(with_header(R"({"__metadata__":null})", "")));
}

TEST(SafetensorsAbuse, EntriesThatAreRefused) {
  const std::string entries[] = {tensor_entry("u8", "[4]", "[0,4]"),
                                 tensor_entry("", "[4]", "[0,4]"),
                                 tensor_entry("F128", "[4]", "[0,4]"),
                                 tensor_entry("F32", "[4]", "[0,4]"),
                                 tensor_entry("F32", "[]", "[0,0]"),
                                 tensor_entry("U8", "[5]", "[0,4]"),
                                 tensor_entry("U8", "[-4]", "[0,4]"),
                                 tensor_entry("U8", "[-0]", "[0,0]"),
                                 tensor_entry("U8", "[4.0]", "[0,4]"),
                                 tensor_entry("U8", "[4e0]", "[0,4]"),
                                 tensor_entry("U8", "[18446744073709551616]", "[0,4]"),
                                 tensor_entry("U8", "[18446744073709551615]", "[0,4]"),
                                 tensor_entry("U8", "[4294967296,4294967296]", "[0,4]"),
                                 tensor_entry("U8", "[9223372036854775807,2]", "[0,4]"),
                                 tensor_entry("U8", "[281474976710657]", "[0,4]"),
                                 tensor_entry("F64", "[281474976710656,65536]", "[0,4]"),
                                 tensor_entry("U8", "[1,1,1,1,1,1,1,1,4]", "[0,4]"),
                                 tensor_entry("U8", "4", "[0,4]"),
                                 tensor_entry("U8", "[[4]]", "[0,4]"),
                                 tensor_entry("U8", "[\"4\"]", "[0,4]"),
                                 tensor_entry("U8", "[null]", "[0,4]"),
                                 tensor_entry("U8", "[true]", "[0,4]"),
                                 tensor_entry("U8", "{}", "[0,4]"),
                                 tensor_entry("U8", "[4]", "[4,0]"),
                                 tensor_entry("U8", "[4]", "[0,5]"),
                                 tensor_entry("U8", "[3]", "[1,4]"),
                                 tensor_entry("U8", "[3]", "[0,3]"),
                                 tensor_entry("U8", "[4]", "[0]"),
                                 tensor_entry("U8", "[4]", "[]"),
                                 tensor_entry("U8", "[4]", "[0,4,4]"),
                                 tensor_entry("U8", "[4]", "[-1,3]"),
                                 tensor_entry("U8", "[4]", "[0.0,4]"),
                                 tensor_entry("U8", "[4]", "[18446744073709551612,18446744073709551615]"),
                                 tensor_entry("U8", "[4]", "[9223372036854775804,9223372036854775807]"),
                                 tensor_entry("U8", "[4]", "{\"0\":4}"),
                                 tensor_entry("F4", "[9]", "[0,4]"),
                                 tensor_entry("F6_E2M3", "[5]", "[0,4]"),
                                 R"({"dtype":1,"shape":[4],"data_offsets":[0,4]})",
                                 R"({"dtype":["U8"],"shape":[4],"data_offsets":[0,4]})",
                                 R"({"shape":[4],"data_offsets":[0,4]})",
                                 R"({"dtype":"U8","data_offsets":[0,4]})",
                                 R"({"dtype":"U8","shape":[4]})",
                                 R"({"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]})",
                                 R"({"dtype":"U8","shape":[4],"shape":[4],"data_offsets":[0,4]})",
                                 R"({"dtype":"U8","shape":[4],"data_offsets":[0,4],"data_offsets":[0,4]})",
                                 R"({"DTYPE":"U8","shape":[4],"data_offsets":[0,4]})"};
  for (const std::string& entry : entries) EXPECT_TRUE(refused(one_tensor(entry))) << entry;
}

TEST(SafetensorsAbuse, OverlapsAndHoles) {
  const auto two = [](const char* a, const char* b, const char* shape_a, const char* shape_b) {
    return with_header(R"({"a":)" + tensor_entry("U8", shape_a, a) + R"(,"b":)" + tensor_entry("U8", shape_b, b) + "}",
                       "abcd");
  };
  EXPECT_FALSE(refused(two("[0,2]", "[2,4]", "[2]", "[2]")));
  EXPECT_FALSE(refused(two("[2,4]", "[0,2]", "[2]", "[2]"))) << "unsorted";
  EXPECT_FALSE(refused(two("[0,4]", "[4,4]", "[4]", "[0]")));
  EXPECT_FALSE(refused(two("[0,0]", "[0,4]", "[0]", "[4]")));
  EXPECT_TRUE(refused(two("[0,3]", "[2,4]", "[3]", "[2]"))) << "overlap";
  EXPECT_TRUE(refused(two("[0,4]", "[0,4]", "[4]", "[4]"))) << "twice the same bytes";
  EXPECT_TRUE(refused(two("[0,4]", "[2,2]", "[4]", "[0]"))) << "empty inside another";
  EXPECT_TRUE(refused(two("[0,1]", "[2,4]", "[1]", "[2]"))) << "hole";
  EXPECT_TRUE(refused(two("[0,2]", "[2,3]", "[2]", "[1]"))) << "bytes left over";
}

TEST(SafetensorsAbuse, NestingHasALimit) {
  const auto nested = [](size_t depth) {
    const std::string value = std::string(depth, '[') + std::string(depth, ']');
    return one_tensor(R"({"dtype":"U8","shape":[4],"data_offsets":[0,4],"more":)" + value + "}");
  };
  EXPECT_FALSE(refused(nested(60)));
  EXPECT_TRUE(refused(nested(62)));
  EXPECT_TRUE(refused(nested(1'000'000)));
}

TEST(SafetensorsAbuse, ManyTensorsTakeLinearTime) {
  std::string header = "{";
  constexpr int kTensors = 200'000;
  for (int i = 0; i < kTensors; ++i) {
    header += (i == 0 ? "\"" : ",\"") + std::to_string(i) +
              "\":" + tensor_entry("U8", "[1]", "[" + std::to_string(i) + "," + std::to_string(i + 1) + "]");
  }
  const auto [bytes, owner] = exact_block(with_header(header + "}", std::string(kTensors, 'x')));
  EXPECT_EQ(SafetensorsFile::from_bytes(bytes, owner, "f").names().size(), size_t{kTensors});
}

TEST(SafetensorsAbuse, TooManyMetadataKeys) {
  std::string header = R"({"__metadata__":{)";
  for (size_t i = 0; i <= kMaxMetadataKeys; ++i) header += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":\"\"";
  EXPECT_TRUE(refused(with_header(header + "}}", "")));
}

TEST(SafetensorsAbuse, NamesInErrorsFitOneLine) {
  const std::string result =
      outcome(one_tensor(tensor_entry("U8\\n\\u001b[31m" + std::string(1000, 'x'), "[4]", "[0,4]")));
  EXPECT_TRUE(result.starts_with("refused: f: tensor 'x': unknown element type 'U8??[31mxxx")) << result;
}

TEST(SafetensorsAbuse, ALargeFilePointerIsRecognized) {
  const std::string result = outcome("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
  EXPECT_NE(result.find("git lfs pull"), std::string::npos) << result;
}

TEST(SafetensorsAbuse, FilesThatAreNoFiles) {
  const TestFolder folder;
  EXPECT_EQ(error_of([&] { SafetensorsFile::open(folder / "absent"); })->code(), ErrorCode::kIo);
  EXPECT_EQ(error_of([&] { SafetensorsFile::open(folder.path()); })->code(), ErrorCode::kIo);
  EXPECT_EQ(error_of([&] { SafetensorsFile::open("/dev/zero"); })->code(), ErrorCode::kIo);
  put_file(folder / "empty", "");
  EXPECT_EQ(error_of([&] { SafetensorsFile::open(folder / "empty"); })->code(), ErrorCode::kBadInput);
}

}  // namespace
}  // namespace fettle
