// Arithmetic on sizes that come from outside: an overflow is bad input, never a wrap.
#pragma once

#include <cstdint>
#include <string_view>

namespace fettle {

// a * b and a + b for non-negative values; Error kBadInput naming `where` when an operand is negative or the result
// overflows.
int64_t checked_mul(int64_t a, int64_t b, std::string_view where);
int64_t checked_add(int64_t a, int64_t b, std::string_view where);

}  // namespace fettle
