// Where the machine's limits are remembered.
#include <cstdlib>
#include <filesystem>

#include "base/cpu.h"
#include "cli/app.h"
#include "kernels/dispatch.h"

namespace fettle::cli {

std::filesystem::path user_cache_folder() {
  const char* named = std::getenv("XDG_CACHE_HOME");
  if (named != nullptr && std::filesystem::path(named).is_absolute()) return named;
  const char* home = std::getenv("HOME");
  if (home == nullptr || !std::filesystem::path(home).is_absolute()) return {};
  return std::filesystem::path(home) / ".cache";
}

LimitsCache limits_cache() {
  const std::filesystem::path folder = user_cache_folder();
  return {folder.empty() ? folder : folder / "fettle" / "machine.json", machine_key(FETTLE_VERSION)};
}

MachineLimits limits_of(const Globals& globals, bool anew) {
  const int n_threads = globals.threads > 0 ? globals.threads : cpu_features().n_cores;
  return machine_limits(table_named(globals.isa), n_threads, limits_cache(), anew);
}

}  // namespace fettle::cli
