#include "format/pytorch_bin.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>
#include <vector>

#include "base/python_oracle.h"
#include "format/test_files.h"

namespace fettle {
namespace {

std::string hex_of(const Tensor& tensor) {
  const auto* bytes = static_cast<const uint8_t*>(tensor.raw());
  std::string text;
  for (int64_t i = 0; i < tensor.size_bytes(); ++i) text += fmt::format("{:02x}", bytes[i]);
  return text.empty() ? "-" : text;
}

std::string shape_text(const Shape& shape) {
  std::string text;
  for (const int64_t dimension : shape) text += (text.empty() ? "" : "x") + std::to_string(dimension);
  return shape.empty() ? "scalar" : text;
}

// As tests/oracle/write_torch_files.py writes NAME.expected.
std::string description(const PytorchFile& file) {
  std::string text;
  for (const std::string& name : file.names()) {
    const Tensor& tensor = file.tensor(name);
    text += fmt::format("{} {} {} {}\n", name, dtype_name(tensor.dtype()), shape_text(tensor.shape()), hex_of(tensor));
  }
  return text;
}

// One process writes all files, so one test reads them all.
TEST(PytorchFile, ReadsWhatPytorchWrites) {
  if (!python_has("torch")) GTEST_SKIP() << "python3-torch is not installed";
  const TestFolder folder;
  const PythonResult oracle = run_oracle("write_torch_files.py", folder.path().string());
  ASSERT_EQ(oracle.status, 0) << oracle.output;
  int n_read = 0, n_refused = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    std::filesystem::path path = entry.path();
    if (path.extension() != ".bin") continue;
    SCOPED_TRACE(path.filename().string());
    const std::filesystem::path reason = std::filesystem::path(path).replace_extension(".refused");
    if (std::filesystem::exists(reason)) {
      const std::optional<Error> error = error_of([&] { PytorchFile::open(path); });
      ASSERT_TRUE(error);
      EXPECT_EQ(error->code(), ErrorCode::kBadInput);
      EXPECT_NE(std::string(error->what()).find(get_file(reason)), std::string::npos) << error->what();
      EXPECT_NE(std::string(error->what()).find(path.string()), std::string::npos) << error->what();
      ++n_refused;
      continue;
    }
    const PytorchFile file = PytorchFile::open(path);
    EXPECT_EQ(description(file), get_file(std::filesystem::path(path).replace_extension(".expected")));
    file.drop_pages();
    EXPECT_EQ(description(file), get_file(std::filesystem::path(path).replace_extension(".expected")));
    ++n_read;
  }
  EXPECT_EQ(n_read, 24);
  EXPECT_EQ(n_refused, 17);
  EXPECT_FALSE(std::filesystem::exists(folder / "executed"));
  for (const char* name : {"zip_shared.bin", "legacy_shared.bin", "zip_deflated_shared.bin"}) {
    SCOPED_TRACE(name);
    const PytorchFile file = PytorchFile::open(folder / name);
    EXPECT_EQ(file.tensor("embeddings.weight").raw(), file.tensor("decoder.weight").raw());
    EXPECT_EQ(static_cast<const float*>(file.tensor("a").raw()) + 10,
              static_cast<const float*>(file.tensor("b").raw()));
  }
}

}  // namespace
}  // namespace fettle
