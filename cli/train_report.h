// report.html of a training run.
#pragma once

#include <string>

#include "cli/app.h"
#include "evaluate/report.h"

namespace fettle::cli {

// The run's course: losses by step, accuracies by epoch (of masked-language modelling by step too).
Curve curve_of(const TrainResult& result, const std::string& name);

struct TrainReport {
  std::string path;  // empty: none is written
  std::string out;   // the model's folder
  std::string data;
  std::string eval;  // empty without evaluation

  // kUsage, before the work, when the file exists and --force was not given.
  void refuse_existing(const Globals& globals) const;
  // `model` has the run as the last step of its manifest.
  void write(const TrainResult& result, const Model& model, const Globals& globals) const;
};

}  // namespace fettle::cli
