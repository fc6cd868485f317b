#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/normalized_text.h"
#include "text/tokenizer_impl.h"
#include "text/unicode.h"

namespace fettle {
namespace {

using Kind = TemplateItem::Kind;
constexpr int64_t kNoLimit = std::numeric_limits<int32_t>::max();

// Keeps `limit` of the elements from `begin` on: the first ones, or the last ones.
template <typename T>
void truncate(std::vector<T>& items, size_t begin, int64_t limit, bool left) {
  const int64_t excess = std::ssize(items) - static_cast<int64_t>(begin) - limit;
  if (excess <= 0) return;
  const auto first = items.begin() + static_cast<std::ptrdiff_t>(begin);
  if (left) {
    items.erase(first, first + excess);
  } else {
    items.resize(items.size() - static_cast<size_t>(excess));
  }
}

// Tokens of each text of a pair that "longest first" looks at. As in tokenizers 0.23, it never sees more than the word
// that reaches max_length, which decides who gets an odd token where both texts are long.
int64_t enough_of_pair(const EncodeOptions& options) {
  return options.max_length > 0 ? options.max_length : kNoLimit;
}

// "Longest first" of Hugging Face: the longer text gives way until both have the same length, then both do.
template <typename T>
void truncate_pair(std::vector<T> (&texts)[2], int64_t room, bool left) {
  const int64_t n_first = std::ssize(texts[0]), n_second = std::ssize(texts[1]);
  if (n_first + n_second <= room) return;
  int64_t shorter = std::min(n_first, n_second);
  int64_t longer = shorter > room ? shorter : std::max(shorter, room - shorter);
  if (shorter + longer > room) {
    shorter = room / 2;
    longer = shorter + room % 2;
  }
  const bool first_is_longer = n_first > n_second;
  truncate(texts[0], 0, first_is_longer ? longer : shorter, left);
  truncate(texts[1], 0, first_is_longer ? shorter : longer, left);
}

// A match of an added token; `text` is what it stands for.
PlacedToken added_token(int32_t id, int32_t begin, int32_t end, std::string_view text) {
  const auto is_space = [](const NormalizedChar& c) {
    return (unicode::CharTable::get().flags(c.code) & unicode::kSpace) != 0;
  };
  const NormalizedText chars = number_chars(text, 0);
  const auto n_leading = std::ranges::find_if_not(chars, is_space) - chars.begin();
  const auto n_trailing = std::find_if_not(chars.rbegin(), chars.rend(), is_space) - chars.rbegin();
  return {id, begin, end, static_cast<int32_t>(n_leading), static_cast<int32_t>(n_trailing)};
}

}  // namespace

void Tokenizer::Impl::trim(std::vector<PlacedToken>& tokens) const {
  if (!spec.trimming.on) return;
  for (size_t i = 0; i < tokens.size(); ++i) {
    PlacedToken& token = tokens[i];
    // As the reference has it, what begins the text keeps the one space that the pre-tokenizer may have added.
    const bool keeps_one = token.leading_spaces > 0 && spec.trimming.add_prefix_space && (i == 0 || token.begin == 0);
    token.begin = std::min(token.begin + token.leading_spaces - (keeps_one ? 1 : 0), token.end);
    if (token.end >= token.trailing_spaces) token.end = std::max(token.end - token.trailing_spaces, token.begin);
  }
}

int64_t Tokenizer::Impl::room(const EncodeOptions& options, int n_special) const {
  if (options.max_length < 0) usage_error("max_length", fmt::format("{} is negative", options.max_length));
  if (options.max_length == 0) return kNoLimit;
  const int n_around = options.add_special_tokens ? n_special : 0;
  if (options.max_length < n_around) {
    usage_error("max_length", fmt::format("{} leaves no room for the {} special tokens", options.max_length, n_around));
  }
  return options.max_length - n_around;
}

void Tokenizer::Impl::append_matched(std::string_view text, bool split_special, size_t enough,
                                     std::vector<int32_t>& ids) const {
  std::string repaired;
  if (!unicode::is_valid_utf8(text)) text = repaired = unicode::replace_invalid_utf8(text);
  for (const TextSplit& split : raw_matcher.split(text, split_special)) {
    if (split.id) {
      ids.push_back(*split.id);
    } else if (!model->append(text.substr(split.begin, split.end - split.begin), split.begin == 0, enough, ids)) {
      return;
    }
  }
}

void Tokenizer::Impl::append_text(std::string_view text, bool split_special, int64_t enough,
                                  std::vector<int32_t>& ids) const {
  const size_t enough_ids =
      spec.truncate_left ? std::numeric_limits<size_t>::max() : ids.size() + static_cast<size_t>(enough);
  if (needs_matching(normalized_matcher, split_special)) {
    for (const PlacedToken& token : place_text(text, split_special, enough)) ids.push_back(token.id);
  } else if (needs_matching(raw_matcher, split_special)) {
    append_matched(text, split_special, enough_ids, ids);
  } else {
    model->append(text, true, enough_ids, ids);
  }
}

bool Tokenizer::Impl::place_normalized(std::string_view text, int32_t first, bool split_special, size_t enough,
                                       std::vector<PlacedToken>& out) const {
  const NormalizedText normalized = model->normalize(text, first);
  const std::string utf8 = to_utf8(normalized, 0, normalized.size());
  auto at = normalized.begin();
  for (const TextSplit& split : normalized_matcher.split(utf8, split_special)) {
    const NormalizedText part(
        at, at + unicode::count_chars(std::string_view(utf8).substr(split.begin, split.end - split.begin)));
    at += std::ssize(part);
    if (split.id) {
      out.push_back(added_token(*split.id, part.front().begin, part.back().end,
                                std::string_view(utf8).substr(split.begin, split.end - split.begin)));
    } else if (!model->place(part, part.front().begin == 0, enough, out)) {
      return false;
    }
  }
  return true;
}

std::vector<PlacedToken> Tokenizer::Impl::place_text(std::string_view text, bool split_special, int64_t enough) const {
  if (std::cmp_greater(text.size(), std::numeric_limits<int32_t>::max())) bad_input("text", "longer than 2 GiB");
  const size_t enough_tokens = spec.truncate_left ? std::numeric_limits<size_t>::max() : static_cast<size_t>(enough);
  const std::string valid = unicode::replace_invalid_utf8(text);
  std::vector<PlacedToken> out;
  int32_t at = 0;
  for (const TextSplit& split : raw_matcher.split(valid, split_special)) {
    const std::string_view part = std::string_view(valid).substr(split.begin, split.end - split.begin);
    const int32_t n_chars = unicode::count_chars(part);
    if (split.id) {
      out.push_back(added_token(*split.id, at, at + n_chars, part));
    } else if (!place_normalized(part, at, split_special, enough_tokens, out)) {
      break;
    }
    at += n_chars;
  }
  return out;
}

void Tokenizer::encode(std::string_view text, int max_length, std::vector<int32_t>& ids) const {
  encode(text, EncodeOptions{.max_length = max_length}, ids);
}

void Tokenizer::encode(std::string_view text, const EncodeOptions& options, std::vector<int32_t>& ids) const {
  const int64_t room = impl_->room(options, impl_->n_special_single);
  for (const TemplateItem& item : impl_->single(options)) {
    if (item.kind == Kind::kFirst) {
      const size_t begin = ids.size();
      impl_->append_text(text, options.split_special_tokens, room, ids);
      truncate(ids, begin, room, impl_->spec.truncate_left);
    } else {
      ids.insert(ids.end(), item.ids.begin(), item.ids.end());
    }
  }
}

void Tokenizer::encode_pair(std::string_view first, std::string_view second, const EncodeOptions& options,
                            std::vector<int32_t>& ids, std::vector<int32_t>& type_ids) const {
  const int64_t room = impl_->room(options, impl_->n_special_pair);
  std::vector<int32_t> bodies[2];
  impl_->append_text(first, options.split_special_tokens, enough_of_pair(options), bodies[0]);
  impl_->append_text(second, options.split_special_tokens, enough_of_pair(options), bodies[1]);
  truncate_pair(bodies, room, impl_->spec.truncate_left);
  for (const TemplateItem& item : impl_->pair(options)) {
    const std::vector<int32_t>& part = item.kind == Kind::kSpecial ? item.ids : bodies[item.kind == Kind::kSecond];
    ids.insert(ids.end(), part.begin(), part.end());
    type_ids.insert(type_ids.end(), part.size(), item.type_id);
  }
}

namespace {

void append(const Tokenizer& tokenizer, const PlacedToken& token, int32_t type_id, TokenEncoding& out) {
  out.ids.push_back(token.id);
  out.type_ids.push_back(type_id);
  out.tokens.emplace_back(tokenizer.piece(token.id));
  out.offsets.emplace_back(token.begin, token.end);
}

TokenEncoding assemble(const Tokenizer& tokenizer, const std::vector<TemplateItem>& items,
                       const std::vector<PlacedToken> (&bodies)[2]) {
  TokenEncoding out;
  for (const TemplateItem& item : items) {
    for (const int32_t id : item.ids) append(tokenizer, {id, 0, 0}, item.type_id, out);
    if (item.kind == Kind::kSpecial) continue;
    for (const PlacedToken& token : bodies[item.kind == Kind::kSecond]) append(tokenizer, token, item.type_id, out);
  }
  return out;
}

}  // namespace

TokenEncoding Tokenizer::encode_with_offsets(std::string_view text, int max_length) const {
  return encode_with_offsets(text, EncodeOptions{.max_length = max_length});
}

TokenEncoding Tokenizer::encode_with_offsets(std::string_view text, const EncodeOptions& options) const {
  const int64_t room = impl_->room(options, impl_->n_special_single);
  std::vector<PlacedToken> bodies[2] = {impl_->place_text(text, options.split_special_tokens, room), {}};
  truncate(bodies[0], 0, room, impl_->spec.truncate_left);
  impl_->trim(bodies[0]);
  return assemble(*this, impl_->single(options), bodies);
}

TokenEncoding Tokenizer::encode_pair_with_offsets(std::string_view first, std::string_view second,
                                                  const EncodeOptions& options) const {
  const int64_t room = impl_->room(options, impl_->n_special_pair);
  std::vector<PlacedToken> bodies[2];
  bodies[0] = impl_->place_text(first, options.split_special_tokens, enough_of_pair(options));
  bodies[1] = impl_->place_text(second, options.split_special_tokens, enough_of_pair(options));
  truncate_pair(bodies, room, impl_->spec.truncate_left);
  for (std::vector<PlacedToken>& body : bodies) impl_->trim(body);
  return assemble(*this, impl_->pair(options), bodies);
}

}  // namespace fettle
