// Errors: what every public function throws when input, files or constraints are at fault.
#pragma once

#include <exception>
#include <string>

namespace fettle {

// The value is the exit code of the command line.
enum class ErrorCode {
  kFailed = 1,       // the work itself could not be done
  kUsage = 2,        // wrong options or arguments
  kBadInput = 3,     // a file or data set that is malformed, truncated or contradictory
  kIo = 4,           // the operating system refused: missing file, full disk, no permission
  kConstraints = 5,  // done, but no result meets the user's limits
  kInterrupted = 130
};

// `where` names the file, option or part at fault, `detail` says what is wrong in one line, `hint` what to do (may be
// empty). what() is "WHERE: WHAT (HINT)".
class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string where, std::string detail, std::string hint = "");

  ErrorCode code() const { return code_; }
  const std::string& where() const { return where_; }
  const std::string& detail() const { return detail_; }
  const std::string& hint() const { return hint_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorCode code_;
  std::string where_;
  std::string detail_;
  std::string hint_;
  std::string message_;
};

}  // namespace fettle
