// Standard error as a shared place: log lines and the progress bar must not land in each other.
#pragma once

#include <string_view>

namespace fettle {

// While it lives no other thread of this program writes to standard error; a bar that stood there has been wiped.
class TerminalLine {
 public:
  TerminalLine();
  ~TerminalLine();
  TerminalLine(const TerminalLine&) = delete;
  TerminalLine& operator=(const TerminalLine&) = delete;

  void write(std::string_view text);
  // The text is a bar without a newline; whoever writes next wipes it.
  void write_bar(std::string_view text);
};

bool stderr_is_terminal();
int terminal_columns();      // 80 when unknown
bool terminal_takes_utf8();  // as the locale's variables say (LC_ALL, LC_CTYPE, LANG)

}  // namespace fettle
