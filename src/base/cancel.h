// Cancellation: Ctrl-C sets a flag that long loops look at between steps.
#pragma once

namespace fettle {

// SIGINT and SIGTERM set the flag; a second one ends the process at once.
void install_signal_handlers();
bool cancel_requested();
void request_cancel();
void clear_cancel();
// Error kInterrupted when the flag is set.
void throw_if_cancelled();

}  // namespace fettle
