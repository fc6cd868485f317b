// JSON from anywhere: refused as bad input or accepted, and then written and read again to the same value.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "base/json.h"

namespace {

using fettle::Json;

void require(bool ok) {
  if (!ok) __builtin_trap();
}

// The typed getters on every key of an object: a value or bad input, nothing else.
void read_members(const Json& object) {
  for (const auto& [key, value] : object.items()) {
    try {
      const int64_t number = fettle::json_int(object, key, -5, 1000, "fuzz");
      require(number >= -5 && number <= 1000 && value == Json(number));
    } catch (const fettle::Error& error) {
      require(error.code() == fettle::ErrorCode::kBadInput);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Json value;
  try {
    value = fettle::parse_json(text, "fuzz");
  } catch (const fettle::Error& error) {
    require(error.code() == fettle::ErrorCode::kBadInput);
    return 0;
  }
  require(Json::parse(text) == value);
  require(fettle::parse_json(value.dump(), "fuzz") == value);
  if (value.is_object()) read_members(value);
  return 0;
}
