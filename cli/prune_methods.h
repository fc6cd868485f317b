// The methods of `fettle prune`, in groups: each group has a file of its own with its flags and what it does.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/app.h"
#include "train/trainer.h"

namespace fettle::cli {

// The options that all methods share.
struct PruneCommand {
  std::string model;
  std::string method;
  std::string target_text;  // "" where it was not given
  std::string data;
  std::string eval;
  std::string out;
  bool distill = false;  // retrain with the unpruned model as the teacher
  double alpha = 0.5;
  double temperature = 2;
  DataFlags data_flags;
  TrainFlags train_flags;
  ThresholdFlags threshold;
  const CLI::App* verb = nullptr;

  // Whether a flag ("--data") came from the command line, the environment or a file.
  bool is_given(const std::string& flag) const;
  // The share to remove, in (0, 1): 0.4 or 40%. kUsage when there is none or it is not that.
  double target() const;
  // kUsage naming `flag` when it is not there.
  void require(const std::string& flag, const std::string& why) const;
  // Whether the user asked for training: --epochs or --max-steps above 0, with --data.
  bool trains() const;
  // With the label ids of `model`, texts of a model without labels too.
  Dataset load(const std::string& spec, const Model& model) const;
  TrainOptions train_options(const Globals& globals) const;
};

// What a method did to the model.
struct PruneOutcome {
  double sparsity = 0;            // share removed, of what the method removes
  Json removed = Json::object();  // {"heads": 24, …}: how many of each kind
  Json importance = Json::array();
  Json more = Json::object();     // other keys of the verb's JSON
  Json options = Json::object();  // of the method, for the manifest, named as the flags: {"target": 0.4, …}
  std::string text;               // lines for people
  // Of a method that trained the model itself; otherwise the verb retrains it behind the method when the user asks.
  std::optional<TrainResult> training;
};

class PruneGroup {
 public:
  virtual ~PruneGroup() = default;
  virtual std::vector<std::string> methods() const = 0;
  // The flags that only these methods take; each help text begins with their names ("layers: which ones …").
  virtual void add_to(CLI::App& verb) = 0;
  // The flags that `method` takes of those; the verb refuses the others, since they would be ignored.
  virtual std::vector<std::string> flags_of(const std::string& method) const = 0;
  // kUsage for what does not go together; before anything is read.
  virtual void check(const PruneCommand& command) const = 0;
  // Prunes `model`, which is `original` with dense or encoded parameters, in place. Records nothing in the manifest but
  // what training itself records.
  virtual PruneOutcome run(Model& model, const std::shared_ptr<const Model>& original, const PruneCommand& command,
                           const Globals& globals) = 0;
};

// One row for each file.
std::unique_ptr<PruneGroup> make_structure_group();  // prune_structure.cc: layers, heads, neurons, hidden
std::unique_ptr<PruneGroup>
make_weights_group();  // prune_weights.cc: magnitude, movement, soft-movement, l0, 2:4, block
std::unique_ptr<PruneGroup> make_vocabulary_group();  // prune_vocabulary.cc

}  // namespace fettle::cli
