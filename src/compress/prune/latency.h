// Structured pruning down to a latency: heads and neurons go by what they cost on this machine.
#pragma once

#include <string>

#include "compress/prune/structure.h"
#include "runtime/session.h"

namespace fettle {

struct LatencyTarget {
  double max_ms = 0;  // median, end to end
  std::string query;
  int64_t runs = 40;
  SessionOptions session;
};

// Medians of the whole model and of models with fewer heads or neurons everywhere, measured in turns.
struct TimeTable {
  double whole_ms = 0;
  double head_ms = 0;    // of one head
  double neuron_ms = 0;  // of one neuron
  double least_ms = 0;   // with one head, and as many neurons as the step, in each layer
};
TimeTable measure_times(const Model& model, int64_t neuron_step, const LatencyTarget& target);

struct LatencyResult {
  StructureResult structure;
  TimeTable times;
  double reached_ms = 0;
  int64_t attempts = 0;
};

// Removes the heads and neurons that matter least for the time they take, until the model answers within max_ms as
// measured. options.share and options.choice.cost are not read. Error kConstraints naming the least time that can be
// reached where that is more, and when the target was missed by noise in every attempt.
LatencyResult prune_to_latency(const Model& model, const Dataset& data, const StructureOptions& options,
                               const LatencyTarget& target);

}  // namespace fettle
