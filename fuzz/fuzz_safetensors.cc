// Any bytes as a safetensors file: refused as bad input, or read; and what was read, written and read again, is the
// same.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
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

// A folder of its own, in memory where the system has such a place.
class Scratch {
 public:
  Scratch() {
    fettle::set_os(&hasty_);
    const std::filesystem::path memory = "/dev/shm";
    const std::filesystem::path parent =
        std::filesystem::exists(memory) ? memory : std::filesystem::temp_directory_path();
    std::string name = (parent / "fettle-fuzz-XXXXXX").string();
    require(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
  }
  ~Scratch() {
    fettle::set_os(nullptr);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  std::filesystem::path file() const { return folder_ / "a.safetensors"; }

 private:
  HastyOs hasty_;
  std::filesystem::path folder_;
};

std::filesystem::path scratch_file() {
  static const Scratch scratch;
  return scratch.file();
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
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    check_round_trip(fettle::SafetensorsFile::from_bytes(bytes, nullptr, "input"));
  } catch (const fettle::Error& error) {
    require(error.code() == fettle::ErrorCode::kBadInput && error.what()[0] != '\0' &&
            std::strchr(error.what(), '\n') == nullptr);
  }
  return 0;
}
