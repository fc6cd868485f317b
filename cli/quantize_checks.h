// What `quantize` does around its methods: bits chosen under a budget, the gate on accuracy, and whether the result is
// faster at all.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "cli/app.h"
#include "compress/quantize/plan.h"
#include "model/model.h"

namespace fettle::cli {

struct QuantizeCommand;
struct QuantizeJob;
struct QuantizeOutcome;

// The options of all methods that have integers.
struct BudgetFlags {
  double max_mb = 0;
  double max_kl = 0;
  double max_drop = -1;  // below 0: no gate
  bool sensitivity = false;
  std::vector<int> mixed_bits = {8, 4, 3, 2};
  int64_t n_samples = 128;

  void add_to(CLI::App& verb);
  bool is_mixed() const { return max_mb > 0 || max_kl > 0; }
  bool has_gate() const { return max_drop >= 0; }
  bool reads_texts() const { return is_mixed() || sensitivity; }
  // kUsage for what is missing.
  void check(const QuantizeCommand& command) const;
  // As the flags say it, for the manifest.
  void record(Json& options, const QuantizeCommand& command) const;
};

// Chooses bits within the budget in the place of the scheme's own. Returns keys for the JSON and adds lines for people.
Json choose_bits(QuantizeJob& job, std::string& text);

// Divergence of each weight of the model alone, as it is stored: for layers[].kl.
std::map<std::string, double> measure_layers(const Model& model, const QuantizeJob& job,
                                             const QuantizeOutcome& outcome);

// Quality of the model before and after on --eval, with --max-drop after weights were given back. Returns keys for the
// JSON, an empty object without --eval and for models that do not give one label. kConstraints when the gate does not
// hold.
Json measure_change(Model& model, const QuantizeJob& job, QuantizeOutcome& outcome);

// One query's latency of the model and the one it was made of, side by side: "latency_ms", "latency_ms_before",
// "slower". Empty for a model without labels or tokenizer.
Json measure_speed(const Model& model, const QuantizeJob& job);

}  // namespace fettle::cli
