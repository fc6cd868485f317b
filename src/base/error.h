// Raising errors: one line per failure site.
#pragma once

#include <fettle/error.h>

#include <string>

namespace fettle {

[[noreturn]] void bad_input(std::string where, std::string detail, std::string hint = "");
[[noreturn]] void io_error(std::string where, std::string detail, std::string hint = "");
// As io_error, with the text of `errno_value` appended to `action` ("cannot open: No such file or directory").
[[noreturn]] void io_error_from(std::string where, std::string action, int errno_value);
[[noreturn]] void usage_error(std::string where, std::string detail, std::string hint = "");
[[noreturn]] void failed(std::string where, std::string detail, std::string hint = "");

}  // namespace fettle
