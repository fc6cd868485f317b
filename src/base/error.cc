#include "base/error.h"

#include <cerrno>
#include <system_error>
#include <utility>

namespace fettle {

Error::Error(ErrorCode code, std::string where, std::string detail, std::string hint)
    : code_(code), where_(std::move(where)), detail_(std::move(detail)), hint_(std::move(hint)) {
  message_ = where_.empty() ? detail_ : where_ + ": " + detail_;
  if (!hint_.empty()) message_ += " (" + hint_ + ")";
}

void bad_input(std::string where, std::string detail, std::string hint) {
  throw Error(ErrorCode::kBadInput, std::move(where), std::move(detail), std::move(hint));
}

void io_error(std::string where, std::string detail, std::string hint) {
  throw Error(ErrorCode::kIo, std::move(where), std::move(detail), std::move(hint));
}

void io_error_from(std::string where, std::string action, int errno_value) {
  const bool disk_full = errno_value == ENOSPC || errno_value == EDQUOT;
  // generic_category().message() is strerror without its shared buffer.
  io_error(std::move(where), std::move(action) + ": " + std::generic_category().message(errno_value),
           disk_full ? "the disk is full or the quota is used up; free some space and run again" : "");
}

void usage_error(std::string where, std::string detail, std::string hint) {
  throw Error(ErrorCode::kUsage, std::move(where), std::move(detail), std::move(hint));
}

void failed(std::string where, std::string detail, std::string hint) {
  throw Error(ErrorCode::kFailed, std::move(where), std::move(detail), std::move(hint));
}

}  // namespace fettle
