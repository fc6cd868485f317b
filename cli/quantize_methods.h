// The methods of `fettle quantize`, in groups: each group has a file of its own with its flags and what it does.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/app.h"
#include "cli/quantize_checks.h"
#include "cli/quantize_page.h"
#include "cli/quantize_scheme.h"
#include "compress/quantize/plan.h"
#include "train/trainer.h"

namespace fettle::cli {

// The options that all methods share.
struct QuantizeCommand {
  std::string model;
  std::string method = "dynamic";
  std::string data;       // to train on
  std::string calibrate;  // texts to run the model over; labels do not count
  std::string eval;       // the quality before and after is measured on these
  std::string out;
  SchemeFlags scheme;
  QuantizePageFlag page;
  BudgetFlags budget;
  DataFlags data_flags;
  ThresholdFlags threshold;
  const CLI::App* verb = nullptr;

  // Whether a flag ("--data") came from the command line, the environment or a file.
  bool is_given(const std::string& flag) const;
  // kUsage naming `flag` when it is not there.
  void require(const std::string& flag, const std::string& why) const;
  // With the label ids of `model`, texts of a model without labels too.
  Dataset load(const std::string& spec, const Model& model) const;
  // Texts whose labels do not count. kBadInput when there are none.
  Dataset load_texts(const std::string& spec) const;
};

// What a method is to do.
struct QuantizeJob {
  std::shared_ptr<const Model> original;
  QuantizeOptions options;  // of the scheme
  QuantizePlan plan;        // what becomes of each weight, to be carried out as it stands
  const QuantizeCommand& command;
  const Globals& globals;
};

// What a method did to the model.
struct QuantizeOutcome {
  QuantizeReport report;          // its layers are all weights that were encoded
  Json more = Json::object();     // other keys of the verb's JSON
  Json options = Json::object();  // of the method, for the manifest, named as the flags: {"damping": 0.01, …}
  std::string text;               // lines for people
  // Where weights are not those of the original (SmoothQuant, training): the model in float that was rounded, which a
  // weight that is taken back has its numbers from. Null: the original.
  std::shared_ptr<const Model> rounded;
  bool can_fall_back = true;  // whether a weight may have those numbers beside the others as they are now
  bool has_trained = false;   // then the step is in the manifest already
  TrainResult training;
};

class QuantizeGroup {
 public:
  virtual ~QuantizeGroup() = default;
  virtual std::vector<std::string> methods() const = 0;
  // The flags that only these methods take; each help text begins with their names ("gptq: damping …").
  virtual void add_to(CLI::App& verb) = 0;
  // The flags that `method` takes, of those, of the scheme's (SchemeFlags::flags) and of --data and --calibrate. The
  // verb refuses the others, since they would be ignored.
  virtual std::vector<std::string> flags_of(const std::string& method) const = 0;
  // What the scheme's flags mean with `method`; absent for one that has no integers. kUsage for what it cannot do.
  virtual std::optional<QuantizeOptions> scheme(const QuantizeCommand& command) const = 0;
  // kUsage for what does not go together; before anything is read.
  virtual void check(const QuantizeCommand& command) const = 0;
  // Quantizes `model`, which is the original, in place. Records nothing in the manifest but what training itself
  // records.
  virtual QuantizeOutcome run(Model& model, const QuantizeJob& job) = 0;
  // After the model was written: removes what only an interrupted run would still need.
  virtual void clean_up(const QuantizeCommand& /*command*/) const {}
};

// One row for each file.
std::unique_ptr<QuantizeGroup> make_scheme_group();      // quantize_scheme.cc: dynamic, rtn, bf16, f16
std::unique_ptr<QuantizeGroup> make_calibrated_group();  // quantize_calibrated.cc
std::unique_ptr<QuantizeGroup> make_training_group();    // quantize_training.cc: qat

}  // namespace fettle::cli
