#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "base/terminal.h"

namespace fettle {
namespace {

std::shared_ptr<spdlog::logger> make_logger() {
  auto logger = std::make_shared<spdlog::logger>("fettle", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%v");
  logger->set_level(spdlog::level::info);
  logger->flush_on(spdlog::level::debug);
  return logger;
}

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = make_logger();
  return *instance;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      break;
  }
  return spdlog::level::off;
}

void write(spdlog::level::level_enum level, std::string_view prefix, std::string_view text) {
  if (!logger().should_log(level)) return;
  const TerminalLine line;
  logger().log(level, "{}{}", prefix, text);
}

}  // namespace

void set_log_level(LogLevel level) {
  logger().set_level(to_spdlog(level));
}
void log_debug(std::string_view text) {
  write(spdlog::level::debug, "debug: ", text);
}
void log_info(std::string_view text) {
  write(spdlog::level::info, "", text);
}
void log_warning(std::string_view text) {
  write(spdlog::level::warn, "warning: ", text);
}

}  // namespace fettle
