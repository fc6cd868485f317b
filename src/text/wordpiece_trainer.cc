#include "text/wordpiece_trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>
#include <unordered_map>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "text/unicode.h"
#include "text/word_splitter.h"

namespace fettle {
namespace {

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

using Symbol = int32_t;

// A distinct word as it stands after the merges so far. Its symbols lie in one array for all words.
struct WordSpan {
  size_t begin = 0;
  int32_t size = 0;
  int64_t count = 0;
};

uint64_t pair_key(Symbol left, Symbol right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

struct PairState {
  int64_t count = 0;
  int64_t queued_count = 0;     // the highest count that the queue has it with
  std::vector<uint32_t> words;  // where it may occur; may hold words that lost it
};

// The most frequent pair first, then the lower left and right symbol.
struct Candidate {
  int64_t count;
  uint64_t key;
  bool operator<(const Candidate& other) const { return count != other.count ? count < other.count : key > other.key; }
};

// Merges pairs of symbols over weighted words (Sennrich et al., "Neural Machine Translation of Rare Words with Subword
// Units", 2016) with counts kept up to date, so that a merge costs only the words that have the pair.
class PairMerger {
 public:
  PairMerger(std::vector<Symbol> symbols, std::vector<WordSpan> words)
      : symbols_(std::move(symbols)), words_(std::move(words)) {
    for (uint32_t w = 0; w < words_.size(); ++w) {
      const Symbol* symbols_of_word = &symbols_[words_[w].begin];
      for (int32_t i = 0; i + 1 < words_[w].size; ++i) gain(w, symbols_of_word[i], symbols_of_word[i + 1]);
    }
    queue_risen();
  }

  // The next pair to merge; false when none is left or the best occurs less than `min_count` times.
  bool next(int64_t min_count, Symbol* left, Symbol* right) {
    while (!queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      PairState& state = pairs_.at(top.key);
      // Counts that fell since they were queued are put right here.
      if (state.count != top.count) {
        if (top.count == state.queued_count) queue(top.key, state);
        continue;
      }
      if (top.count < 1 || top.count < min_count) return false;
      *left = static_cast<Symbol>(top.key >> 32);
      *right = static_cast<Symbol>(top.key & 0xffffffff);
      return true;
    }
    return false;
  }

  void merge(Symbol left, Symbol right, Symbol merged) {
    const std::vector<uint32_t> words = std::exchange(pairs_.at(pair_key(left, right)).words, {});
    for (const uint32_t w : words) merge_in_word(w, left, right, merged);
    PairState& state = pairs_.at(pair_key(left, right));
    state.count = state.queued_count = 0;
    queue_risen();
  }

 private:
  void queue(uint64_t key, PairState& state) {
    state.queued_count = state.count;
    queue_.push({state.count, key});
  }

  void queue_risen() {
    for (const uint64_t key : gained_) {
      PairState& state = pairs_.at(key);
      if (state.count > state.queued_count) queue(key, state);
    }
    gained_.clear();
  }

  void gain(uint32_t w, Symbol left, Symbol right) {
    const uint64_t key = pair_key(left, right);
    PairState& state = pairs_[key];
    state.count += words_[w].count;
    if (state.words.empty() || state.words.back() != w) state.words.push_back(w);
    gained_.push_back(key);
  }

  void lose(uint32_t w, Symbol left, Symbol right) { pairs_.at(pair_key(left, right)).count -= words_[w].count; }

  void merge_in_word(uint32_t w, Symbol left, Symbol right, Symbol merged) {
    WordSpan& word = words_[w];
    Symbol* symbols = &symbols_[word.begin];
    int32_t n = 0;
    for (int32_t i = 0; i < word.size; ++i, ++n) {
      const bool found = symbols[i] == left && i + 1 < word.size && symbols[i + 1] == right;
      if (!found) {
        symbols[n] = symbols[i];
        continue;
      }
      if (n > 0) {
        lose(w, symbols[n - 1], left);
        gain(w, symbols[n - 1], merged);
      }
      if (i + 2 < word.size) {
        lose(w, right, symbols[i + 2]);
        gain(w, merged, symbols[i + 2]);
      }
      symbols[n] = merged;
      ++i;
    }
    word.size = n;
  }

  std::vector<Symbol> symbols_;
  std::vector<WordSpan> words_;
  std::unordered_map<uint64_t, PairState> pairs_;
  std::priority_queue<Candidate> queue_;
  std::vector<uint64_t> gained_;
};

// The pieces found so far and their ids.
class PieceTable {
 public:
  Symbol add(const std::string& piece) {
    const auto [it, is_new] = ids_.try_emplace(piece, static_cast<Symbol>(pieces_.size()));
    if (is_new) pieces_.push_back(piece);
    return it->second;
  }
  const std::string& operator[](Symbol id) const { return pieces_[static_cast<size_t>(id)]; }
  int size() const { return static_cast<int>(pieces_.size()); }
  std::vector<std::string> take() { return std::move(pieces_); }

 private:
  std::vector<std::string> pieces_;
  std::unordered_map<std::string, Symbol> ids_;
};

std::vector<char32_t> chars_of(std::string_view text) {
  std::vector<char32_t> out;
  const char* end = text.data() + text.size();
  for (const char* p = text.data(); p != end;) {
    const unicode::DecodedChar c = unicode::decode_utf8(p, end);
    out.push_back(c.code);
    p += c.n_bytes;
  }
  return out;
}

std::string utf8_of(char32_t code) {
  std::string out;
  unicode::append_utf8(code, out);
  return out;
}

}  // namespace

struct WordPieceTrainer::State {
  using Counts = std::unordered_map<std::string, int64_t, StringHash, std::equal_to<>>;
  using SortedCounts = std::vector<std::pair<std::string_view, int64_t>>;

