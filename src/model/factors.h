// Matrices that are stored as factors, and layers that share their parameters: what config.json says of them, and how
// to get plain matrices back.
//
//   linear X of rank r         X.factor_in.weight [r, in], X.factor_out.weight [out, r], X.bias
//   table X of rank r          X.weight [rows, r], X.factor_out.weight [width, r]
//   linear X stacked under O   O.factor_in.weight [in_rank, in], X.core.weight [out_rank, in_rank],
//                              O.factor_out.weight [out, out_rank], X.bias
#pragma once

#include <string>
#include <string_view>

#include "model/model.h"

namespace fettle {

// Between the name of a linear or table and ".weight".
inline constexpr const char* kFactorIn = ".factor_in";
inline constexpr const char* kFactorOut = ".factor_out";
inline constexpr const char* kFactorCore = ".core";

// 0 for a matrix that is whole or stacked.
int64_t rank_of(const ModelConfig& config, std::string_view name);

// Reads the keys of factors and shared layers into a config whose other fields are there. kBadInput naming `where` and
// what is wrong: names that the model has no matrix of, ranks below 1 or above a side of the matrix, stacks of unequal
// matrices, layers that share with a later one or with one that has no parameters of its own, or with another width.
void parse_factors(const Json& json, ModelConfig& config, std::string_view where);
void write_factors(const ModelConfig& config, Json& json);
// The same checks of a config made here.
void check_factors(const ModelConfig& config, std::string_view where);

// The matrix of a linear or table [rows, columns], f32: decoded, and its factors multiplied.
Tensor whole_matrix(const Model& model, const std::string& name);
// Puts one whole matrix (dense) in the place of the factors of `name`. The factors of a stack stay while another linear
// uses them.
void make_whole(Model& model, const std::string& name);
// Every factored matrix whole again.
void merge_factors(Model& model);
// Every layer with parameters of its own again.
void unshare_layers(Model& model);

}  // namespace fettle
