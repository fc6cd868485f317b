// Casting parameters to a 16-bit float type: half the size, no calibration.
#pragma once

#include "compress/quantize/dynamic.h"

namespace fettle {

// Stores every dense parameter as `dtype` (kBF16 or kF16). The report lists the rank-2 ones.
QuantizeReport cast_parameters(Model& model, DType dtype);

}  // namespace fettle
