// Rounding by what goes in: GPTQ or learned rounding for every linear of a plan, layer after layer.
#pragma once

#include <string>
#include <vector>

#include "compress/quantize/gptq.h"
#include "compress/quantize/learned_rounding.h"
#include "compress/quantize/linear_inputs.h"
#include "compress/quantize/plan.h"

namespace fettle {

struct DataRounding {
  enum class Method { kGptq, kLearned };
  Method method = Method::kGptq;
  GptqOptions gptq;
  LearnedRoundingOptions learned;
  // The inputs of a layer are those that it has behind the layers that are rounded already; false: those of the model
  // as it was.
  bool sequential = true;
};

// Of one weight.
struct LayerRounding {
  std::string name;
  double damping = 0;        // that GPTQ needed
  double nearest_error = 0;  // relative error of its outputs on the calibration data, rounded to nearest
  double error = 0;          // and as it was rounded
  std::string remark;        // why it was rounded to nearest
};

struct DataRoundingReport {
  QuantizeReport report;  // in the order of the model's parameters
  std::vector<LayerRounding> layers;
};

// Carries a plan out. What is no linear (tables) and what has many zeros, which stay zeros, is rounded to nearest.
DataRoundingReport round_with_data(Model& model, const QuantizePlan& plan, const CalibrationRun& run,
                                   const DataRounding& options);

}  // namespace fettle
