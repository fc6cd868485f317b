// The ranks of one training job: processes that hold the same weights and share out every batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

namespace fettle {

// What ranks tell each other. Every rank calls the same functions in the same order. Sums are added in the order of the
// ranks, so a job gives the same bytes whatever the network does. While it waits a rank looks at the cancellation flag.
// Errors of every function: kInterrupted when the flag is set and the others do not answer any more (Ctrl-C, or the
// launcher's SIGTERM after another rank died), kFailed when the transport fails.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // `values` of all ranks have the same length, cut into one part for each rank: part r is [bounds[r], bounds[r + 1]).
  // Replaces this rank's own part by its sum over all ranks; the rest of `values` is left as it is.
  virtual void sum_parts(std::span<float> values, std::span<const int64_t> bounds) = 0;
  // The other way: every rank gets everybody's own part.
  virtual void gather_parts(std::span<float> values, std::span<const int64_t> bounds) = 0;
  // The bytes of all ranks one behind the other; they need not be as many everywhere. `sizes` gets how many each gave.
  virtual std::vector<std::byte> gather(std::span<const std::byte> mine, std::vector<int64_t>& sizes) = 0;
  // Ends the whole job, every rank of it, with this exit code.
  [[noreturn]] virtual void abort(int exit_code) = 0;

  // Sums over the ranks, in their order, of numbers of which each has as many.
  std::vector<double> sum(std::span<const double> mine);
  // What rank 0 has.
  double from_first(double mine);
  // Returns when every rank has called it.
  void barrier();
};

// Joins the job through MPI by the module fettle_mpi.so in one of these folders. At most once in a process; the
// destructor leaves the job. Error kFailed when there is no module (a build without MPI) or MPI cannot be started.
std::unique_ptr<Communicator> join_mpi(std::span<const std::filesystem::path> module_folders);

}  // namespace fettle
