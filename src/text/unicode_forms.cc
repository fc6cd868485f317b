// Compatibility decomposition and canonical composition of single characters.
#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "text/gen/unicode_ranges.h"
#include "text/unicode.h"

namespace fettle::unicode {
namespace {

// Compatibility decompositions of Unicode 11 and later, which the reference does not know.
constexpr CodeRange kStillWhole[] = {{0x32ff, 0x32ff},   {0xa7f2, 0xa7f4},   {0xab69, 0xab69},
                                     {0x10781, 0x10785}, {0x10787, 0x107b0}, {0x107b2, 0x107ba},
                                     {0x1e030, 0x1e06d}, {0x1f16c, 0x1f16c}, {0x1fbf0, 0x1fbf9}};

constexpr char32_t kHangulFirst = 0xac00, kLead = 0x1100, kVowel = 0x1161, kTrail = 0x11a7;
constexpr char32_t kLeads = 19, kVowels = 21, kTrails = 28;

template <size_t kSize>
bool is_in(const CodeRange (&ranges)[kSize], char32_t code) {
  const auto* range =
      std::lower_bound(std::begin(ranges), std::end(ranges), code, [](CodeRange r, char32_t c) { return r.last < c; });
  return range != std::end(ranges) && code >= range->first;
}

struct Composition {
  char32_t first, second, composed;
};

bool comes_before(const Composition& a, const Composition& b) {
  return a.first != b.first ? a.first < b.first : a.second < b.second;
}

char32_t find_composition(const std::vector<Composition>& table, char32_t first, char32_t second) {
  const auto found = std::lower_bound(table.begin(), table.end(), Composition{first, second, 0}, comes_before);
  return found != table.end() && found->first == first && found->second == second ? found->composed : 0;
}

// Whether composition gives the character back: singletons and the exclusions of Unicode's list it does not.
bool is_primary(char32_t code, const CharSequence& parts) {
  utf8proc_int32_t codes[4];
  std::copy_n(parts.codes.begin(), parts.size, codes);
  const auto n =
      utf8proc_normalize_utf32(codes, parts.size, static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  return n == 1 && codes[0] == static_cast<utf8proc_int32_t>(code);
}

// Every character that is two others, whose first may again be such a character.
std::vector<Composition> make_compositions() {
  std::vector<Composition> table;
  // Shorter decompositions first: they are the first halves of longer ones.
  for (int size = 2; size <= 4; ++size) {
    std::vector<Composition> added;
    for (char32_t code = 0x80; code < 0x30000; ++code) {
      if (code >= kHangulFirst && code < 0xd7a4) continue;
      const CharSequence parts = decompose(code);
      if (parts.size != size || !is_primary(code, parts)) continue;
      char32_t first = parts.codes[0];
      for (int i = 1; i + 1 < size && first != 0; ++i) {
        first = find_composition(table, first, parts.codes[static_cast<size_t>(i)]);
      }
      if (first != 0) added.push_back({first, parts.codes[static_cast<size_t>(size) - 1], code});
    }
    table.insert(table.end(), added.begin(), added.end());
    std::sort(table.begin(), table.end(), comes_before);
  }
  return table;
}

}  // namespace

bool is_mark(char32_t code) {
  return is_in(kAccentRanges, code);
}

void append_compatible(char32_t code, std::vector<char32_t>& out) {
  const CharSequence canonical = decompose(code);
  const bool is_hangul = code >= kHangulFirst && code < kHangulFirst + kLeads * kVowels * kTrails;
  if (is_hangul || is_in(kStillWhole, code)) {
    out.insert(out.end(), canonical.codes.begin(), canonical.codes.begin() + canonical.size);
    return;
  }
  utf8proc_int32_t codes[32];
  const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), codes, std::size(codes),
                                         static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT), nullptr);
  // Characters beyond the tables of the reference stay whole.
  const bool is_canonical = n > 1 && canonical.size == 1 && canonical.codes[0] == code &&
                            utf8proc_get_property(static_cast<utf8proc_int32_t>(code))->decomp_type == 0;
  if (n < 1 || n > static_cast<utf8proc_ssize_t>(std::size(codes)) || is_canonical) {
    out.push_back(code);
  } else {
    out.insert(out.end(), codes, codes + n);
  }
}

char32_t compose(char32_t first, char32_t second) {
  if (first >= kLead && first < kLead + kLeads && second >= kVowel && second < kVowel + kVowels) {
    return kHangulFirst + ((first - kLead) * kVowels + (second - kVowel)) * kTrails;
  }
  const bool is_open_syllable = first >= kHangulFirst && first < kHangulFirst + kLeads * kVowels * kTrails &&
                                (first - kHangulFirst) % kTrails == 0;
  if (is_open_syllable && second > kTrail && second < kTrail + kTrails) return first + (second - kTrail);
  static const std::vector<Composition> table = make_compositions();
  return find_composition(table, first, second);
}

}  // namespace fettle::unicode