  explicit State(WordPieceTrainingOptions given) : options(std::move(given)), splitter(options.tokenizer) {}

  SortedCounts sorted() const;
  std::unordered_map<char32_t, bool> choose_alphabet(const SortedCounts& words) const;
  PairMerger cut_into_symbols(const SortedCounts& words, PieceTable& pieces) const;

  WordPieceTrainingOptions options;
  WordSplitter splitter;
  Counts counts;
  int64_t n_words = 0;
};

WordPieceTrainer::WordPieceTrainer(WordPieceTrainingOptions options) {
  if (options.vocab_size <= std::ssize(options.special_tokens)) {
    usage_error("vocab_size", fmt::format("{} leaves no room beside {} special tokens", options.vocab_size,
                                          options.special_tokens.size()));
  }
  if (options.min_frequency < 0) usage_error("min_frequency", fmt::format("{} is negative", options.min_frequency));
  if (options.limit_alphabet < 1) usage_error("limit_alphabet", fmt::format("{} is below 1", options.limit_alphabet));
  state_ = std::make_unique<State>(std::move(options));
}

WordPieceTrainer::~WordPieceTrainer() = default;

int64_t WordPieceTrainer::n_words() const {
  return state_->n_words;
}
int64_t WordPieceTrainer::n_distinct_words() const {
  return std::ssize(state_->counts);
}

void WordPieceTrainer::add(std::string_view text) {
  state_->splitter.split(text, [this](const NormalizedWord& word) {
    if (word.too_long) return true;
    ++state_->n_words;
    const auto it = state_->counts.find(word.text);
    if (it != state_->counts.end()) {
      ++it->second;
    } else {
      state_->counts.emplace(word.text, 1);
    }
    return true;
  });
}

WordPieceTrainer::State::SortedCounts WordPieceTrainer::State::sorted() const {
  SortedCounts out(counts.begin(), counts.end());
  std::sort(out.begin(), out.end());
  return out;
}

std::unordered_map<char32_t, bool> WordPieceTrainer::State::choose_alphabet(const SortedCounts& words) const {
  std::unordered_map<char32_t, int64_t> frequency;
  for (const auto& [word, count] : words) {
    for (const char32_t code : chars_of(word)) frequency[code] += count;
  }
  std::vector<std::pair<int64_t, char32_t>> order;
  for (const auto& [code, count] : frequency) order.emplace_back(-count, code);
  std::sort(order.begin(), order.end());
  std::unordered_map<char32_t, bool> kept;
  for (size_t i = 0; i < order.size(); ++i) kept[order[i].second] = std::cmp_less(i, options.limit_alphabet);
  return kept;
}

PairMerger WordPieceTrainer::State::cut_into_symbols(const SortedCounts& words, PieceTable& pieces) const {
  const auto kept = choose_alphabet(words);
  std::vector<char32_t> alphabet;
  for (const auto& [code, is_kept] : kept) {
    if (is_kept) alphabet.push_back(code);
  }
  std::sort(alphabet.begin(), alphabet.end());
  for (const char32_t code : alphabet) pieces.add(utf8_of(code));

  std::vector<Symbol> symbols;
  std::vector<WordSpan> spans;
  for (const auto& [word, count] : words) {
    WordSpan span{symbols.size(), 0, count};
    bool first = true;
    for (const char32_t code : chars_of(word)) {
      if (kept.at(code)) {
        symbols.push_back(pieces.add(first ? utf8_of(code) : options.tokenizer.continuing_prefix + utf8_of(code)));
      }
      first = false;
    }
    span.size = static_cast<int32_t>(symbols.size() - span.begin);
    if (span.size > 0) spans.push_back(span);
  }
  return PairMerger(std::move(symbols), std::move(spans));
}

std::vector<std::string> WordPieceTrainer::train() const {
  const WordPieceTrainingOptions& options = state_->options;
  if (state_->counts.empty()) bad_input("vocabulary training", "the text has no words");
  PieceTable pieces;
  for (const std::string& token : options.special_tokens) pieces.add(token);
  PairMerger merger = state_->cut_into_symbols(state_->sorted(), pieces);
  if (pieces.size() > options.vocab_size) {
    bad_input("vocabulary training",
              fmt::format("vocab_size {} is too small for {} special tokens and characters", options.vocab_size,
                          pieces.size()),
              "lower limit_alphabet");
  }
  const std::string& prefix = options.tokenizer.continuing_prefix;
  Symbol left = 0, right = 0;
  while (pieces.size() < options.vocab_size && merger.next(options.min_frequency, &left, &right)) {
    throw_if_cancelled();
    std::string_view tail = pieces[right];
    if (tail.starts_with(prefix)) tail.remove_prefix(prefix.size());
    merger.merge(left, right, pieces.add(pieces[left] + std::string(tail)));
  }
  return pieces.take();
}

std::vector<std::string> train_wordpiece(FunctionRef<bool(std::string& text)> next,
                                         const WordPieceTrainingOptions& options) {
  WordPieceTrainer trainer(options);
  std::string text;
  while (next(text)) trainer.add(text);
  return trainer.train();
}

}  // namespace fettle
