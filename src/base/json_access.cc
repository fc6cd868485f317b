#include <fmt/format.h>

#include <string>

#include "base/error.h"
#include "base/json.h"
#include "base/printable.h"

namespace fettle {
namespace {

// nullptr when the key is absent.
const Json* find(const Json& object, std::string_view key, std::string_view where) {
  if (!object.is_object()) bad_input(std::string(where), "not a JSON object");
  for (const auto& [name, value] : object.get_ref<const Json::object_t&>()) {
    if (name == key) return &value;
  }
  return nullptr;
}

const Json& require(const Json& object, std::string_view key, std::string_view where) {
  const Json* value = find(object, key, where);
  if (value == nullptr) bad_input(std::string(where), fmt::format("\"{}\" is missing", key));
  return *value;
}

const Json* find_set(const Json& object, std::string_view key, std::string_view where) {
  const Json* value = find(object, key, where);
  return value == nullptr || value->is_null() ? nullptr : value;
}

[[noreturn]] void refuse_value(const Json& value, std::string_view key, std::string_view wanted,
                               std::string_view where) {
  std::string shown = value.is_structured() ? (value.is_array() ? "an array" : "an object")
                                            : printable(value.dump(-1, ' ', false, Json::error_handler_t::replace));
  bad_input(std::string(where), fmt::format("\"{}\" is {}, not {}", key, shown, wanted));
}

int64_t as_int(const Json& value, std::string_view key, int64_t min, int64_t max, std::string_view where) {
  if (!value.is_number_integer()) refuse_value(value, key, "an integer", where);
  const bool too_big = value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  const int64_t number = too_big ? INT64_MAX : value.get<int64_t>();
  if (too_big || number < min || number > max) {
    refuse_value(value, key, fmt::format("between {} and {}", min, max), where);
  }
  return number;
}

double as_number(const Json& value, std::string_view key, std::string_view where) {
  if (!value.is_number()) refuse_value(value, key, "a number", where);
  return value.get<double>();
}

std::string as_string(const Json& value, std::string_view key, std::string_view where) {
  if (!value.is_string()) refuse_value(value, key, "a string", where);
  return value.get<std::string>();
}

}  // namespace

int64_t json_int(const Json& object, std::string_view key, int64_t min, int64_t max, std::string_view where) {
  return as_int(require(object, key, where), key, min, max, where);
}

double json_number(const Json& object, std::string_view key, std::string_view where) {
  return as_number(require(object, key, where), key, where);
}

std::string json_string(const Json& object, std::string_view key, std::string_view where) {
  return as_string(require(object, key, where), key, where);
}

int64_t json_int_or(const Json& object, std::string_view key, int64_t fallback, int64_t min, int64_t max,
                    std::string_view where) {
  const Json* value = find_set(object, key, where);
  return value == nullptr ? fallback : as_int(*value, key, min, max, where);
}

double json_number_or(const Json& object, std::string_view key, double fallback, std::string_view where) {
  const Json* value = find_set(object, key, where);
  return value == nullptr ? fallback : as_number(*value, key, where);
}

std::string json_string_or(const Json& object, std::string_view key, std::string_view fallback,
                           std::string_view where) {
  const Json* value = find_set(object, key, where);
  return value == nullptr ? std::string(fallback) : as_string(*value, key, where);
}

bool json_bool_or(const Json& object, std::string_view key, bool fallback, std::string_view where) {
  const Json* value = find_set(object, key, where);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) refuse_value(*value, key, "true or false", where);
  return value->get<bool>();
}

}  // namespace fettle
