#include "base/cancel.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

namespace fettle {
namespace {

TEST(Cancel, FlagIsSetSeenAndCleared) {
  clear_cancel();
  EXPECT_NO_THROW(throw_if_cancelled());
  request_cancel();
  EXPECT_TRUE(cancel_requested());
  try {
    throw_if_cancelled();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), 130);
  }
  clear_cancel();
  EXPECT_FALSE(cancel_requested());
}

// Runs in a child, which sends itself `signals` signals and then exits with 5 if the flag is set.
int status_after(int signal_number, int signals) {
  const pid_t child = ::fork();
  if (child == 0) {
    clear_cancel();
    install_signal_handlers();
    for (int i = 0; i < signals; ++i) ::raise(signal_number);
    ::_exit(cancel_requested() ? 5 : 6);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

TEST(Cancel, FirstSignalSetsTheFlag) {
  for (const int signal_number : {SIGINT, SIGTERM}) {
    const int status = status_after(signal_number, 1);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 5);
  }
}

TEST(Cancel, SecondSignalEndsTheProcess) {
  for (const int signal_number : {SIGINT, SIGTERM}) {
    const int status = status_after(signal_number, 2);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), signal_number);
  }
}

}  // namespace
}  // namespace fettle
