// Runs a graph: plans memory for its values, binds kernels to its nodes, and executes it on ragged inputs of any size.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "kernels/kernel_table.h"
#include "runtime/kernel_report.h"
#include "tensor/encoding.h"

namespace fettle {

class PackedStore;

// How products of f32 matrices are computed. Packed weights that are stored as bf16 are multiplied as bf16 in any case.
enum class Precision : uint8_t { kF32, kBF16 };

struct ExecutorOptions {
  ThreadPool* pool = nullptr;          // not owned
  const KernelTable* table = nullptr;  // dispatch.h
  Precision precision = Precision::kF32;
  bool reference = false;  // evaluate every node by its op's reference: the oracle
  // Parameters are constant: linears are packed once and dense copies are not kept. Otherwise (training) parameters
  // must be dense f32 and are read in place at every run, so that an optimizer may change them in between.
  bool pack_parameters = true;
  PackedStore* packed = nullptr;  // not owned; shared with other executors of the same parameters, table and precision
};

// Time and work of each node over all profiled runs.
struct NodeProfile {
  std::string op;
  std::string name;
  int64_t calls = 0;
  double total_ms = 0;
  double flops = 0;
  double bytes = 0;         // read and written
  double weight_bytes = 0;  // constants among them: what has to come from memory in every run
};

// Not thread safe: one executor per concurrent caller.
class Executor {
 public:
  // `parameter` gives the stored value of a parameter by name; the tensors' memory must outlive the executor unless
  // packed.
  using ParameterLookup = std::function<const EncodedTensor&(std::string_view name)>;
  Executor(const Graph& graph, const ParameterLookup& parameter, const ExecutorOptions& options);
  ~Executor();

  // Binds an input by name; the memory must stay valid until run() returns. Symbols get their values from the shapes
  // (kFailed when two inputs disagree). Extra names that the graph does not have are ignored, missing ones are an
  // error.
  void set_input(std::string_view name, const Tensor& value);
  void set_seed(uint64_t seed);
  void run();
  // Valid until the next run().
  Tensor output(std::string_view name) const;

  // Bytes of the plan for the last bound sizes, and of packed parameters.
  int64_t arena_bytes() const;
  int64_t packed_bytes() const;
  void set_profiling(bool on);
  // In the order in which the nodes run; empty when nothing was profiled.
  const std::vector<NodeProfile>& profile() const;
  // The kernel of each node, in the same order.
  const std::vector<KernelReport>& kernels() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fettle
