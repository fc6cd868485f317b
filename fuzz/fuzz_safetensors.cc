// Any bytes as a safetensors file: refused as bad input, or read; and what was read, written and read again, is the
// same.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/os.h"
#include "format/safetensors.h"

namespace {

// What is written here need not survive a power cut.
class HastyOs : public fettle::Os {
 public:
  int fsync(int) override { return 0; }
};

void require(bool condition) {
  if (!condition) std::abort();
}

const std::filesystem::path& scratch_file() {
  static const std::filesystem::path path = [] {
    static HastyOs hasty;
    fettle::set_os(&hasty);
    const std::filesystem::path memory = "/dev/shm";
    const std::filesystem::path folder =
        std::filesystem::exists(memory) ? memory : std::filesystem::temp_directory_path();
    std::string name = (folder / "fettle-fuzz-XXXXXX").string();
    require(::mkdtemp(name.data()) != nullptr);
    std::atexit([] { std::filesystem::remove_all(scratch_file().parent_path()); });
    return std::filesystem::path(name) / "a.safetensors";
  }();
  return path;
}

bool same_bytes(const fettle::Tensor& a, const fettle::Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.size_bytes())) == 0;
}

void check_round_trip(const fettle::SafetensorsFile& file) {
  std::vector<fettle::NamedTensor> tensors;
  for (const std::string& name : file.names()) {
    try {
      tensors.push_back({name, file.tensor(name)});
    } catch (const fettle::Error& error) {
      require(error.code() == fettle::ErrorCode::kBadInput);  // an element type that Tensor does not have
    }
  }
  fettle::write_safetensors(scratch_file(), tensors, file.metadata());
  const fettle::SafetensorsFile again = fettle::SafetensorsFile::open(scratch_file());
  require(again.names().size() == tensors.size() && again.metadata() == file.metadata());
  for (const fettle::NamedTensor& item : tensors) require(same_bytes(again.tensor(item.name), item.tensor));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  scratch_file();
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    check_round_trip(fettle::SafetensorsFile::from_bytes(bytes, nullptr, "input"));
  } catch (const fettle::Error& error) {
    require(error.code() == fettle::ErrorCode::kBadInput && error.what()[0] != '\0' &&
            std::strchr(error.what(), '\n') == nullptr);
  }
  return 0;
}
