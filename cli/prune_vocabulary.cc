// The method `vocabulary` of fettle prune.
#include <fmt/format.h>

#include "base/error.h"
#include "cli/prune_methods.h"
#include "compress/prune/vocabulary.h"

namespace fettle::cli {

namespace {

constexpr size_t kMaxListed = 50;
constexpr size_t kMaxPrinted = 8;

void add_texts(const std::string& file, const DataFlags& flags, std::vector<std::string>& texts) {
  for (Example& example : load_dataset(file, flags.unlabelled()).examples) {
    texts.push_back(std::move(example.text));
    if (!example.text_pair.empty()) texts.push_back(std::move(example.text_pair));
  }
}

Json to_json(const VocabularyEffect& effect) {
  Json words = Json::array();
  for (const WordChange& change : effect.changed) {
    if (words.size() == kMaxListed) break;
    words.push_back(Json{{"word", change.word},
                         {"count", change.count},
                         {"pieces_before", change.pieces_before},
                         {"pieces", change.pieces_after},
                         {"unknown", change.is_unknown}});
  }
  return Json{{"words", effect.n_words},         {"unknown", effect.n_unknown},
              {"split", effect.n_split},         {"tokens_before", effect.n_tokens_before},
              {"tokens", effect.n_tokens_after}, {"changed", std::move(words)}};
}

std::string to_text(const VocabularyEffect& effect) {
  std::string text =
      fmt::format("of {} words of --eval {} become unknown and {} have more pieces; {} -> {} tokens", effect.n_words,
                  effect.n_unknown, effect.n_split, effect.n_tokens_before, effect.n_tokens_after);
  for (size_t i = 0; i < std::min(kMaxPrinted, effect.changed.size()); ++i) {
    text += (i == 0 ? ": " : ", ") + shown_text(effect.changed[i].word);
  }
  return text + (effect.changed.size() > kMaxPrinted ? ", …\n" : "\n");
}

class VocabularyGroup : public PruneGroup {
 public:
  std::vector<std::string> methods() const override { return {"vocabulary"}; }

  void add_to(CLI::App& verb) override {
    verb.add_option("--keep-words", options_.keep_words,
                    "vocabulary: pieces to keep, besides what the texts need the first by id (default: needed ones)")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
    verb.add_option("--texts", more_texts_, "vocabulary: more files of texts that must be cut as before");
  }

  std::vector<std::string> flags_of(const std::string&) const override { return {"--keep-words", "--texts"}; }

  void check(const PruneCommand& command) const override {
    command.require("--data", "texts that must be cut into the same pieces as before");
    if (command.is_given("--keep-words") && command.is_given("--target")) {
      usage_error("--keep-words", "contradicts --target");
    }
  }

  PruneOutcome run(Model& model, const std::shared_ptr<const Model>& original, const PruneCommand& command,
                   const Globals&) override {
    std::vector<std::string> texts;
    add_texts(command.data, command.data_flags, texts);
    for (const std::string& file : more_texts_) add_texts(file, command.data_flags, texts);
    VocabularyOptions options = options_;
    if (command.is_given("--target")) options.target = command.target();
    const VocabularyReport report = prune_vocabulary(model, texts, options);

    const auto removed = report.n_before - report.n_after;
    PruneOutcome outcome;
    outcome.sparsity = static_cast<double>(removed) / static_cast<double>(report.n_before);
    outcome.removed = Json{{"words", removed}};
    outcome.more["vocab_size_before"] = report.n_before;
    outcome.more["vocab_size"] = report.n_after;
    outcome.more["needed"] = report.n_needed;
    outcome.options = Json{{"data", command.data}};
    if (!more_texts_.empty()) outcome.options["texts"] = more_texts_;
    if (options.keep_words > 0) outcome.options["keep_words"] = options.keep_words;
    if (options.target > 0) outcome.options["target"] = options.target;
    outcome.text =
        fmt::format("{} -> {} pieces, {} of them needed\n", report.n_before, report.n_after, report.n_needed);
    if (!command.eval.empty()) {
      std::vector<std::string> others;
      add_texts(command.eval, command.data_flags, others);
      const VocabularyEffect effect = compare_vocabularies(*original->tokenizer, *model.tokenizer, others);
      outcome.more["vocabulary"] = to_json(effect);
      outcome.text += to_text(effect);
    }
    return outcome;
  }

 private:
  VocabularyOptions options_;
  std::vector<std::string> more_texts_;
};

}  // namespace

std::unique_ptr<PruneGroup> make_vocabulary_group() {
  return std::make_unique<VocabularyGroup>();
}

}  // namespace fettle::cli
