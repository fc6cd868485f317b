#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>

#include "text/normal_forms.h"
#include "text/unicode.h"

namespace fettle {
namespace {

using Kind = NormalizerStep::Kind;

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 128; });
}

bool is_space(char32_t code) {
  return (unicode::CharTable::get().flags(code) & unicode::kSpace) != 0;
}

// Takes the place of `n_old` characters; what is too many or too few counts at the end.
void replace(std::vector<Change>& changes, int64_t n_old, std::string_view replacement) {
  const NormalizedText chars = number_chars(replacement, 0);
  const int64_t difference = std::ssize(chars) - n_old;
  for (const NormalizedChar& c : chars) changes.push_back({c.code, 0});
  if (difference < 0 && !changes.empty()) changes.back().change += difference;
  for (int64_t i = 0; i < difference; ++i) changes[changes.size() - 1 - static_cast<size_t>(i)].change = 1;
}

// Calls on_cluster(cluster) for each extended grapheme cluster.
template <typename OnCluster>
void for_each_cluster(std::string_view text, OnCluster&& on_cluster) {
  size_t begin = 0;
  utf8proc_int32_t state = 0, previous = -1;
  for (size_t at = 0; at < text.size();) {
    const unicode::DecodedChar next = unicode::decode_utf8(text.data() + at, text.data() + text.size());
    const auto code = static_cast<utf8proc_int32_t>(next.code);
    if (previous >= 0 && utf8proc_grapheme_break_stateful(previous, code, &state)) {
      on_cluster(text.substr(begin, at - begin));
      begin = at;
    }
    previous = code;
    at += static_cast<size_t>(next.n_bytes);
  }
  if (begin < text.size()) on_cluster(text.substr(begin));
}

// The Rust library looks a cluster up whole when it is shorter, and takes the shortest sequence that it begins with.
constexpr size_t kLongCluster = 6;

// Calls replaced(old, replacement) or kept(old) for the parts of a cluster.
template <typename Replaced, typename Kept>
void map_cluster(std::string_view cluster, const Charsmap& map, Replaced&& replaced, Kept&& kept) {
  if (cluster.size() < kLongCluster) {
    if (const auto match = map.shortest(cluster)) return replaced(cluster, match->replacement);
  }
  for (size_t at = 0; at < cluster.size();) {
    const auto size =
        static_cast<size_t>(unicode::decode_utf8(cluster.data() + at, cluster.data() + cluster.size()).n_bytes);
    const std::string_view part = cluster.substr(at, size);
    if (const auto match = map.shortest(part)) {
      replaced(part, match->replacement);
    } else {
      kept(part);
    }
    at += size;
  }
}

void map_clusters(std::string& text, const Charsmap& map) {
  const auto keeps = [&](char c) { return map.keeps_ascii(c); };
  if (std::ranges::all_of(text, keeps)) return;
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  const auto kept = [&](std::string_view part) { out += part; };
  const auto replaced = [&](std::string_view, std::string_view replacement) { out += replacement; };
  std::string_view rest = text;
  while (!rest.empty()) {
    // Characters before the last of an ASCII run form no cluster with what follows.
    size_t n_plain = 0;
    while (n_plain + 1 < rest.size() && keeps(rest[n_plain]) && static_cast<unsigned char>(rest[n_plain + 1]) < 128) {
      ++n_plain;
    }
    out += rest.substr(0, n_plain);
    rest.remove_prefix(n_plain);
    // Up to the next place where two ASCII characters meet.
    size_t n_other = 1;
    while (n_other < rest.size() && !(keeps(rest[n_other - 1]) && keeps(rest[n_other]))) ++n_other;
    for_each_cluster(rest.substr(0, n_other),
                     [&](std::string_view cluster) { map_cluster(cluster, map, replaced, kept); });
    rest.remove_prefix(n_other);
  }
  text = std::move(out);
}

