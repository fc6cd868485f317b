// Checkpoints of training: everything that an uninterrupted run would have in memory, written so that it appears whole
// or not at all.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "train/divergence.h"
#include "train/optimizer.h"
#include "train/trainer.h"

namespace fettle {

// Where a run stands. Random numbers are functions of (seed, epoch, step), so these counters are their whole state.
struct TrainState {
  int64_t step = 0;        // optimizer steps done
  int64_t epoch = 0;       // running epoch, from 0
  int64_t next_batch = 0;  // next micro batch of the epoch
  double loss_sum = 0;     // over the epoch's steps so far
  int64_t loss_steps = 0;
  double hits = 0;  // accuracy on training batches, where an objective measures it: over the epoch so far
  double trials = 0;
  double curve_loss = 0;  // since the last point of the curve
  int64_t curve_steps = 0;
  double curve_hits = 0;
  double curve_trials = 0;
  double best_accuracy = -1;
  int64_t epochs_without_gain = 0;
  DivergenceState divergence;
  bool finished = false;
  TrainResult result;  // counters, records, changes and curve so far
};

// What a checkpoint must agree on with the run that continues it; one flat object of strings and numbers.
struct CheckpointKey {
  Json values = Json::object();
  std::vector<std::string> may_differ;  // values that need not agree: a change is noted in the result
};

// Tensors (f32) that a hook keeps beside the slots.
using HookState = std::vector<std::pair<std::string, Tensor>>;

// `best` holds the best weights so far, one tensor for each slot, or is empty. Errors: kIo.
void write_checkpoint(const std::filesystem::path& folder, const CheckpointKey& key, const TrainState& state,
                      const std::vector<ParameterSlot>& slots, const std::vector<Tensor>& best,
                      const HookState& hook = {});

// Fills slots, best and the hook's tensors; nullopt when the folder has no checkpoint. kBadInput when it is malformed
// or was made with another key (naming the first value that differs).
std::optional<TrainState> read_checkpoint(const std::filesystem::path& folder, const CheckpointKey& key,
                                          std::vector<ParameterSlot>& slots, std::vector<Tensor>& best,
                                          const HookState& hook = {});

}  // namespace fettle
