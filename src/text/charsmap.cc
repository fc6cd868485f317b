#include "text/charsmap.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "text/unicode.h"

namespace fettle {
namespace {

// Fields of a Darts-clone unit.
bool has_leaf(uint32_t unit) {
  return (unit >> 8 & 1) != 0;
}
uint32_t value_of(uint32_t unit) {
  return unit & 0x7fffffffu;
}
// A leaf's top bit is set, so that it equals no byte.
uint32_t label_of(uint32_t unit) {
  return unit & 0x800000ffu;
}
size_t offset_of(uint32_t unit) {
  return static_cast<size_t>(unit >> 10) << ((unit & 0x200u) >> 6);
}

}  // namespace

Charsmap::Charsmap(std::string_view bytes, const std::string& where) {
  uint32_t trie_bytes = 0;
  if (bytes.size() < sizeof trie_bytes) bad_input(where, "the compiled character map is too short");
  std::memcpy(&trie_bytes, bytes.data(), sizeof trie_bytes);
  bytes.remove_prefix(sizeof trie_bytes);
  if (trie_bytes == 0 || trie_bytes > bytes.size() || trie_bytes % sizeof(uint32_t) != 0) {
    bad_input(where, "the compiled character map has a trie of an impossible size");
  }
  units_.resize(trie_bytes / sizeof(uint32_t));
  std::memcpy(units_.data(), bytes.data(), trie_bytes);
  replacements_ = bytes.substr(trie_bytes);
  if (!unicode::is_valid_utf8(replacements_)) bad_input(where, "the compiled character map is not valid UTF-8");
  for (unsigned char c = 0; c < 128; ++c) keeps_[c] = !begins_ascii_sequence(c);
}

bool Charsmap::begins_ascii_sequence(unsigned char c) const {
  const auto has = [&](size_t at, unsigned char label) { return at < units_.size() && label_of(units_[at]) == label; };
  const size_t at = offset_of(units_[0]) ^ c;
  if (!has(at, c)) return false;
  if (has_leaf(units_[at])) return true;
  for (unsigned char next = 0; next < 128; ++next) {
    if (has(at ^ offset_of(units_[at]) ^ next, next)) return true;
  }
  return false;
}

std::string_view Charsmap::replacement_at(size_t offset) const {
  const std::string_view rest = std::string_view(replacements_).substr(std::min(offset, replacements_.size()));
  return rest.substr(0, std::min(rest.find('\0'), rest.size()));
}

std::optional<Charsmap::Match> Charsmap::search(std::string_view text, bool wants_longest) const {
  std::optional<Match> found;
  size_t at = offset_of(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    at ^= byte;
    if (at >= units_.size() || label_of(units_[at]) != byte) break;
    const uint32_t unit = units_[at];
    at ^= offset_of(unit);
    if (!has_leaf(unit)) continue;
    if (at >= units_.size()) break;
    found = Match{i + 1, replacement_at(value_of(units_[at]))};
    if (!wants_longest) break;
  }
  return found;
}

}  // namespace fettle
