#include "text/wordpiece_model.h"

#include <utility>

#include "text/unicode.h"

namespace fettle {

WordPieceModel::WordPieceModel(const TokenizerSpec& spec)
    : options_(spec.options), vocabulary_(spec.pieces, spec.options.continuing_prefix), splitter_(spec.options) {
  check_duplicates(vocabulary_, spec);
  unk_id_ = require_piece(vocabulary_, spec.options.unk_token, spec.where);
}

bool WordPieceModel::append(std::string_view text, bool, size_t enough, std::vector<int32_t>& ids) const {
  bool more = true;
  splitter_.split(text, [&](const NormalizedWord& word) {
    if (word.too_long || !vocabulary_.cut(word.text, ids)) ids.push_back(unk_id_);
    return more = ids.size() < enough;
  });
  return more;
}

NormalizedText WordPieceModel::normalize(std::string_view text, int32_t first) const {
  return fettle::normalize(text, first, options_);
}

void WordPieceModel::place_word(const NormalizedText& text, size_t begin, size_t end,
                                std::vector<PlacedToken>& out) const {
  const bool too_long = std::cmp_greater(end - begin, options_.max_input_chars_per_word);
  const std::string word = to_utf8(text, begin, end);
  std::vector<int32_t> ids, ends;
  if (too_long || !vocabulary_.cut(word, ids, &ends)) {
    out.push_back({unk_id_, text[begin].begin, text[end - 1].end});
    return;
  }
  size_t from = begin, from_byte = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto to_byte = static_cast<size_t>(ends[i]);
    const int32_t n_chars = unicode::count_chars(std::string_view(word).substr(from_byte, to_byte - from_byte));
    const size_t to = from + static_cast<size_t>(n_chars);
    out.push_back({ids[i], text[from].begin, text[to - 1].end});
    from = to;
    from_byte = to_byte;
  }
}

bool WordPieceModel::place(const NormalizedText& text, bool, size_t enough, std::vector<PlacedToken>& out) const {
  for (const auto& [begin, end] : pre_tokenize(text)) {
    place_word(text, begin, end, out);
    if (out.size() >= enough) return false;
  }
  return true;
}

}  // namespace fettle