NormalizedText map_clusters(const NormalizedText& text, const Charsmap& map) {
  std::vector<Change> changes;
  bool modified = false;
  const auto kept = [&](std::string_view part) { replace(changes, 1, part); };
  const auto replaced = [&](std::string_view old, std::string_view replacement) {
    modified = true;
    replace(changes, unicode::count_chars(old), replacement);
  };
  for_each_cluster(to_utf8(text, 0, text.size()),
                   [&](std::string_view cluster) { map_cluster(cluster, map, replaced, kept); });
  return modified ? transform(text, changes) : text;
}

// SentencePiece's Normalizer::Normalize. Calls put(replacement, begin, end) with the bytes of the text that it stands
// for, spaces plain; begin == end for the space that stands for nothing.
template <typename Put>
void run_sentencepiece(std::string_view text, const NormalizerStep& step, Put&& put) {
  const auto prefix = [&](std::string_view rest) -> Charsmap::Match {
    if (step.verbatim != nullptr) {
      size_t longest = 0;
      step.verbatim->for_each_prefix(rest, [&](size_t size, int32_t) { longest = size; });
      if (longest > 0) return {longest, rest.substr(0, longest)};
    }
    if (step.charsmap != nullptr) {
      if (const auto match = step.charsmap->longest(rest)) return *match;
    }
    const int n_bytes = unicode::decode_utf8(rest.data(), rest.data() + rest.size()).n_bytes;
    return {static_cast<size_t>(n_bytes), rest.substr(0, static_cast<size_t>(n_bytes))};
  };
  size_t at = 0;
  while (step.rules.remove_extra_spaces && at < text.size()) {
    const Charsmap::Match match = prefix(text.substr(at));
    if (match.replacement != " ") break;
    at += match.n_bytes;
  }
  if (at == text.size()) return;
  if (step.rules.add_dummy_prefix) put(" ", at, at);
  bool after_space = step.rules.remove_extra_spaces;
  while (at < text.size()) {
    Charsmap::Match match = prefix(text.substr(at));
    while (after_space && match.replacement.starts_with(' ')) match.replacement.remove_prefix(1);
    if (!match.replacement.empty()) {
      put(match.replacement, at, at + match.n_bytes);
      after_space = step.rules.remove_extra_spaces && match.replacement.ends_with(' ');
    }
    at += match.n_bytes;
  }
}

void apply_sentencepiece(std::string& text, const NormalizerStep& step) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  run_sentencepiece(text, step, [&](std::string_view replacement, size_t, size_t) {
    for (const char c : replacement) {
      if (c == ' ') {
        out += kSpaceText;
      } else {
        out += c;
      }
    }
  });
  while (step.rules.remove_extra_spaces && out.ends_with(kSpaceText)) out.resize(out.size() - kSpaceText.size());
  text = std::move(out);
}

NormalizedText apply_sentencepiece(const NormalizedText& text, const NormalizerStep& step) {
  std::vector<size_t> char_at;  // by byte
  std::string utf8;
  for (size_t i = 0; i < text.size(); ++i) {
    unicode::append_utf8(text[i].code, utf8);
    char_at.resize(utf8.size(), i);
  }
  NormalizedText out;
  run_sentencepiece(utf8, step, [&](std::string_view replacement, size_t begin, size_t end) {
    const int32_t from = text[char_at[begin]].begin;
    const int32_t to = begin == end ? from : text[char_at[end - 1]].end;
    for (const NormalizedChar& c : number_chars(replacement, 0)) {
      out.push_back({c.code == U' ' ? kSpaceSymbol : c.code, from, to});
    }
  });
  while (step.rules.remove_extra_spaces && !out.empty() && out.back().code == kSpaceSymbol) out.pop_back();
  return out;
}

NormalizedText lowercase(const NormalizedText& text) {
  NormalizedText out;
  for (const NormalizedChar& c : text) {
    const unicode::CharSequence lower = unicode::to_lower(c.code);
    for (int i = 0; i < lower.size; ++i) out.push_back({lower.codes[i], c.begin, c.end});
  }
  return out;
}

