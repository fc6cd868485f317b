// What a search may change: named parameters with their ranges or choices, read from JSON.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace fettle {

enum class ParameterKind : uint8_t { kFloat, kInt, kCategorical };

// What a verb lets be searched: the limits that a space must keep to, and for choices the type of their values.
struct Tunable {
  std::string name;
  bool is_number = true;
  bool whole = false;  // whole numbers only
  double low = 0;      // inclusive; of numbers
  double high = 0;
  std::vector<std::string> words;                  // otherwise: what is allowed; empty: anything
  void (*check)(std::string_view word) = nullptr;  // and an Error for a word that makes no sense
};

struct Parameter {
  std::string name;
  ParameterKind kind = ParameterKind::kFloat;
  bool logarithmic = false;
  double low = 0;  // inclusive
  double high = 0;
  std::vector<Json> choices;  // kCategorical: numbers or strings, no two alike

  int64_t n_choices() const { return static_cast<int64_t>(choices.size()); }
};

// Values stand in the order of the space: a float as it is, an integer as a whole number, a choice by its index.
using ParameterValues = std::vector<double>;

struct Space {
  std::vector<Parameter> parameters;

  size_t size() const { return parameters.size(); }
};

// {"epochs": {"type": "int", "low": 5, "high": 10}, "learning_rate": {"type": "float", "low": 1e-5, "high": 1e-3,
// "log": true}, "batch_size": {"type": "categorical", "choices": [16, 32]}}. "log" serves integers too. kBadInput
// naming `where` and the parameter: for a name that is not among `tunables` (and names those), for a type, range or
// choices that make no sense or leave the tunable's limits, for a key that means nothing, and for no parameter at all.
Space parse_space(const Json& json, std::span<const Tunable> tunables, std::string_view where);
Space read_space(const std::filesystem::path& path, std::span<const Tunable> tunables);
// The same form again.
Json space_to_json(const Space& space);

// {"epochs": 7, "alpha": 0.31, "student": "layers=0,2"}
Json values_to_json(const Space& space, const ParameterValues& values);
// Takes what values_to_json wrote; kBadInput naming `where` when it does not fit the space.
ParameterValues values_from_json(const Space& space, const Json& json, std::string_view where);
// "epochs 7, alpha 0.31, student layers=0,2"
std::string describe(const Space& space, const ParameterValues& values);
// One value as a person reads it.
std::string describe(const Parameter& parameter, double value);

// Numbers are searched in a space of their own, where all values are alike: logarithms where `logarithmic`, and an
// integer owns half a step to each side. These are its ends.
double search_low(const Parameter& parameter);
double search_high(const Parameter& parameter);
double to_search(const Parameter& parameter, double value);
// Rounds integers, and keeps to the range.
double from_search(const Parameter& parameter, double place);

}  // namespace fettle
