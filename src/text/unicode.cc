#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <map>
#include <utility>

#include "text/gen/unicode_ranges.h"

namespace fettle::unicode {
namespace {

constexpr char32_t kHangulFirst = 0xac00;
constexpr char32_t kHangulLast = 0xd7a3;

constexpr CodeRange kSpaceRanges[] = {{0x9, 0xd},       {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},
                                      {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f},
                                      {0x205f, 0x205f}, {0x3000, 0x3000}};

// 0x2b920 where Unicode has 0x2b820: the reference tokenizer has it so.
constexpr CodeRange kChineseRanges[] = {{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},  {0x20000, 0x2a6df},
                                        {0x2a700, 0x2b81f}, {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f}};

// The reference decomposes with tables of Unicode 9; later additions above the basic plane stay whole.
constexpr CodeRange kDecomposingAbove[] = {{0x1109a, 0x110ab}, {0x1112e, 0x1112f}, {0x1134b, 0x1134c},
                                           {0x114bb, 0x114be}, {0x115ba, 0x115bb}, {0x1d15e, 0x1d1c0},
                                           {0x2f800, 0x2fa1d}};

// Lower case that utf8proc 2.8 does not know yet (Unicode 16 and 17): `first + i` goes to `lower + i`.
struct LowerRange {
  char32_t first, last, lower;
};
constexpr LowerRange kNewLower[] = {{0x1c89, 0x1c89, 0x1c8a},   {0xa7cb, 0xa7cb, 0x264},  {0xa7cc, 0xa7cc, 0xa7cd},
                                    {0xa7ce, 0xa7ce, 0xa7cf},   {0xa7d2, 0xa7d2, 0xa7d3}, {0xa7d4, 0xa7d4, 0xa7d5},
                                    {0xa7da, 0xa7da, 0xa7db},   {0xa7dc, 0xa7dc, 0x19b},  {0x10d50, 0x10d65, 0x10d70},
                                    {0x16ea0, 0x16eb8, 0x16ebb}};

char32_t simple_lower(char32_t code) {
  for (const LowerRange& range : kNewLower) {
    if (code >= range.first && code <= range.last) return range.lower + (code - range.first);
  }
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
}

template <typename Range, size_t kSize>
bool contains(const Range (&ranges)[kSize], char32_t code) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [code](const Range& range) { return code >= range.first && code <= range.last; });
}

// The first byte that is not ASCII.
const char* skip_ascii(const char* p, const char* end) {
  uint64_t word;
  for (; end - p >= static_cast<std::ptrdiff_t>(sizeof word); p += sizeof word) {
    std::memcpy(&word, p, sizeof word);
    if (word & 0x8080808080808080u) break;
  }
  while (p != end && static_cast<unsigned char>(*p) < 0x80) ++p;
  return p;
}

bool decomposes(char32_t code) {
  if (code >= kHangulFirst && code <= kHangulLast) return true;
  if (code > 0xffff && !contains(kDecomposingAbove, code)) return false;
  const utf8proc_property_t* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(code));
  return property->decomp_seqindex != UINT16_MAX && property->decomp_type == 0;
}

}  // namespace

