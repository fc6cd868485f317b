#include "base/cancel.h"

#include <signal.h>

#include <atomic>

#include "base/error.h"

namespace fettle {
namespace {

std::atomic<bool> cancelled{false};
std::atomic<int64_t> looks_left{-1};  // -1: not counted
static_assert(std::atomic<bool>::is_always_lock_free, "the signal handler may only touch lock-free atomics");

extern "C" void on_signal(int signal_number) {
  if (!cancelled.exchange(true)) return;
  ::signal(signal_number, SIG_DFL);
  ::raise(signal_number);
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  // No SA_RESTART: a read that waits for the keyboard or a pipe returns, and its loop sees the flag.
  action.sa_flags = 0;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool cancel_requested() {
  if (looks_left.load(std::memory_order_relaxed) >= 0 && looks_left.fetch_sub(1) == 0) request_cancel();
  return cancelled.load(std::memory_order_relaxed);
}
void request_cancel() {
  cancelled.store(true);
}
void clear_cancel() {
  cancelled.store(false);
  looks_left.store(-1);
}
void request_cancel_after(int64_t n_looks) {
  looks_left.store(n_looks);
}

void throw_if_cancelled() {
  if (cancel_requested()) throw Error(ErrorCode::kInterrupted, "", "interrupted");
}

}  // namespace fettle
