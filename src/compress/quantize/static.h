// Static quantization (techniques C4): one scale for all that a linear reads, measured beforehand on the user's texts.
#pragma once

#include "compress/quantize/calibration.h"
#include "compress/quantize/plan.h"

namespace fettle {

// Gives every linear of the plan that reads 8-bit integers the scale of its input instead of one a row. The weights are
// integers already. Returns how many weights got one.
int64_t set_input_scales(Model& model, const QuantizePlan& plan, const std::vector<InputScale>& scales);

// The weights of the plan that linears with 8-bit inputs have.
std::set<std::string> int8_linears(const QuantizePlan& plan);

}  // namespace fettle
