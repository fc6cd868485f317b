#include "format/safetensors.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "base/python_oracle.h"
#include "format/test_files.h"

namespace fettle {
namespace {

constexpr DType kAllDtypes[] = {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kI64,
                                DType::kI32, DType::kI16, DType::kI8,  DType::kU8,   DType::kBool};

Tensor counted(DType dtype, Shape shape) {
  Tensor tensor(dtype, std::move(shape));
  auto* bytes = static_cast<uint8_t*>(tensor.raw_mutable());
  for (int64_t i = 0; i < tensor.size_bytes(); ++i)
    bytes[i] = static_cast<uint8_t>(dtype == DType::kBool ? i % 2 : i * 7 + 1);
  return tensor;
}

std::vector<NamedTensor> one_of_each() {
  std::vector<NamedTensor> tensors;
  for (const DType dtype : kAllDtypes) {
    tensors.push_back({"t." + std::string(dtype_name(dtype)), counted(dtype, {3, 1, 5})});
    tensors.push_back({"scalar." + std::string(dtype_name(dtype)), counted(dtype, {})});
    tensors.push_back({"empty." + std::string(dtype_name(dtype)), counted(dtype, {2, 0})});
  }
  return tensors;
}

void expect_equal(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.shape(), b.shape());
  EXPECT_EQ(std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.size_bytes())), 0);
}

TEST(Safetensors, ReadsBackWhatItWrites) {
  const TestFolder folder;
  const std::vector<NamedTensor> tensors = one_of_each();
  const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"quote\"d", "line\nend \\ é"}};
  write_safetensors(folder / "a.safetensors", tensors, metadata);
  const SafetensorsFile file = SafetensorsFile::open(folder / "a.safetensors");
  EXPECT_EQ(file.metadata(), metadata);
  EXPECT_EQ(file.names().size(), tensors.size());
  for (const NamedTensor& item : tensors) {
    SCOPED_TRACE(item.name);
    ASSERT_TRUE(file.contains(item.name));
    expect_equal(file.tensor(item.name), item.tensor);
    EXPECT_FALSE(file.tensor(item.name).writable());
  }
  file.drop_pages();
  expect_equal(file.tensor("t.f32"), tensors[3].tensor);
}

TEST(Safetensors, TensorsOutliveTheFile) {
  const TestFolder folder;
  write_safetensors(folder / "a.safetensors", one_of_each());
  const Tensor kept = SafetensorsFile::open(folder / "a.safetensors").tensor("t.f32");
  std::filesystem::remove(folder / "a.safetensors");
  expect_equal(kept, counted(DType::kF32, {3, 1, 5}));
}

// Worked out by hand from the format's description and its reference writer's order.
TEST(Safetensors, WritesTheseBytes) {
  const TestFolder folder;
  const std::vector<NamedTensor> tensors = {{"b", Tensor::from({1.0f, -2.0f}, {2})},
                                            {"i", Tensor::from_i32({7}, {1, 1})},
                                            {"a", Tensor::from({0.5f}, {})},
                                            {"k", counted(DType::kBool, {3})},
                                            {"z", counted(DType::kI64, {1})}};
  write_safetensors(folder / "a.safetensors", tensors, {{"format", "pt"}});
  std::string header =
      R"({"__metadata__":{"format":"pt"},"z":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"F32","shape":[],"data_offsets":[8,12]},"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]},)"
      R"("i":{"dtype":"I32","shape":[1,1],"data_offsets":[20,24]},"k":{"dtype":"BOOL","shape":[3],"data_offsets":[24,27]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string expected = little_endian(header.size(), 8) + header;
  expected += std::string("\x01\x08\x0f\x16\x1d\x24\x2b\x32", 8) + std::string("\0\0\0\x3f", 4) +
              std::string("\0\0\x80\x3f\0\0\0\xc0", 8);
  expected += std::string("\x07\0\0\0", 4) + std::string("\0\x01\0", 3);
  EXPECT_EQ(get_file(folder / "a.safetensors"), expected);
}

TEST(Safetensors, BytesDoNotDependOnTheOrderGiven) {
  const TestFolder folder;
  std::vector<NamedTensor> tensors = one_of_each();
  write_safetensors(folder / "a", tensors);
  std::reverse(tensors.begin(), tensors.end());
  write_safetensors(folder / "b", tensors);
  EXPECT_EQ(get_file(folder / "a"), get_file(folder / "b"));
}

TEST(Safetensors, WritesAnEmptyFile) {
  const TestFolder folder;
  write_safetensors(folder / "a", {});
  EXPECT_EQ(get_file(folder / "a"), little_endian(8, 8) + "{}      ");
  EXPECT_TRUE(SafetensorsFile::open(folder / "a").names().empty());
}

TEST(Safetensors, PythonReadsTheSame) {
  if (!python_has("numpy")) GTEST_SKIP() << "python3-numpy is not installed";
  const TestFolder folder;
  std::vector<NamedTensor> tensors = one_of_each();
  write_safetensors(folder / "a", tensors, {{"format", "pt"}});
  std::sort(tensors.begin(), tensors.end(), [](const NamedTensor& a, const NamedTensor& b) { return a.name < b.name; });
  std::string expected = "metadata {\"format\": \"pt\"}\n";
  for (const NamedTensor& item : tensors) {
    std::string shape, bytes, dtype(dtype_name(item.tensor.dtype()));
    for (char& c : dtype) c = static_cast<char>(std::toupper(c));
    for (const int64_t dimension : item.tensor.shape()) shape += (shape.empty() ? "" : "x") + std::to_string(dimension);
    for (int64_t i = 0; i < item.tensor.size_bytes(); ++i) {
      bytes += fmt::format("{:02x}", static_cast<const uint8_t*>(item.tensor.raw())[i]);
    }
    expected += item.name + " " + dtype + " " + (item.tensor.rank() == 0 ? "scalar" : shape) + " " +
                (bytes.empty() ? "-" : bytes) + "\n";
  }
  const PythonResult oracle = run_oracle("read_safetensors.py", (folder / "a").string());
  EXPECT_EQ(oracle.status, 0);
  EXPECT_EQ(oracle.output, expected);
}

