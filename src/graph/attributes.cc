#include <cassert>

#include "graph/graph.h"

namespace fettle {
namespace {

const Attribute& required(const Attributes& attributes, std::string_view name) {
  const auto found = attributes.items().find(name);
  assert(found != attributes.items().end() && "attribute is missing");
  return found->second;
}

}  // namespace

bool Attributes::has(std::string_view name) const {
  return items_.find(name) != items_.end();
}

int64_t Attributes::get_int(std::string_view name) const {
  return std::get<int64_t>(required(*this, name));
}

int64_t Attributes::get_int(std::string_view name, int64_t fallback) const {
  return has(name) ? get_int(name) : fallback;
}

double Attributes::get_double(std::string_view name) const {
  const Attribute& value = required(*this, name);
  if (const auto* whole = std::get_if<int64_t>(&value)) return static_cast<double>(*whole);
  return std::get<double>(value);
}

double Attributes::get_double(std::string_view name, double fallback) const {
  return has(name) ? get_double(name) : fallback;
}

bool Attributes::get_bool(std::string_view name, bool fallback) const {
  return has(name) ? std::get<bool>(required(*this, name)) : fallback;
}

std::string Attributes::get_string(std::string_view name, std::string_view fallback) const {
  return has(name) ? std::get<std::string>(required(*this, name)) : std::string(fallback);
}

std::vector<int64_t> Attributes::get_ints(std::string_view name) const {
  return std::get<std::vector<int64_t>>(required(*this, name));
}

}  // namespace fettle
