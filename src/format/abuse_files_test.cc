// Replays the files of tests/abuse: each may be read or refused as bad input, nothing else.
#include <gtest/gtest.h>

#include "format/pytorch_bin.h"
#include "format/safetensors.h"
#include "format/test_files.h"

namespace fettle {
namespace {

template <typename File>
void replay(const std::string& target) {
  const std::filesystem::path folder = std::filesystem::path(FETTLE_SOURCE_DIR "/tests/abuse") / target;
  if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << "no file has broken this reader yet";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    SCOPED_TRACE(entry.path().filename().string());
    const auto [bytes, owner] = exact_block(get_file(entry.path()));
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
