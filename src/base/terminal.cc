#include "base/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <mutex>
#include <string>

namespace fettle {
namespace {

struct Shared {
  std::mutex mutex;
  bool bar_shown = false;
};

Shared& shared() {
  static Shared instance;
  return instance;
}

// Nothing sensible can be done when standard error itself fails.
void put(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace

TerminalLine::TerminalLine() {
  shared().mutex.lock();
  if (shared().bar_shown) put("\r\033[K");
  shared().bar_shown = false;
}

TerminalLine::~TerminalLine() {
  shared().mutex.unlock();
}

void TerminalLine::write(std::string_view text) {
  put(text);
}

void TerminalLine::write_bar(std::string_view text) {
  put(text);
  shared().bar_shown = true;
}

bool stderr_is_terminal() {
  const char* kind = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

int terminal_columns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

bool terminal_takes_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string_view locale = value;
    for (const std::string_view charset : {"UTF-8", "utf-8", "UTF8", "utf8"}) {
      if (locale.find(charset) != locale.npos) return true;
    }
    return false;
  }
  return false;
}

}  // namespace fettle
