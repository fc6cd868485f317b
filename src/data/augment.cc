#include "data/augment.h"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "base/cancel.h"
#include "base/philox.h"

namespace fettle {
namespace {

constexpr uint64_t kStream = 0x41554721ull << 20;
constexpr size_t kMaxCountedTexts = 100'000;
constexpr size_t kMaxWordsOfFrame = 64;
constexpr size_t kMaxAlike = 8;
constexpr size_t kMaxFollowers = 16;
constexpr int32_t kMinSharedFrames = 2;
constexpr int kAttempts = 6;        // for each text wanted
constexpr double kWordsAnEdit = 8;  // one more edit for so many words

using Word = int32_t;
using Words = std::vector<Word>;
constexpr Word kEdge = -1;  // before the first word and behind the last

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

class Vocabulary {
 public:
  Words split(std::string_view text) {
    Words words;
    size_t at = 0;
    while (at < text.size()) {
      while (at < text.size() && is_space(text[at])) ++at;
      const size_t begin = at;
      while (at < text.size() && !is_space(text[at])) ++at;
      if (at > begin) words.push_back(id_of(text.substr(begin, at - begin)));
    }
    return words;
  }

  std::string join(const Words& words) const {
    std::string text;
    for (const Word word : words) {
      if (!text.empty()) text += ' ';
      text += names_[static_cast<size_t>(word)];
    }
    return text;
  }

  size_t size() const { return names_.size(); }

 private:
  Word id_of(std::string_view name) {
    const auto [found, is_new] = ids_.emplace(std::string(name), static_cast<Word>(names_.size()));
    if (is_new) names_.emplace_back(name);
    return found->second;
  }

  std::unordered_map<std::string, Word> ids_;
  std::vector<std::string> names_;
};

using Counts = std::map<Word, int32_t>;

// The most frequent first, ties by id.
Words most_frequent(const Counts& counts, size_t n, int32_t at_least = 1) {
  std::vector<std::pair<int32_t, Word>> order;
  for (const auto& [word, count] : counts) {
    if (count >= at_least) order.emplace_back(-count, word);
  }
  const size_t kept = std::min(n, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end());
  Words words;
  for (size_t i = 0; i < kept; ++i) words.push_back(order[i].second);
  return words;
}

// Which words stand in the same places, and which follow which.
class Contexts {
 public:
  explicit Contexts(const std::vector<Words>& texts, size_t n_words) : alike_(n_words), followers_(n_words) {
    std::vector<Counts> following(n_words);
    const size_t stride = std::max<size_t>(1, (texts.size() + kMaxCountedTexts - 1) / kMaxCountedTexts);
    for (size_t t = 0; t < texts.size(); t += stride) {
      if (t % 1024 == 0) throw_if_cancelled();
      const Words& text = texts[t];
      for (size_t i = 0; i < text.size(); ++i) {
        ++frames_[frame(text, i)][text[i]];
        if (i + 1 < text.size()) ++following[static_cast<size_t>(text[i])][text[i + 1]];
      }
    }
    for (size_t w = 0; w < n_words; ++w) followers_[w] = most_frequent(following[w], kMaxFollowers, 2);
    find_alike(n_words);
  }

  // Words that may stand where text[i] does.
  Words replacements(const Words& text, size_t i) const {
    Words words;
    if (const auto found = frames_.find(frame(text, i)); found != frames_.end()) {
      for (const Word word : most_frequent(found->second, kMaxWordsOfFrame)) {
        if (word != text[i]) words.push_back(word);
      }
    }
    return words.empty() ? alike_[static_cast<size_t>(text[i])] : words;
  }
  const Words& followers(Word word) const { return followers_[static_cast<size_t>(word)]; }

 private:
  using Frame = std::pair<Word, Word>;
  static Frame frame(const Words& text, size_t i) {
    return {i == 0 ? kEdge : text[i - 1], i + 1 == text.size() ? kEdge : text[i + 1]};
  }

