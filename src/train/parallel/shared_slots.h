// The optimizer's state in a job of several ranks: all hold all of it, each updates a part.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/model.h"
#include "train/optimizer.h"
#include "train/parallel/communicator.h"

namespace fettle {

// Lays what the ranks exchange (gradients, weights, moments, averages of all slots but tables) in one piece of memory
// each. Parts are whole blocks of the optimizer. Of moments and averages only a rank's own part is up to date, until
// they are gathered (ZeRO, Rajbhandari et al. 2020, stage 1).
class SharedSlots {
 public:
  // Moves the slots' tensors there, and the model's parameters with them.
  SharedSlots(std::vector<ParameterSlot>& slots, Model& model, Communicator& ranks);

  Communicator& ranks() { return ranks_; }
  // Of all blocks those of this rank.
  std::vector<OptimizerBlock> own(std::span<const OptimizerBlock> blocks) const;
  // Every rank's numbers one behind the other.
  std::vector<double> gather(std::span<const double> mine);

  // Every call is one that all ranks make.
  void sum_gradients() { ranks_.sum_parts(values_of(accumulated_), bounds_); }
  void gather_weights() { ranks_.gather_parts(values_of(weights_), bounds_); }
  void gather_moments();
  void gather_averages();

 private:
  static std::span<float> values_of(Tensor& tensor) {
    return {tensor.mutable_data<float>(), static_cast<size_t>(tensor.size())};
  }

  Communicator& ranks_;
  std::vector<int64_t> block_bounds_;  // [ranks + 1]
  std::vector<int64_t> bounds_;        // [ranks + 1] in the pieces of memory
  Tensor weights_, accumulated_, m_, v_, averages_;
};

}  // namespace fettle