// A file by the format's own writer, rewritten: every byte must be the same.
TEST(Safetensors, RewritesARealFileToTheSameBytes) {
  const std::filesystem::path source =
      std::filesystem::path(FETTLE_SOURCE_DIR "/../shared/data/models/tinystories-656K-llama/model.safetensors");
  if (!std::filesystem::exists(source)) GTEST_SKIP() << "the shared test data are not here";
  const SafetensorsFile file = SafetensorsFile::open(source);
  std::vector<NamedTensor> tensors;
  for (const std::string& name : file.names()) tensors.push_back({name, file.tensor(name)});
  const TestFolder folder;
  write_safetensors(folder / "a", tensors, file.metadata());
  EXPECT_TRUE(get_file(folder / "a") == get_file(source));
}

TEST(Safetensors, CopiesDataThatTheFileDoesNotAlign) {
  const std::string header =
      R"({"u":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"f":{"dtype":"F32","shape":[2],"data_offsets":[3,11]}})";
  const float values[] = {1.25f, -8.0f};
  std::string bytes = little_endian(header.size(), 8) + header + "xyz" +
                      std::string(reinterpret_cast<const char*>(values), sizeof values);
  const TestFolder folder;
  put_file(folder / "a", bytes);
  const SafetensorsFile file = SafetensorsFile::open(folder / "a");
  EXPECT_EQ(file.names(), (std::vector<std::string>{"u", "f"}));
  const Tensor& tensor = file.tensor("f");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.raw()) % 4, 0u);
  EXPECT_EQ(std::vector<float>(tensor.floats().begin(), tensor.floats().end()), (std::vector<float>{1.25f, -8.0f}));
  EXPECT_EQ(&file.tensor("f"), &tensor);
  EXPECT_EQ(file.tensor("f").raw(), tensor.raw());
}

TEST(Safetensors, NamesAreInTheOrderOfTheData) {
  const std::string header =
      R"({"second":{"data_offsets":[2,3],"dtype":"U8","shape":[1]},"empty":{"shape":[0],"dtype":"F64","data_offsets":[2,2]},)"
      R"("first":{"dtype":"I8","later":{"x":[1,{}]},"shape":[2,1],"data_offsets":[0,2]}})";
  const auto [bytes, owner] = exact_block(little_endian(header.size(), 8) + header + "abc");
  const SafetensorsFile file = SafetensorsFile::from_bytes(bytes, owner, "memory");
  EXPECT_EQ(file.names(), (std::vector<std::string>{"first", "empty", "second"}));
  EXPECT_EQ(file.tensor("empty").size(), 0);
  EXPECT_EQ(file.data_bytes(), 3);
}

TEST(Safetensors, OtherTensorsOfAFileWithAnUnsupportedType) {
  const std::string header =
      R"({"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})";
  const auto [bytes, owner] = exact_block(little_endian(header.size(), 8) + header + "abc");
  const SafetensorsFile file = SafetensorsFile::from_bytes(bytes, owner, "memory");
  EXPECT_EQ(file.tensor("b").data<uint8_t>()[0], 'c');
  const std::optional<Error> error = error_of([&] { file.tensor("a"); });
  ASSERT_TRUE(error);
  EXPECT_EQ(std::string(error->what()), "memory: tensor 'a': element type F8_E4M3 is not supported");
}

TEST(Safetensors, ReadsFromSeveralThreads) {
  const TestFolder folder;
  const std::vector<NamedTensor> tensors = one_of_each();
  write_safetensors(folder / "a", tensors);
  const SafetensorsFile file = SafetensorsFile::open(folder / "a");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (const NamedTensor& item : tensors) expect_equal(file.tensor(item.name), item.tensor);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Safetensors, WriterRefusesWhatReadersWould) {
  const TestFolder folder;
  const Tensor x = Tensor::from({1.0f}, {1});
  const Tensor rank9 = x.reshaped({1, 1, 1, 1, 1, 1, 1, 1, 1});
  const std::vector<std::vector<NamedTensor>> bad = {{{"a", x}, {"a", x}},
                                                     {{"__metadata__", x}},
                                                     {{std::string(1025, 'n'), x}},
                                                     {{std::string("n\0m", 3), x}},
                                                     {{"\xff", x}},
                                                     {{"a", Tensor()}},
                                                     {{"a", rank9}}};
  for (const std::vector<NamedTensor>& tensors : bad) {
    SCOPED_TRACE(tensors[0].name.substr(0, 20));
    const std::optional<Error> error = error_of([&] { write_safetensors(folder / "a", tensors); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ErrorCode::kUsage);
  }
  EXPECT_TRUE(error_of([&] { write_safetensors(folder / "a", {}, {{"k", "\xc0\x80"}}); }));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace fettle
