#include "text/unigram_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "text/unicode.h"

namespace fettle {
namespace {

constexpr double kUnkPenalty = 10;
constexpr uint32_t kUnset = std::numeric_limits<uint32_t>::max();

bool is_space(char32_t code) {
  return (unicode::CharTable::get().flags(code) & unicode::kSpace) != 0;
}

// Bytes of the character at `at`, at most what is left.
size_t char_size(std::string_view text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  return std::min(size, text.size() - at);
}

PieceTrie make_trie(const TokenizerSpec& spec, const Vocabulary& vocabulary) {
  std::vector<std::pair<std::string_view, int32_t>> pieces;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (spec.unigram.matches[static_cast<size_t>(id)]) pieces.emplace_back(vocabulary.piece(id), id);
  }
  return PieceTrie(std::move(pieces));
}

}  // namespace

// Buffers that one call uses for all its segments; segments of usual length need no other memory.
class UnigramModel::Work {
 public:
  struct Node {
    double score;
    int32_t id;      // of the piece that ends here
    uint32_t begin;  // where it begins, kUnset when no path leads here
  };
  std::span<Node> nodes(size_t n) {
    if (n <= inline_nodes_.size()) return {inline_nodes_.data(), n};
    if (nodes_.size() < n) nodes_.resize(n);
    return {nodes_.data(), n};
  }
  std::vector<Cut> cuts;

 private:
  std::array<Node, 129> inline_nodes_;
  std::vector<Node> nodes_;
};

UnigramModel::UnigramModel(const TokenizerSpec& spec)
    : options_(spec.unigram.options),
      normalizer_(spec.normalizer),
      vocabulary_(spec.pieces, std::nullopt),
      scores_(spec.unigram.scores),
      trie_(make_trie(spec, vocabulary_)) {
  check_duplicates(vocabulary_, spec);
  if (options_.unk_id < 0 || options_.unk_id >= vocabulary_.size()) bad_input(spec.where, "has no unknown piece");
  unk_score_ = spec.unigram.min_score - kUnkPenalty;
  if (options_.float_scores) unk_score_ = static_cast<float>(unk_score_);
  const std::optional<int32_t> space = vocabulary_.find(kSpaceText);
  ends_at_spaces_ = space && spec.unigram.matches[static_cast<size_t>(*space)];
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    const bool has_inner_space = vocabulary_.piece(id).find(kSpaceText, 1) != std::string_view::npos;
    if (has_inner_space && spec.unigram.matches[static_cast<size_t>(id)]) ends_at_spaces_ = false;
  }
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    byte_ids_[byte] = options_.byte_fallback ? vocabulary_.find(fmt::format("<0x{:02X}>", byte)).value_or(-1) : -1;
  }
}

// Viterbi's algorithm over the ends of pieces, as SentencePiece's EncodeOptimized has it: sums are doubles that are
// rounded to Score when they are kept.
template <typename Score>
void UnigramModel::find_best_paths(std::string_view segment, double score, Work& work) const {
  const std::span<Work::Node> nodes = work.nodes(segment.size() + 1);
  std::ranges::fill(nodes, Work::Node{0, 0, kUnset});
  nodes[0] = {score, 0, 0};
  for (size_t at = 0; at < segment.size();) {
    const double so_far = nodes[at].score;
    const size_t first_size = char_size(segment, at);
    bool has_single = false;
    const auto offer = [&](size_t size, int32_t id, double candidate) {
      Work::Node& node = nodes[at + size];
      if (node.begin != kUnset && !(candidate > node.score)) return;
      node = {static_cast<Score>(candidate), id, static_cast<uint32_t>(at)};
    };
    trie_.for_each_prefix(segment.substr(at), [&](size_t size, int32_t id) {
      offer(size, id, scores_[static_cast<size_t>(id)] + so_far);
      has_single = has_single || size == first_size;
    });
    if (!has_single) {
      offer(first_size, options_.unk_id, static_cast<Score>(unk_score_) + static_cast<Score>(so_far));
    }
    at += first_size;
  }
}

std::span<const UnigramModel::Cut> UnigramModel::cut(std::string_view segment, double& score, Work& work) const {
  if (options_.float_scores) {
    find_best_paths<float>(segment, score, work);
  } else {
    find_best_paths<double>(segment, score, work);
  }
  const std::span<Work::Node> nodes = work.nodes(segment.size() + 1);
  score = nodes[segment.size()].score;
  work.cuts.clear();
  for (size_t end = segment.size(); end > 0;) {
    const Work::Node& node = nodes[end];
    const auto size = static_cast<uint32_t>(end - node.begin);
    // Unknown characters in a row are one piece; SentencePiece cuts each of them into bytes, where it does.
    const bool joins = node.id == options_.unk_id && !(options_.float_scores && options_.byte_fallback);
    if (joins && !work.cuts.empty() && work.cuts.back().id == node.id) {
      work.cuts.back().size += size;
    } else {
      work.cuts.push_back({node.id, size});
    }
    end = node.begin;
  }
  return work.cuts;
}

