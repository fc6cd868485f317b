// What the methods of factorize share.
#pragma once

#include <string>

#include "compress/factorize/factorize.h"
#include "compress/factorize/spectrum.h"

namespace fettle {

std::string weight_name(const std::string& module);
// The float type that a matrix's numbers have, and its factors get: f32 for integers. `name` may have factors.
DType float_type(const Model& model, const std::string& name);
void set_matrix(Model& model, const std::string& module, const MatrixF& values, DType dtype);
MatrixF whole(const Model& model, const std::string& name);
void check_options(const FactorizeOptions& options);
// Replaces the matrix of a linear or table, whole or factored, by factors; `rank` stands in the config afterwards.
void forget_matrix(Model& model, const std::string& name);
double size_mb_of(const Model& model);

}  // namespace fettle
