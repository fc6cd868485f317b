#include "data/demo_grammar.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/philox.h"
#include "data/demo_phrases.h"
#include "data/demo_phrases_parts.h"

namespace fettle {
namespace {

constexpr uint64_t kStream = 0x44454d4full << 20;
constexpr double kHeldOutShare = 0.12;  // of validation and test queries
constexpr int64_t kOosFactor = 4;       // test has so many times an intent's number out of scope
constexpr int kAttempts = 50;

enum class Split : uint64_t { kTrain, kValidation, kTest };

class Speaker {
 public:
  Speaker(const DemoOptions& options, Split split)
      : random_(options.seed, kStream + static_cast<uint64_t>(split)), noise_(options.noise), split_(split) {}

  std::string say(const DemoIntent& intent, bool decorate) {
    const bool held_out = split_ != Split::kTrain && random_.uniform_double() < kHeldOutShare;
    const std::string core = expand(pick(held_out ? intent.held_out : intent.phrases));
    std::string text = decorate ? in_context(core) : core;
    squeeze(text);
    if (random_.uniform_double() < noise_) disturb(text);
    return text;
  }

 private:
  std::string_view pick(std::span<const std::string_view> items) { return items[random_.below(items.size())]; }

  std::string in_context(const std::string& core) {
    const auto verbs = demo_request_verbs();
    const bool request = std::find(verbs.begin(), verbs.end(), core.substr(0, core.find(' '))) != verbs.end();
    std::string text(pick(demo_openings(request)));
    text += core;
    return text + std::string(pick(demo_endings(request)));
  }

  std::string_view fill(std::string_view name) {
    const auto slots = demo_slots();
    const auto slot = std::find_if(slots.begin(), slots.end(), [&](const DemoSlot& s) { return s.name == name; });
    assert(slot != slots.end());
    return pick(split_ == Split::kTrain ? slot->fillers.first(slot->n_training) : slot->fillers);
  }

  // One of "a|b|c".
  std::string_view choose(std::string_view alternatives) {
    const auto bars = std::count(alternatives.begin(), alternatives.end(), '|');
    uint64_t skip = random_.below(static_cast<uint64_t>(bars) + 1);
    while (skip-- > 0) alternatives.remove_prefix(alternatives.find('|') + 1);
    return alternatives.substr(0, alternatives.find('|'));
  }

  std::string expand(std::string_view pattern) {
    std::string text;
    while (!pattern.empty()) {
      const char open = pattern[0];
      if (open != '(' && open != '{') {
        text += open;
        pattern.remove_prefix(1);
        continue;
      }
      const size_t end = pattern.find(open == '(' ? ')' : '}');
      assert(end != std::string_view::npos);
      const std::string_view inside = pattern.substr(1, end - 1);
      text += open == '(' ? expand(choose(inside)) : std::string(fill(inside));
      pattern.remove_prefix(end + 1);
    }
    return text;
  }

  // Empty alternatives leave double spaces.
  static void squeeze(std::string& text) {
    std::string result;
    for (char c : text) {
      if (c == ' ' && (result.empty() || result.back() == ' ')) continue;
      result += c;
    }
    if (!result.empty() && result.back() == ' ') result.pop_back();
    text = std::move(result);
  }

  void disturb(std::string& text) {
    switch (random_.below(4)) {
      case 0:
        drop_word(text);
        return;
      case 1:
        insert_filler(text);
        return;
      default:
        mistype(text);
    }
  }

  std::vector<size_t> spaces(const std::string& text) const {
    std::vector<size_t> result;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == ' ') result.push_back(i);
    }
    return result;
  }

  void drop_word(std::string& text) {
    const std::vector<size_t> gaps = spaces(text);
    if (gaps.size() < 3) return;
    const size_t begin = gaps[random_.below(gaps.size())];
    const size_t end = std::min(text.find(' ', begin + 1), text.size());
    text.erase(begin, end - begin);
  }

  void insert_filler(std::string& text) {
    static constexpr std::string_view kFillers[] = {" um", " like", " you know", " uh", " well", " actually"};
    const std::vector<size_t> gaps = spaces(text);
    if (gaps.empty()) return;
    text.insert(gaps[random_.below(gaps.size())], pick(kFillers));
  }

  // Two letters swapped, one left out or one doubled.
  void mistype(std::string& text) {
    if (text.size() < 4) return;
    const size_t i = 1 + random_.below(text.size() - 2);
    switch (random_.below(3)) {
      case 0:
        std::swap(text[i], text[i + 1]);
        return;
      case 1:
        text.erase(i, 1);
        return;
      default:
        text.insert(i, 1, text[i]);
    }
  }

  Philox random_;
  double noise_;
  Split split_;
};

std::vector<const DemoIntent*> all_intents() {
  std::vector<const DemoIntent*> intents;
  for (const DemoIntent& intent : demo_intents_home()) intents.push_back(&intent);
  for (const DemoIntent& intent : demo_intents_errands()) intents.push_back(&intent);
  intents.push_back(&demo_out_of_scope());
  std::sort(intents.begin(), intents.end(), [](const DemoIntent* a, const DemoIntent* b) { return a->name < b->name; });
  return intents;
}

// Texts of one split are not in the splits made before. Where the grammar runs dry, repetitions within a split stay.
Dataset make_split(const DemoOptions& options, Split split, int64_t per_intent,
                   std::unordered_set<std::string>& before) {
  Dataset data;
  data.source = "demo";
  Speaker speaker(options, split);
  std::unordered_set<std::string> mine;
  for (const DemoIntent* intent : all_intents()) {
    const int32_t label = static_cast<int32_t>(data.labels.size());
    const bool out_of_scope = intent == &demo_out_of_scope();
    if (out_of_scope) data.oos_label = label;
    data.labels.emplace_back(intent->name);
    const int64_t n = out_of_scope && split == Split::kTest ? kOosFactor * per_intent : per_intent;
    for (int64_t i = 0; i < n; ++i) {
      std::string text;
      for (int attempt = 0; attempt < kAttempts; ++attempt) {
        text = speaker.say(*intent, !out_of_scope || attempt > kAttempts / 2);
        if (!before.contains(text) && mine.insert(text).second) break;
      }
      data.examples.push_back({.text = std::move(text), .label = label});
    }
  }
  before.merge(mine);
  Philox order(options.seed, kStream + 16 + static_cast<uint64_t>(split));
  order.shuffle(data.examples);
  return data;
}

}  // namespace

DemoData make_demo_data(const DemoOptions& options) {
  std::unordered_set<std::string> before;
  DemoData data;
  data.train = make_split(options, Split::kTrain, options.train_per_intent, before);
  data.validation = make_split(options, Split::kValidation, options.validation_per_intent, before);
  data.test = make_split(options, Split::kTest, options.test_per_intent, before);
  return data;
}

}  // namespace fettle
