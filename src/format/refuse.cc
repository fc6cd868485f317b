#include "format/refuse.h"

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

void refuse_lfs_pointer(std::span<const std::byte> bytes, std::string_view where) {
  constexpr std::string_view kFirstWord = "version http";
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(kFirstWord)) return;
  bad_input(std::string(where), "is a Git LFS pointer, not the weights themselves", "fetch them with: git lfs pull");
}

}  // namespace fettle
