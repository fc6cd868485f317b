// What is to become of each weight: the part that all methods of quantization share. A scheme makes a plan, a gate or a
// search for mixed precision changes it, a method (nearest, GPTQ, learned rounding, training) carries it out.
#pragma once

#include <map>
#include <string>

#include "compress/quantize/dynamic.h"
#include "model/model.h"

namespace fettle {

// By name of the weight. What is not in it stays as it is.
using QuantizePlan = std::map<std::string, Encoding>;

// The weights that the options reach, with their encodings: linears of the encoder, head and tables. Not those that
// are integers already.
QuantizePlan make_plan(const Model& model, const QuantizeOptions& options);

// How a linear of the encoder is encoded when it gets `bits` in place of options.bits: for mixed precision.
Encoding linear_encoding(const QuantizeOptions& options, int bits);

// kBadInput naming the first weight of the plan whose columns its groups don't divide. Such weights have a shorter
// group at the end of each row; other programs refuse that.
void require_whole_groups(const Model& model, const QuantizePlan& plan);

// Rounds every weight of the plan to the nearest integer. Biases and norms stay.
QuantizeReport apply_plan(Model& model, const QuantizePlan& plan);

}  // namespace fettle
