// What loading and writing cost in resident memory: at most 1.1 times the weights, and no second copy.
#include <gtest/gtest.h>

#include <cstring>
#include <sstream>

#include "format/safetensors.h"
#include "format/tensor_store.h"
#include "format/test_zip.h"

namespace fettle {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kWeightBytes = 200 * kMiB;

// A line "FIELD:   123 kB" of a file of /proc/self, in bytes; -1 where the system has none.
int64_t proc_bytes(const std::string& file, const std::string& field) {
  std::istringstream lines(get_file("/proc/self/" + file));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(field + ":")) return std::stoll(line.substr(field.size() + 1)) * 1024;
  }
  return -1;
}
int64_t resident_bytes() {
  return proc_bytes("smaps_rollup", "Rss");
}

uint64_t touch(const TensorStore& store) {
  uint64_t sum = 0;
  for (const std::string& name : store.names()) {
    const Tensor& tensor = store.get(name);
    const auto* bytes = static_cast<const uint8_t*>(tensor.raw());
    for (int64_t i = 0; i < tensor.size_bytes(); i += 64) sum += bytes[i];
  }
  return sum;
}

std::vector<NamedTensor> large_tensors() {
  std::vector<NamedTensor> tensors;
  for (int i = 0; i < 10; ++i) {
    Tensor tensor(DType::kF32, {kWeightBytes / 40, 1});
    std::memset(tensor.raw_mutable(), 1 + i, static_cast<size_t>(tensor.size_bytes()));
    tensors.push_back({"layer." + std::to_string(i), tensor});
  }
  return tensors;
}

void expect_loading_is_mapping(const std::filesystem::path& path) {
  const int64_t before = resident_bytes();
  const TensorStore store = TensorStore::open(path);
  EXPECT_LT(resident_bytes() - before, 8 * kMiB) << "opening touches no data";
  EXPECT_GT(touch(store), 0u);
  const int64_t touched = resident_bytes() - before;
  testing::Test::RecordProperty("resident_over_weights_permille", static_cast<int>(touched * 1000 / kWeightBytes));
  EXPECT_LE(touched, kWeightBytes + kWeightBytes / 10);
  store.drop_pages();
  EXPECT_LT(resident_bytes() - before, kWeightBytes / 10 + 8 * kMiB) << "pages were given back";
}

void expect_writing_makes_no_copy(const std::filesystem::path& path) {
  const std::vector<NamedTensor> tensors = large_tensors();
  put_file("/proc/self/clear_refs", "5");  // resets VmHWM, the highest resident size
  const int64_t before = resident_bytes();
  write_safetensors(path, tensors);
  EXPECT_LT(proc_bytes("status", "VmHWM") - before, 16 * kMiB);
}

TEST(Memory, OfSafetensors) {
  if (kSanitized) GTEST_SKIP() << "sanitizers keep memory of their own";
  if (resident_bytes() < 0) GTEST_SKIP() << "the system has no /proc/self/smaps_rollup";
  const TestFolder folder;
  expect_writing_makes_no_copy(folder / "model.safetensors");
  expect_loading_is_mapping(folder.path());
}

}  // namespace
}  // namespace fettle
