// The machine's limits, measured once and remembered in a small file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "kernels/roofline.h"

namespace fettle {

// What the file's measurements hold for: processor, microcode and flags, and fettle's version.
struct MachineKey {
  std::string processor;
  std::string features;  // digest of model, stepping, microcode and flags
  std::string version;
  bool operator==(const MachineKey&) const = default;
};
MachineKey machine_key(std::string version);

// Measurements by kernel table and number of threads in one JSON file. Where the file cannot be read, is malformed, or
// is of another machine or version, it counts as empty; where it cannot be written, nothing is kept. Neither is an
// error.
class LimitsCache {
 public:
  // An empty path keeps nothing.
  LimitsCache(std::filesystem::path file, MachineKey key) : file_(std::move(file)), key_(std::move(key)) {}

  std::optional<Roofline> find(std::string_view table, int n_threads) const;
  // Replaces what was there for that table and number of threads.
  void store(std::string_view table, int n_threads, const Roofline& limits) const;
  const std::filesystem::path& file() const { return file_; }

 private:
  std::filesystem::path file_;
  MachineKey key_;
};

struct MachineLimits {
  Roofline roofline;
  bool from_cache = false;
};

// From the cache unless `anew`; measured (in less than half a second) and stored otherwise, several threads at no less
// than what the cache has for one.
MachineLimits machine_limits(const KernelTable& table, int n_threads, const LimitsCache& cache, bool anew = false);

}  // namespace fettle
