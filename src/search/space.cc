#include "search/space.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/printable.h"

namespace fettle {
namespace {

constexpr double kHalfStep = 0.5;
constexpr double kLargestWhole = 9007199254740992.0;  // 2^53: above, doubles skip whole numbers

std::string number(double value) {
  return fmt::format("{:g}", value);
}

const Tunable& find_tunable(std::string_view name, std::span<const Tunable> tunables, std::string_view where) {
  std::string known;
  for (const Tunable& tunable : tunables) {
    if (tunable.name == name) return tunable;
    known += (known.empty() ? "" : ", ") + tunable.name;
  }
  bad_input(std::string(where), "'" + printable(name) + "' cannot be searched", "one of: " + known);
}

void check_keys(const Json& json, std::initializer_list<std::string_view> allowed, const std::string& where) {
  for (const auto& [key, value] : json.items()) {
    if (std::find(allowed.begin(), allowed.end(), key) != allowed.end()) continue;
    std::string list;
    for (std::string_view name : allowed) list += (list.empty() ? "" : ", ") + std::string(name);
    bad_input(where, "has no use for '" + printable(key) + "'", "it takes: " + list);
  }
}

void check_limits(const Tunable& tunable, double low, double high, const std::string& where) {
  if (low >= tunable.low && high <= tunable.high) return;
  bad_input(where, fmt::format("{} to {} leaves what is possible: {} to {}", number(low), number(high),
                               number(tunable.low), number(tunable.high)));
}

Parameter parse_range(const Json& json, const Tunable& tunable, bool whole, const std::string& where) {
  check_keys(json, {"type", "low", "high", "log"}, where);
  if (!tunable.is_number) bad_input(where, "is not a number", "use \"type\": \"categorical\" with \"choices\"");
  if (tunable.whole && !whole) bad_input(where, "takes whole numbers only", "use \"type\": \"int\"");
  Parameter parameter;
  parameter.name = tunable.name;
  parameter.kind = whole ? ParameterKind::kInt : ParameterKind::kFloat;
  parameter.low = json_number(json, "low", where);
  parameter.high = json_number(json, "high", where);
  parameter.logarithmic = json_bool_or(json, "log", false, where);
  const auto is_whole = [](double v) { return v == std::floor(v) && std::abs(v) <= kLargestWhole; };
  if (whole && (!is_whole(parameter.low) || !is_whole(parameter.high))) {
    bad_input(where, "low and high must be whole numbers");
  }
  if (parameter.low > parameter.high) {
    bad_input(where, fmt::format("low {} is above high {}", number(parameter.low), number(parameter.high)));
  }
  if (parameter.low == parameter.high) {
    bad_input(where, fmt::format("the range is empty: low and high are both {}", number(parameter.low)),
              "leave it out of the space and give the option instead");
  }
  if (parameter.logarithmic && parameter.low <= 0) {
    bad_input(where, fmt::format("a logarithmic range must begin above 0, not at {}", number(parameter.low)));
  }
  check_limits(tunable, parameter.low, parameter.high, where);
  return parameter;
}

void check_word(const std::string& word, const Tunable& tunable, const std::string& where) {
  if (tunable.check == nullptr) return;
  try {
    tunable.check(word);
  } catch (const Error& error) {
    bad_input(where, error.what());
  }
}

void check_choice(const Json& choice, const Tunable& tunable, const std::string& where) {
  if (!tunable.is_number) {
    if (!choice.is_string()) bad_input(where, "choices must be strings");
    const auto& words = tunable.words;
    const auto word = choice.get<std::string>();
    if (words.empty() || std::find(words.begin(), words.end(), word) != words.end()) {
      check_word(word, tunable, where);
      return;
    }
    std::string list;
    for (const std::string& each : words) list += (list.empty() ? "" : ", ") + each;
    bad_input(where, "'" + printable(word) + "' is no choice", "one of: " + list);
  }
  if (!choice.is_number()) bad_input(where, "choices must be numbers");
  const auto value = choice.get<double>();
  if (tunable.whole && value != std::floor(value)) bad_input(where, "choices must be whole numbers");
  check_limits(tunable, value, value, where);
}

Parameter parse_choices(const Json& json, const Tunable& tunable, const std::string& where) {
  check_keys(json, {"type", "choices"}, where);
  Parameter parameter;
  parameter.name = tunable.name;
  parameter.kind = ParameterKind::kCategorical;
  const auto choices = json.find("choices");
  if (choices == json.end() || !choices->is_array() || choices->empty()) {
    bad_input(where, "needs \"choices\", a list of at least one value");
  }
  for (const Json& choice : *choices) {
    check_choice(choice, tunable, where);
    if (std::find(parameter.choices.begin(), parameter.choices.end(), choice) != parameter.choices.end()) {
      bad_input(where, "has the choice " + printable(choice.dump()) + " twice");
    }
    parameter.choices.push_back(choice);
  }
  return parameter;
}

double value_from_json(const Parameter& parameter, const Json& json, const std::string& where) {
  if (parameter.kind == ParameterKind::kCategorical) {
    const auto found = std::find(parameter.choices.begin(), parameter.choices.end(), json);
    if (found == parameter.choices.end()) bad_input(where, "is none of the choices");
    return static_cast<double>(found - parameter.choices.begin());
  }
  if (!json.is_number()) bad_input(where, "is not a number");
  const auto value = json.get<double>();
  const bool fits = value >= parameter.low && value <= parameter.high;
  if (!fits || (parameter.kind == ParameterKind::kInt && value != std::floor(value))) {
    bad_input(where, number(value) + " is not in the space");
  }
  return value;
}

}  // namespace

Space parse_space(const Json& json, std::span<const Tunable> tunables, std::string_view where) {
  if (!json.is_object()) bad_input(std::string(where), "is not a JSON object of parameters");
  if (json.empty()) bad_input(std::string(where), "names no parameter to search");
  Space space;
  for (const auto& [name, entry] : json.items()) {
    const Tunable& tunable = find_tunable(name, tunables, where);
    const std::string place = std::string(where) + ": '" + name + "'";
    for (const Parameter& other : space.parameters) {
      if (other.name == name) bad_input(place, "is there twice");
    }
    if (!entry.is_object()) bad_input(place, "is not an object", R"({"type": "float", "low": 0, "high": 1})");
    const std::string type = json_string(entry, "type", place);
    if (type == "float" || type == "int") {
      space.parameters.push_back(parse_range(entry, tunable, type == "int", place));
    } else if (type == "categorical") {
      space.parameters.push_back(parse_choices(entry, tunable, place));
    } else {
      bad_input(place, "'" + printable(type) + "' is no type", "float, int, categorical");
    }
  }
  return space;
}

Space read_space(const std::filesystem::path& path, std::span<const Tunable> tunables) {
  return parse_space(read_json(path), tunables, path.string());
}

Json space_to_json(const Space& space) {
  Json json = Json::object();
  for (const Parameter& p : space.parameters) {
    Json& entry = json[p.name];
    if (p.kind == ParameterKind::kCategorical) {
      entry = Json{{"type", "categorical"}, {"choices", p.choices}};
      continue;
    }
    const bool whole = p.kind == ParameterKind::kInt;
    entry["type"] = whole ? "int" : "float";
    entry["low"] = whole ? Json(static_cast<int64_t>(p.low)) : Json(p.low);
    entry["high"] = whole ? Json(static_cast<int64_t>(p.high)) : Json(p.high);
    entry["log"] = p.logarithmic;
  }
  return json;
}

Json values_to_json(const Space& space, const ParameterValues& values) {
  Json json = Json::object();
  for (size_t i = 0; i < space.size(); ++i) {
    const Parameter& p = space.parameters[i];
    switch (p.kind) {
      case ParameterKind::kFloat:
        json[p.name] = values[i];
        break;
      case ParameterKind::kInt:
        json[p.name] = static_cast<int64_t>(values[i]);
        break;
      case ParameterKind::kCategorical:
        json[p.name] = p.choices[static_cast<size_t>(values[i])];
        break;
    }
  }
  return json;
}

ParameterValues values_from_json(const Space& space, const Json& json, std::string_view where) {
  if (!json.is_object() || json.size() != space.size()) {
    bad_input(std::string(where), "does not have the parameters of the space");
  }
  ParameterValues values;
  for (const Parameter& parameter : space.parameters) {
    const auto found = json.find(parameter.name);
    const std::string place = std::string(where) + ": '" + parameter.name + "'";
    if (found == json.end()) bad_input(place, "is missing");
    values.push_back(value_from_json(parameter, *found, place));
  }
  return values;
}

std::string describe(const Parameter& parameter, double value) {
  if (parameter.kind == ParameterKind::kCategorical) {
    const Json& choice = parameter.choices[static_cast<size_t>(value)];
    return choice.is_string() ? choice.get<std::string>() : choice.dump();
  }
  if (parameter.kind == ParameterKind::kInt) return std::to_string(static_cast<int64_t>(value));
  return fmt::format("{:.3g}", value);
}

std::string describe(const Space& space, const ParameterValues& values) {
  std::string text;
  for (size_t i = 0; i < space.size(); ++i) {
    if (i > 0) text += ", ";
    text += space.parameters[i].name + " " + describe(space.parameters[i], values[i]);
  }
  return text;
}

double search_low(const Parameter& parameter) {
  const double low = parameter.kind == ParameterKind::kInt ? parameter.low - kHalfStep : parameter.low;
  return parameter.logarithmic ? std::log(low) : low;
}

double search_high(const Parameter& parameter) {
  const double high = parameter.kind == ParameterKind::kInt ? parameter.high + kHalfStep : parameter.high;
  return parameter.logarithmic ? std::log(high) : high;
}

double to_search(const Parameter& parameter, double value) {
  return parameter.logarithmic ? std::log(value) : value;
}

double from_search(const Parameter& parameter, double place) {
  double value = parameter.logarithmic ? std::exp(place) : place;
  if (parameter.kind == ParameterKind::kInt) value = std::round(value);
  return std::clamp(value, parameter.low, parameter.high);
}

}  // namespace fettle