template <typename OnCuts>
bool UnigramModel::for_each_segment(std::string_view text, OnCuts&& on_cuts) const {
  Work work;
  double score = 0;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.size();
    if (options_.splits || ends_at_spaces_) end = std::min(text.find(kSpaceText, at + 1), text.size());
    if (options_.splits) score = 0;
    const std::string_view segment = text.substr(at, end - at);
    if (!on_cuts(segment, cut(segment, score, work))) return false;
    at = end;
  }
  return true;
}

template <typename OnId>
void UnigramModel::for_each_id(const Cut& cut, std::string_view bytes, OnId&& on_id) const {
  const auto id_of = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  const bool as_bytes = options_.byte_fallback && cut.id == options_.unk_id &&
                        std::ranges::all_of(bytes, [&](char c) { return id_of(c) >= 0; });
  if (!as_bytes) return on_id(cut.id);
  for (const char c : bytes) on_id(id_of(c));
}

std::string UnigramModel::pre_tokenize(std::string_view text, bool at_start) const {
  std::string out;
  out.reserve(text.size() + text.size() / 2 + kSpaceText.size());
  bool in_word = false;
  for (size_t at = 0; at < text.size();) {
    const unicode::DecodedChar next = unicode::decode_utf8(text.data() + at, text.data() + text.size());
    const std::string_view bytes = text.substr(at, static_cast<size_t>(next.n_bytes));
    at += bytes.size();
    if (options_.splits_at_white_space && is_space(next.code)) {
      in_word = false;
      continue;
    }
    const bool is_symbol = next.code == ' ' || next.code == kSpaceSymbol;
    if (!in_word && !is_symbol && adds_space(at_start)) out += kSpaceText;
    in_word = true;
    out += is_symbol ? kSpaceText : bytes;
  }
  return out;
}

NormalizedText UnigramModel::pre_tokenize(const NormalizedText& text, bool at_start) const {
  NormalizedText out;
  bool in_word = false;
  for (NormalizedChar c : text) {
    if (options_.splits_at_white_space && is_space(c.code)) {
      in_word = false;
      continue;
    }
    if (c.code == ' ') c.code = kSpaceSymbol;
    // The added space stands for the first character, as in the reference.
    if (!in_word && c.code != kSpaceSymbol && adds_space(at_start)) out.push_back({kSpaceSymbol, c.begin, c.end});
    in_word = true;
    out.push_back(c);
  }
  return out;
}

bool UnigramModel::append(std::string_view text, bool at_start, size_t enough, std::vector<int32_t>& ids) const {
  std::string normalized = unicode::is_valid_utf8(text) ? std::string(text) : unicode::replace_invalid_utf8(text);
  if (options_.prepend == MetaspacePrepend::kFirst && !normalizer_.empty()) {
    // Whether a space is added depends on what the first character left comes from.
    std::vector<PlacedToken> tokens;
    const NormalizedText chars = normalize(normalized, 0);
    const size_t missing = enough - std::min(enough, ids.size());
    const bool more = place(chars, at_start && !chars.empty() && chars[0].begin == 0, missing, tokens);
    for (const PlacedToken& token : tokens) ids.push_back(token.id);
    return more;
  }
  normalizer_.apply(normalized);
  if (options_.metaspace) normalized = pre_tokenize(std::string_view(normalized), at_start);
  return for_each_segment(normalized, [&](std::string_view segment, std::span<const Cut> cuts) {
    size_t begin = 0;
    for (auto it = cuts.rbegin(); it != cuts.rend(); ++it) {
      for_each_id(*it, segment.substr(begin, it->size), [&](int32_t id) { ids.push_back(id); });
      begin += it->size;
    }
    return ids.size() < enough;
  });
}

NormalizedText UnigramModel::normalize(std::string_view text, int32_t first) const {
  return normalizer_.apply(number_chars(text, first));
}

bool UnigramModel::place(const NormalizedText& given, bool at_start, size_t enough,
                         std::vector<PlacedToken>& out) const {
  const NormalizedText text = options_.metaspace ? pre_tokenize(given, at_start) : given;
  const std::string utf8 = to_utf8(text, 0, text.size());
  size_t from = 0;
  return for_each_segment(utf8, [&](std::string_view segment, std::span<const Cut> cuts) {
    size_t begin = 0;
    for (auto it = cuts.rbegin(); it != cuts.rend(); ++it) {
      const std::string_view bytes = segment.substr(begin, it->size);
      const size_t to = from + static_cast<size_t>(unicode::count_chars(bytes));
      for_each_id(*it, bytes, [&](int32_t id) { out.push_back({id, text[from].begin, text[to - 1].end}); });
      begin += it->size;
      from = to;
    }
    return out.size() < enough;
  });
}

}  // namespace fettle
