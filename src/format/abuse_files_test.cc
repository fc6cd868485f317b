// Replays the files of tests/abuse and the seeds of fuzz/corpus: each may be read or refused as bad input, nothing
// else.
#include <gtest/gtest.h>

#include <vector>

#include "format/pytorch_bin.h"
#include "format/safetensors.h"
#include "format/test_files.h"

namespace fettle {
namespace {

std::vector<std::filesystem::path> files_for(const std::string& target) {
  std::vector<std::filesystem::path> files;
  for (const char* folder : {"tests/abuse", "fuzz/corpus"}) {
    const std::filesystem::path path = std::filesystem::path(FETTLE_SOURCE_DIR) / folder / target;
    if (!std::filesystem::is_directory(path)) continue;
    for (const auto& entry : std::filesystem::directory_iterator(path)) files.push_back(entry.path());
  }
  return files;
}

template <typename File>
void replay(const std::string& target) {
  const std::vector<std::filesystem::path> files = files_for(target);
  EXPECT_FALSE(files.empty());
  for (const std::filesystem::path& path : files) {
    SCOPED_TRACE(path.string());
    const auto [bytes, owner] = exact_block(get_file(path));
    const std::optional<Error> error = error_of([&, bytes = bytes, owner = owner] {
      const File file = File::from_bytes(bytes, owner, "abuse");
      for (const std::string& name : file.names()) {
        const Tensor copy = file.tensor(name).clone();
        EXPECT_EQ(copy.shape(), file.tensor(name).shape());
      }
    });
    EXPECT_EQ(error ? error->code() : ErrorCode::kBadInput, ErrorCode::kBadInput);
  }
}

TEST(AbuseFiles, Safetensors) {
  replay<SafetensorsFile>("safetensors");
}
TEST(AbuseFiles, PytorchBin) {
  replay<PytorchFile>("pytorch_bin");
}

}  // namespace
}  // namespace fettle