DecodedChar decode_utf8(const char* p, const char* end) {
  const auto byte = [p](int i) { return static_cast<unsigned char>(p[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const int n_bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4) return {kReplacement, 1, false};
  char32_t code = lead & (0x7f >> n_bytes);
  for (int i = 1; i < n_bytes; ++i) {
    if (p + i == end) return {kReplacement, i, false};
    unsigned char low = 0x80, high = 0xbf;
    if (i == 1 && lead == 0xe0) low = 0xa0;
    if (i == 1 && lead == 0xed) high = 0x9f;
    if (i == 1 && lead == 0xf0) low = 0x90;
    if (i == 1 && lead == 0xf4) high = 0x8f;
    if (byte(i) < low || byte(i) > high) return {kReplacement, i, false};
    code = code << 6 | (byte(i) & 0x3f);
  }
  return {code, n_bytes, true};
}

void append_utf8(char32_t code, std::string& out) {
  char bytes[4];
  out.append(bytes, static_cast<size_t>(encode_utf8(code, bytes)));
}

bool is_valid_utf8(std::string_view text) {
  const char* p = text.data();
  const char* end = p + text.size();
  while (p != end) {
    p = skip_ascii(p, end);
    if (p == end) return true;
    const DecodedChar next = decode_utf8(p, end);
    if (!next.valid) return false;
    p += next.n_bytes;
  }
  return true;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const char* p = text.data();
  const char* end = p + text.size();
  while (p != end) {
    const DecodedChar next = decode_utf8(p, end);
    append_utf8(next.code, out);
    p += next.n_bytes;
  }
  return out;
}

const CharTable& CharTable::get() {
  static const CharTable table;
  return table;
}

CharTable::CharTable() {
  for (const CodeRange& range : kRemovedRanges) mark(range.first, range.last, kRemoved);
  for (const CodeRange& range : kSpaceRanges) mark(range.first, range.last, kSpace);
  for (const CodeRange& range : kPunctuationRanges) mark(range.first, range.last, kPunctuation);
  for (const CodeRange& range : kMarkRanges) mark(range.first, range.last, kMark);
  for (const CodeRange& range : kChineseRanges) mark(range.first, range.last, kChinese);
  for (const RankedRange& range : kCombiningRanges) mark(range.first, range.last, kCombining);
  mark(kHangulFirst, kHangulLast, kDecomposes);
  for (const CodeRange& range : kDecomposingAbove) {
    for (char32_t code = range.first; code <= range.last; ++code) {
      if (decomposes(code)) mark(code, code, kDecomposes);
    }
  }
  for (char32_t code = 0; code < 0x1f000; ++code) {
    if (code >= 0x3400 && code < 0xa000) continue;
    if (code >= kHangulFirst && code < 0xf900) continue;
    if (code < 0x10000 && decomposes(code)) mark(code, code, kDecomposes);
    if (to_lower(code).codes[0] != code) mark(code, code, kHasLower);
  }
}

const WordClassTable& WordClassTable::get() {
  static const WordClassTable table;
  return table;
}

WordClassTable::WordClassTable() {
  for (const CodeRange& range : kLetterRanges) mark(range.first, range.last, kLetterClass);
  for (const CodeRange& range : kNumberRanges) mark(range.first, range.last, kNumberClass);
  for (const CodeRange& range : kSpaceRanges) mark(range.first, range.last, kSpaceClass);
  compact();
}

void PagedTable::compact() {
  std::map<Page, uint16_t> known;
  std::vector<Page> kept;
  std::vector<uint16_t> moved;
  for (const Page& page : pages_) {
    const auto [found, is_new] = known.emplace(page, static_cast<uint16_t>(kept.size()));
    if (is_new) kept.push_back(page);
    moved.push_back(found->second);
  }
  for (uint16_t& page : page_of_) page = moved[page];
  pages_ = std::move(kept);
}

void PagedTable::mark(char32_t first, char32_t last, uint8_t flag) {
  for (char32_t code = first; code <= last; ++code) {
    uint16_t& page = page_of_[code >> 8];
    if (page == 0) {
      page = static_cast<uint16_t>(pages_.size());
      pages_.emplace_back();
    }
    pages_[page][code & 0xff] |= flag;
  }
}

CharSequence decompose(char32_t code) {
  constexpr char32_t kLead = 0x1100, kVowel = 0x1161, kTrail = 0x11a7;
  constexpr int kVowels = 21, kTrails = 28;
  if (code >= kHangulFirst && code <= kHangulLast) {
    const char32_t index = code - kHangulFirst;
    const char32_t trail = index % kTrails;
    return {{kLead + index / (kVowels * kTrails), kVowel + index / kTrails % kVowels, kTrail + trail}, trail ? 3 : 2};
  }
  CharSequence out{{code}, 1};
  if (!decomposes(code)) return out;
  utf8proc_int32_t codes[8];
  const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), codes, std::size(codes),
                                         UTF8PROC_DECOMPOSE, nullptr);
  if (n < 1 || n > static_cast<utf8proc_ssize_t>(out.codes.size())) return out;
  std::copy_n(codes, n, out.codes.begin());
  out.size = static_cast<int>(n);
  return out;
}

CharSequence to_lower(char32_t code) {
  if (code == 0x130) return {{'i', 0x307}, 2};
  return {{simple_lower(code)}, 1};
}

int combining_rank(char32_t code) {
  const auto* range = std::lower_bound(std::begin(kCombiningRanges), std::end(kCombiningRanges), code,
                                       [](const RankedRange& r, char32_t c) { return r.last < c; });
  return range != std::end(kCombiningRanges) && code >= range->first ? range->rank : 0;
}

}  // namespace fettle::unicode
