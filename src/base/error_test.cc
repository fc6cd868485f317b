#include "base/error.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace fettle {
namespace {

template <typename Fn>
Error caught(Fn fn) {
  try {
    fn();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error was thrown";
  return Error(ErrorCode::kFailed, "", "");
}

TEST(Error, MessageHasWhereWhatAndHint) {
  EXPECT_STREQ(Error(ErrorCode::kUsage, "--bits", "5 is unknown", "use 4 or 8").what(),
               "--bits: 5 is unknown (use 4 or 8)");
  EXPECT_STREQ(Error(ErrorCode::kUsage, "--bits", "5 is unknown").what(), "--bits: 5 is unknown");
  EXPECT_STREQ(Error(ErrorCode::kInterrupted, "", "interrupted").what(), "interrupted");
}

TEST(Error, EachHelperHasItsExitCode) {
  EXPECT_EQ(static_cast<int>(caught([] { failed("a", "b"); }).code()), 1);
  EXPECT_EQ(static_cast<int>(caught([] { usage_error("a", "b"); }).code()), 2);
  EXPECT_EQ(static_cast<int>(caught([] { bad_input("a", "b"); }).code()), 3);
  EXPECT_EQ(static_cast<int>(caught([] { io_error("a", "b"); }).code()), 4);
}

TEST(Error, SystemErrorsCarryTheirText) {
  const Error missing = caught([] { io_error_from("x.json", "cannot open", ENOENT); });
  EXPECT_EQ(missing.code(), ErrorCode::kIo);
  EXPECT_STREQ(missing.what(), "x.json: cannot open: No such file or directory");
  const Error full = caught([] { io_error_from("x.json", "cannot write", ENOSPC); });
  EXPECT_NE(full.hint().find("disk is full"), std::string::npos);
}

}  // namespace
}  // namespace fettle
