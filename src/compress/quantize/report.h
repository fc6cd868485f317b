// What the report of every quantization method shares.
#pragma once

#include <string>

#include "compress/quantize/dynamic.h"

namespace fettle {

// Error of the decoded weights against the original ones.
LayerQuantization compare_encoding(const std::string& name, const Tensor& original, const EncodedTensor& encoded);
double parameters_mb(const Model& model);  // MiB as encoded
// Fills size_mb and bits_per_weight.
void finish_report(const Model& model, QuantizeReport& report);

}  // namespace fettle
