#include "format/refuse.h"

#include <cstdint>

#include "base/error.h"

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

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i++]);
    if (lead < 0x80) continue;
    const size_t n_more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4 || n_more > text.size() - i) return false;
    uint32_t code = lead & (0x3Fu >> n_more);
    for (size_t k = 0; k < n_more; ++k, ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      if ((byte & 0xC0) != 0x80) return false;
      code = (code << 6) | (byte & 0x3Fu);
    }
    const bool overlong = (n_more == 2 && code < 0x800) || (n_more == 3 && code < 0x10000);
    if (overlong || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
  }
  return true;
}

void refuse_lfs_pointer(std::span<const std::byte> bytes, std::string_view where) {
  constexpr std::string_view kFirstWord = "version http";
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(kFirstWord)) return;
  bad_input(std::string(where), "is a Git LFS pointer, not the weights themselves", "fetch them with: git lfs pull");
}

}  // namespace fettle
