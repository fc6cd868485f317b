// JSON with limits: nlohmann-json behind a parser that refuses what would be misread silently.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace fettle {

// Keeps the order of keys, so that what is written again looks as it was read. Looking up a key walks through all of
// them: iterate over large objects (a vocabulary) instead.
using Json = nlohmann::ordered_json;

struct JsonLimits {
  int64_t size_bytes = int64_t{256} << 20;
  int depth = 64;
  int64_t n_values = int64_t{1} << 24;  // a value takes tens of bytes in memory but only two in the text
};

// Refuses (kBadInput, naming `where` and the byte): text longer, of more values or nested deeper than the limits,
// duplicate keys, invalid UTF-8, numbers out of range, anything after the value.
Json parse_json(std::string_view text, std::string_view where, const JsonLimits& limits = {});
Json read_json(const std::filesystem::path& path, const JsonLimits& limits = {});
// Two-space indentation and a final newline, written atomically.
void write_json(const std::filesystem::path& path, const Json& value);

// Typed access to object[key]; kBadInput naming `where` and the key when it is absent, of another type or out of range.
int64_t json_int(const Json& object, std::string_view key, int64_t min, int64_t max, std::string_view where);
double json_number(const Json& object, std::string_view key, std::string_view where);
std::string json_string(const Json& object, std::string_view key, std::string_view where);
// The same with a value for an absent (or null) key.
int64_t json_int_or(const Json& object, std::string_view key, int64_t fallback, int64_t min, int64_t max,
                    std::string_view where);
double json_number_or(const Json& object, std::string_view key, double fallback, std::string_view where);
std::string json_string_or(const Json& object, std::string_view key, std::string_view fallback, std::string_view where);
bool json_bool_or(const Json& object, std::string_view key, bool fallback, std::string_view where);

}  // namespace fettle
