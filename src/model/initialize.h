// First values of parameters.
#pragma once

#include <string_view>

#include "tensor/encoding.h"

namespace fettle {

// Vectors named "….weight" (norms) are one, other vectors zero; matrices are normal(0, deviation) without what lies
// beyond two deviations, drawn from a stream that the name picks, so that no parameter depends on which others there
// are.
EncodedTensor initial_parameter(std::string_view name, const Shape& shape, double deviation, uint64_t seed);

}  // namespace fettle