  void find_alike(size_t n_words) {
    std::vector<Counts> shared(n_words);
    for (const auto& [frame, counts] : frames_) {
      const Words words = most_frequent(counts, kMaxWordsOfFrame);
      for (const Word a : words) {
        for (const Word b : words) {
          if (a != b) ++shared[static_cast<size_t>(a)][b];
        }
      }
    }
    for (size_t w = 0; w < n_words; ++w) alike_[w] = most_frequent(shared[w], kMaxAlike, kMinSharedFrames);
  }

  std::map<Frame, Counts> frames_;
  std::vector<Words> alike_;
  std::vector<Words> followers_;
};

class Augmenter {
 public:
  Augmenter(const Dataset& data, const AugmentOptions& options)
      : data_(data), options_(options), texts_(split_all()), contexts_(texts_, vocabulary_.size()) {
    for (size_t i = 0; i < data.examples.size(); ++i) {
      by_label_[data.examples[i].label].push_back(i);
      seen_.insert(key(data.examples[i].text, data.examples[i].text_pair));
      // As the rules write it.
      seen_.insert(key(vocabulary_.join(texts_[i]), data.examples[i].text_pair));
    }
  }

  std::vector<Example> run() {
    for (size_t i = 0; i < texts_.size(); ++i) {
      if (i % 1024 == 0) throw_if_cancelled();
      if (texts_[i].size() > 1) add_from(i);
    }
    return std::move(made_);
  }

 private:
  std::vector<Words> split_all() {
    std::vector<Words> texts;
    for (const Example& example : data_.examples) texts.push_back(vocabulary_.split(example.text));
    return texts;
  }
  static std::string key(const std::string& text, const std::string& pair) { return text + '\n' + pair; }

  void add_from(size_t i) {
    Philox random(options_.seed, kStream + i);
    int64_t n_made = 0;
    for (int64_t attempt = 0; attempt < kAttempts * options_.per_text && n_made < options_.per_text; ++attempt) {
      Words words = texts_[i];
      const auto n_edits =
          1 + random.below(1 + static_cast<uint64_t>(static_cast<double>(words.size()) / kWordsAnEdit));
      for (uint64_t edit = 0; edit < n_edits; ++edit) change(words, i, random);
      if (words.empty()) continue;
      const Example& source = data_.examples[i];
      Example made{.text = vocabulary_.join(words), .text_pair = source.text_pair};
      if (!seen_.insert(key(made.text, made.text_pair)).second) continue;
      made_.push_back(std::move(made));
      ++n_made;
    }
  }

  void change(Words& words, size_t source, Philox& random) const {
    const size_t at = random.below(words.size());
    switch (random.below(5)) {
      case 0:
        if (words.size() > 2) words.erase(words.begin() + static_cast<std::ptrdiff_t>(at));
        return;
      case 1:
        if (at + 1 < words.size()) std::swap(words[at], words[at + 1]);
        return;
      case 2:
        if (const Words others = contexts_.replacements(words, at); !others.empty()) {
          words[at] = others[random.below(others.size())];
        }
        return;
      case 3:
        if (const Words& next = contexts_.followers(words[at]); !next.empty()) {
          words.insert(words.begin() + static_cast<std::ptrdiff_t>(at) + 1, next[random.below(next.size())]);
        }
        return;
      default:
        join_with_another(words, source, at, random);
    }
  }

  void join_with_another(Words& words, size_t source, size_t at, Philox& random) const {
    const std::vector<size_t>& others = by_label_.at(data_.examples[source].label);
    const Words& other = texts_[others[random.below(others.size())]];
    if (other.size() < 2) return;
    auto from = std::find(other.begin(), other.end(), words[at]);
    if (from == other.end()) from = other.begin() + static_cast<std::ptrdiff_t>(random.below(other.size()));
    words.resize(at);
    words.insert(words.end(), from, other.end());
  }

  const Dataset& data_;
  AugmentOptions options_;
  Vocabulary vocabulary_;
  std::vector<Words> texts_;
  Contexts contexts_;
  std::map<int32_t, std::vector<size_t>> by_label_;
  std::unordered_set<std::string> seen_;
  std::vector<Example> made_;
};

}  // namespace

std::vector<Example> augment(const Dataset& data, const AugmentOptions& options) {
  if (options.per_text <= 0) return {};
  return Augmenter(data, options).run();
}

}  // namespace fettle
