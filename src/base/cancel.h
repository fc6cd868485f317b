// Cancellation: Ctrl-C sets a flag that long loops look at between steps.
#pragma once

#include <cstdint>

namespace fettle {

// SIGINT and SIGTERM set the flag; a second one ends the process at once.
void install_signal_handlers();
bool cancel_requested();
void request_cancel();
void clear_cancel();
// For tests: the flag is set at the look at it that follows `n_looks` others, so that every place where work stops can
// be reached.
void request_cancel_after(int64_t n_looks);
// Error kInterrupted when the flag is set.
void throw_if_cancelled();

}  // namespace fettle