// The last character of each match gives the replacement its source.
NormalizedText replace_all(const NormalizedText& text, const NormalizerStep& step) {
  const NormalizedText pattern = number_chars(step.pattern, 0), content = number_chars(step.content, 0);
  const auto match_at = [&](size_t at) -> size_t {
    if (step.kind == Kind::kReplace) {
      const bool hit = at + pattern.size() <= text.size() &&
                       std::equal(pattern.begin(), pattern.end(), text.begin() + static_cast<std::ptrdiff_t>(at),
                                  [](const NormalizedChar& a, const NormalizedChar& b) { return a.code == b.code; });
      return hit ? pattern.size() : 0;
    }
    size_t n = 0;
    while (at + n < text.size() && text[at + n].code == ' ') ++n;
    return n >= 2 ? n : 0;
  };
  NormalizedText out;
  for (size_t at = 0; at < text.size();) {
    const size_t n = match_at(at);
    if (n == 0) {
      out.push_back(text[at++]);
      continue;
    }
    at += n;
    for (const NormalizedChar& c : content) out.push_back({c.code, text[at - 1].begin, text[at - 1].end});
  }
  return out;
}

void replace_all(std::string& text, const NormalizerStep& step) {
  const bool is_literal = step.kind == Kind::kReplace;
  const std::string_view wanted = is_literal ? std::string_view(step.pattern) : "  ";
  size_t hit = text.find(wanted);
  if (hit == text.npos) return;
  std::string out;
  size_t at = 0;
  for (; hit != text.npos; hit = text.find(wanted, at)) {
    out.append(text, at, hit - at).append(step.content);
    at = is_literal ? hit + wanted.size() : std::min(text.find_first_not_of(' ', hit), text.size());
  }
  text = out.append(text, at);
}

NormalizedText strip(const NormalizedText& text, const NormalizerStep& step) {
  const auto is_plain = [](const NormalizedChar& c) { return !is_space(c.code); };
  auto begin = text.begin(), end = text.end();
  if (step.left) begin = std::find_if(begin, end, is_plain);
  while (step.right && end != begin && !is_plain(*(end - 1))) --end;
  return {begin, end};
}

}  // namespace

NormalizedText Normalizer::apply(NormalizedText text) const {
  for (const NormalizerStep& step : steps_) {
    switch (step.kind) {
      case Kind::kPrecompiled:
        if (step.charsmap != nullptr) text = map_clusters(text, *step.charsmap);
        break;
      case Kind::kSentencePiece:
        text = apply_sentencepiece(text, step);
        break;
      case Kind::kNfc:
        text = compose_canonically(text);
        break;
      case Kind::kNfd:
        text = decompose_canonically(text);
        break;
      case Kind::kNfkc:
        text = compose_compatibly(text);
        break;
      case Kind::kNfkd:
        text = decompose_compatibly(text);
        break;
      case Kind::kLowercase:
        text = lowercase(text);
        break;
      case Kind::kStripAccents:
        std::erase_if(text, [](const NormalizedChar& c) { return unicode::is_mark(c.code); });
        break;
      case Kind::kReplace:
      case Kind::kReplaceSpaces:
        text = replace_all(text, step);
        break;
      case Kind::kStrip:
        text = strip(text, step);
        break;
    }
  }
  return text;
}

void Normalizer::apply(std::string& text) const {
  for (const NormalizerStep& step : steps_) {
    switch (step.kind) {
      case Kind::kPrecompiled:
        if (step.charsmap != nullptr) map_clusters(text, *step.charsmap);
        continue;
      case Kind::kSentencePiece:
        apply_sentencepiece(text, step);
        continue;
      case Kind::kReplace:
      case Kind::kReplaceSpaces:
        replace_all(text, step);
        continue;
      case Kind::kLowercase:
        if (!is_ascii(text)) break;
        for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        continue;
      case Kind::kStrip:
        break;
      default:  // ASCII is in every normal form and has no accents
        if (is_ascii(text)) continue;
        break;
    }
    const NormalizedText changed = Normalizer({step}).apply(number_chars(text, 0));
    text = to_utf8(changed, 0, changed.size());
  }
}

}  // namespace fettle
