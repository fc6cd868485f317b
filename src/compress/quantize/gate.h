// The gate: a quantized model whose accuracy dropped by more than is allowed gets its most sensitive weights back, one
// by one and step by step, until it holds.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compress/quantize/sensitivity.h"
#include "evaluate/metrics.h"
#include "runtime/session_group.h"

namespace fettle {

// A weight that was widened.
struct Fallback {
  std::string name;
  std::string from;  // encodings
  std::string to;
  double kl = 0;  // with it alone as it was
};

struct GateOptions {
  double max_drop = 1;  // percentage points of accuracy below the original
  SessionOptions session;
  SensitivityOptions sensitivity;
  uint64_t seed = 0;  // of the interval
};

struct GateResult {
  double accuracy_before = 0;
  double accuracy = 0;
  PairedTest test;                  // against the original
  std::vector<Fallback> fallbacks;  // the most sensitive first
  int64_t n_evaluations = 0;
};

// The encoding that a weight falls back to: inputs scaled row by row instead of once for all, then a scale for each
// row, then more bits. Absent: as it was in float.
std::optional<Encoding> wider_encoding(const Encoding& encoding);

// Compares `model`, quantized, with `original` on `eval`. While the drop is above the limit, weights are taken from
// `rounded` (the model in float that was rounded to `model`) in wider encodings, or, where that is null, nothing can
// be done. Which weights: always the one that alone moves the answers of `rounded` most as it is stored now. As few as
// hold the gate are found by bisection. kConstraints naming the accuracy that was reached when none does.
GateResult hold_gate(Model& model, const Model* rounded, const std::shared_ptr<const Model>& original,
                     const Dataset& eval, const GateOptions& options);

}  // namespace fettle
