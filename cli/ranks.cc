#include "cli/ranks.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"

namespace fettle::cli {
namespace {

// What Open MPI, other process managers and Slurm tell the processes that they start.
constexpr const char* kSizeVariables[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE"};
// Mostly an error is met by all ranks at once. The first says it; the others only when it has none.
constexpr auto kFirstRankFirst = std::chrono::seconds(3);

int launched_size() {
  for (const char* name : kSizeVariables) {
    const char* value = std::getenv(name);
    if (value != nullptr) return std::atoi(value);
  }
  return 0;
}

// Beside the program, or where it is installed.
std::vector<std::filesystem::path> module_folders() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return {};
  const std::filesystem::path folder = program.parent_path();
  return {folder, folder.parent_path() / "lib" / "fettle"};
}

}  // namespace

int run_with_ranks(Globals& globals, const std::function<int(Communicator*)>& verb) {
  if (launched_size() <= 1) return verb(nullptr);
  const std::unique_ptr<Communicator> ranks = join_mpi(module_folders());
  if (ranks->rank() > 0) {
    globals.quiet = true;
    set_progress_style(ProgressStyle::kNone);
    set_log_level(LogLevel::kOff);
  }
  try {
    const int exit_code = verb(ranks.get());
    ranks->barrier();
    return exit_code;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInterrupted) {
      if (ranks->rank() == 0) throw;
      return static_cast<int>(error.code());
    }
    if (ranks->rank() > 0) std::this_thread::sleep_for(kFirstRankFirst);
    const std::string where = ranks->rank() > 0 ? fmt::format("rank {}: ", ranks->rank()) : "";
    std::cerr << "fettle: " << where << error.what() << std::endl;
    ranks->abort(static_cast<int>(error.code()));
    throw;
  }
}

bool leaves_to_first(Communicator* ranks) {
  if (ranks == nullptr) return false;
  ranks->barrier();
  return ranks->rank() > 0;
}

}  // namespace fettle::cli
