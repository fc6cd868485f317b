#include "base/checked.h"

#include <fmt/format.h>

#include <string>

#include "base/error.h"

namespace fettle {
namespace {

void require_sizes(int64_t a, int64_t b, std::string_view where) {
  if (a < 0 || b < 0) bad_input(std::string(where), fmt::format("negative size {}", a < 0 ? a : b));
}

}  // namespace

int64_t checked_mul(int64_t a, int64_t b, std::string_view where) {
  require_sizes(a, b, where);
  int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product))
    bad_input(std::string(where), fmt::format("size overflow: {} x {}", a, b));
  return product;
}

int64_t checked_add(int64_t a, int64_t b, std::string_view where) {
  require_sizes(a, b, where);
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) bad_input(std::string(where), fmt::format("size overflow: {} + {}", a, b));
  return sum;
}

}  // namespace fettle
