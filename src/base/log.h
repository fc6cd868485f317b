// Log lines for people, on standard error.
#pragma once

#include <string_view>

namespace fettle {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };
void set_log_level(LogLevel level);
void log_debug(std::string_view text);
void log_info(std::string_view text);
void log_warning(std::string_view text);

}  // namespace fettle
