// The communicator over the MPI module.
#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/error.h"
#include "mpi/mpi_functions.h"
#include "train/parallel/communicator.h"

namespace fettle {
namespace {

constexpr const char* kModule = "fettle_mpi.so";
constexpr int64_t kFloat = sizeof(float);
// The lengths of MPI's messages are ints: longer ones go in pieces.
constexpr int64_t kPiece = int64_t{1} << 28;
// A wait spins for so many looks, then lets others run between looks, then sleeps between them.
constexpr int kSpins = 500;
constexpr int kYields = 5000;
constexpr auto kNap = std::chrono::microseconds(50);
// Ranks that are asked to end agree on where. One whose others are gone waits no longer than this, for launchers kill
// what has not ended a second after SIGTERM.
constexpr double kGrace_s = 0.4;

const FettleMpiFunctions* load_module(std::span<const std::filesystem::path> folders) {
  std::string why = "this build of fettle has none";
  for (const std::filesystem::path& folder : folders) {
    const std::filesystem::path path = folder / kModule;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) continue;
    void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (module == nullptr) {
      why = dlerror();
      continue;
    }
    const auto entry = reinterpret_cast<FettleMpiEntry>(dlsym(module, "fettle_mpi_functions"));
    const FettleMpiFunctions* functions = entry != nullptr ? entry(kFettleMpiVersion) : nullptr;
    if (functions != nullptr) return functions;
    why = path.string() + " is of another version";
  }
  failed("MPI", "started as one of several ranks, but the module for MPI cannot be used: " + why,
         "install Open MPI and build again, or start fettle without mpirun");
}

std::byte* bytes_at(std::span<float> values, int64_t index) {
  return reinterpret_cast<std::byte*>(values.data() + index);
}

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(const FettleMpiFunctions& mpi) : mpi_(mpi) { check(mpi_.start(&rank_, &size_), "start"); }
  // Without the others the end of MPI would wait for ever.
  ~MpiCommunicator() override {
    if (!broken_) mpi_.finish();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void sum_parts(std::span<float> values, std::span<const int64_t> bounds) override {
    const int64_t own = length(bounds, rank_);
    received_.resize(static_cast<size_t>(own * (size_ - 1)));
    for (int other = 0, place = 0; other < size_; ++other) {
      if (other != rank_) receive(bytes_at(received_, own * place++), own * kFloat, other);
    }
    for (int step = 1; step < size_; ++step) {
      const int other = (rank_ + step) % size_;
      send(bytes_at(values, bounds[static_cast<size_t>(other)]), length(bounds, other) * kFloat, other);
    }
    wait();
    add_in_order(values.data() + bounds[static_cast<size_t>(rank_)], own);
  }

  void gather_parts(std::span<float> values, std::span<const int64_t> bounds) override {
    for (int step = 1; step < size_; ++step) {
      const int from = (rank_ + size_ - step) % size_;
      receive(bytes_at(values, bounds[static_cast<size_t>(from)]), length(bounds, from) * kFloat, from);
      send(bytes_at(values, bounds[static_cast<size_t>(rank_)]), length(bounds, rank_) * kFloat,
           (rank_ + step) % size_);
    }
    wait();
  }

  std::vector<std::byte> gather(std::span<const std::byte> mine, std::vector<int64_t>& sizes) override {
    const auto own = static_cast<int64_t>(mine.size());
    sizes.assign(static_cast<size_t>(size_), own);
    for (int other = 0; other < size_; ++other) {
      if (other == rank_) continue;
      receive(reinterpret_cast<std::byte*>(&sizes[static_cast<size_t>(other)]), sizeof own, other);
      send(reinterpret_cast<const std::byte*>(&own), sizeof own, other);
    }
    wait();
    int64_t total = 0;
    for (const int64_t size : sizes) total += size;
    std::vector<std::byte> all(static_cast<size_t>(total));
    int64_t at = 0;
    for (int other = 0; other < size_; ++other) {
      const int64_t size = sizes[static_cast<size_t>(other)];
      if (other != rank_) {
        receive(all.data() + at, size, other);
        send(mine.data(), own, other);
      } else if (own > 0) {
        std::memcpy(all.data() + at, mine.data(), mine.size());
      }
      at += size;
    }
    wait();
    return all;
  }

  [[noreturn]] void abort(int exit_code) override {
    mpi_.abort(exit_code);
    std::_Exit(exit_code);
  }

 private:
  static int64_t length(std::span<const int64_t> bounds, int rank) {
    return bounds[static_cast<size_t>(rank) + 1] - bounds[static_cast<size_t>(rank)];
  }

  void check(int code, const char* what) {
    if (code == 0) return;
    broken_ = true;
    failed("MPI", fmt::format("{}: {}", what, mpi_.error_text(code)));
  }

  void send(const std::byte* data, int64_t size_bytes, int to) {
    for (int64_t at = 0; at < size_bytes; at += kPiece) {
      check(mpi_.send(data + at, static_cast<int>(std::min(kPiece, size_bytes - at)), to), "send");
    }
  }
  void receive(std::byte* data, int64_t size_bytes, int from) {
    for (int64_t at = 0; at < size_bytes; at += kPiece) {
      check(mpi_.receive(data + at, static_cast<int>(std::min(kPiece, size_bytes - at)), from), "receive");
    }
  }

  void wait() {
    Stopwatch since_cancel;
    bool is_cancelled = false;
    for (int looks = 0;; ++looks) {
      int done = 0;
      check(mpi_.test(&done), "wait");
      if (done != 0) return;
      if (cancel_requested() && !is_cancelled) {
        is_cancelled = true;
        since_cancel.restart();
      }
      if (is_cancelled && since_cancel.seconds() > kGrace_s) {
        broken_ = true;
        throw_if_cancelled();
      }
      if (looks > kYields) {
        std::this_thread::sleep_for(kNap);
      } else if (looks > kSpins) {
        std::this_thread::yield();
      }
    }
  }

  // own = ((rank 0 + rank 1) + rank 2) + …; this rank's summand lies where the sum goes.
  void add_in_order(float* own, int64_t n) const {
    constexpr int64_t kBlock = 4096;
    float sums[kBlock];
    for (int64_t begin = 0; begin < n; begin += kBlock) {
      const int64_t end = std::min(n, begin + kBlock);
      std::fill(sums, sums + (end - begin), 0.0f);
      for (int r = 0, place = 0; r < size_; ++r) {
        const float* from = r == rank_ ? own : received_.data() + n * place++;
        for (int64_t i = begin; i < end; ++i) sums[i - begin] += from[i];
      }
      std::copy(sums, sums + (end - begin), own + begin);
    }
  }

  const FettleMpiFunctions& mpi_;
  int rank_ = 0;
  int size_ = 1;
  bool broken_ = false;
  std::vector<float> received_;
};

}  // namespace

std::unique_ptr<Communicator> join_mpi(std::span<const std::filesystem::path> module_folders) {
  return std::make_unique<MpiCommunicator>(*load_module(module_folders));
}

}  // namespace fettle
