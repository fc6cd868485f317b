// Gives kernels the stored parameters: encoded, to be packed, or dense.
#pragma once

#include <vector>

#include "graph/graph.h"
#include "runtime/executor.h"

namespace fettle {

class ParameterBinder {
 public:
  ParameterBinder(const Graph& graph, const Executor::ParameterLookup& lookup, const ExecutorOptions& options);

  // True for constants, and for parameters when they may be packed.
  bool is_constant(ValueId id) const;
  // The stored value of a parameter or constant, checked against its logical shape (kBadInput).
  const EncodedTensor& stored(ValueId id);
  // Returns `id`; a parameter or constant gets dense memory that dense() gives.
  ValueId dense_slot(ValueId id);
  // Data of a value that dense_slot() was asked for, else nullptr.
  const void* dense(ValueId id) const { return dense_[static_cast<size_t>(id)]; }
  int64_t dense_bytes() const { return dense_bytes_; }
  // After the last request: what the look-up refers to need not live on.
  void finish() { lookup_ = nullptr; }

 private:
  const Graph& graph_;
  Executor::ParameterLookup lookup_;
  const ExecutorOptions& options_;
  EncodedTensor constant_;          // what stored() gave last for a constant
  std::vector<const void*> dense_;  // by ValueId
  std::vector<Tensor> tensors_;     // keep the memory of dense_
  int64_t dense_bytes_ = 0;
};

// kBadInput naming the parameter when one of its values (or scales) is not finite, a scale is negative, or an integer
// is out of its encoding's range.
void check_values(std::string_view name, const EncodedTensor& value);
// The scales alone.
void check_scales(std::string_view name, const EncodedTensor& value);

}  // namespace fettle
