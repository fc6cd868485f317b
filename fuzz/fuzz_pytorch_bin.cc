// Any bytes as a PyTorch file, and as a bare pickle, which mutation reaches more easily than one inside an archive.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/error.h"
#include "format/pytorch_bin.h"
#include "format/pytorch_layout.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

// Runs `read`, which may refuse its input but do nothing else wrong.
template <typename Read>
void attempt(Read read) {
  try {
    read();
  } catch (const fettle::Error& error) {
    require(error.code() == fettle::ErrorCode::kBadInput && std::strchr(error.what(), '\n') == nullptr);
  }
}

// Touches every byte, so that a sanitizer sees a view that reaches too far.
uint64_t sum_of_bytes(const fettle::Tensor& tensor) {
  uint64_t sum = 0;
  const auto* bytes = static_cast<const uint8_t*>(tensor.raw());
  for (int64_t i = 0; i < tensor.size_bytes(); ++i) sum += bytes[i];
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  attempt([&] {
    const fettle::PytorchFile file = fettle::PytorchFile::from_bytes(bytes, nullptr, "input");
    for (const std::string& name : file.names()) {
      attempt([&] {
        volatile uint64_t sum = sum_of_bytes(file.tensor(name));
        static_cast<void>(sum);
      });
    }
  });
  attempt([&] {
    fettle::PickleMachine machine(bytes, "input");
    const fettle::PickleValue root = machine.run();
    fettle::state_dict_entries(machine, root, "input");
  });
  return 0;
}
