#include "format/quote.h"

namespace fettle {

std::string quote_name(std::string_view name) {
  constexpr size_t kMaxBytes = 96;
  const bool cut = name.size() > kMaxBytes;
  if (cut) {
    name = name.substr(0, kMaxBytes);
    size_t n_tail = 0;  // of a character that the cut would leave incomplete
    while (n_tail < 4 && n_tail < name.size() && (name[name.size() - 1 - n_tail] & 0xC0) == 0x80) ++n_tail;
    if (n_tail < name.size() && (name[name.size() - 1 - n_tail] & 0x80) != 0) name.remove_suffix(n_tail + 1);
  }
  std::string text = "'";
  for (const char c : name) text += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  text += cut ? "...'" : "'";
  return text;
}

}  // namespace fettle
