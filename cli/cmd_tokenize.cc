// fettle tokenize and fettle tokenizer train.
#include <fmt/format.h>

#include <memory>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "cli/app.h"
#include "data/rows.h"
#include "model/sentence_pipeline.h"
#include "text/tokenizer.h"
#include "text/wordpiece_trainer.h"

namespace fettle::cli {

namespace {

struct TokenizeCommand {
  std::string model;
  std::vector<std::string> texts;
  int max_length = 0;
  bool parse_special = false;
};

int run_tokenize(const TokenizeCommand& command, const Globals& globals) {
  const auto tokenizer = Tokenizer::load(encoder_folder(resolve_model(command.model)));
  const EncodeOptions options{.max_length = command.max_length, .split_special_tokens = !command.parse_special};
  Json results = Json::array();
  std::string lines;
  for (const std::string& text : command.texts) {
    require_utf8(text, "text");
    const TokenEncoding encoding = tokenizer->encode_with_offsets(text, options);
    if (globals.json) {
      results.push_back(Json{{"ids", encoding.ids}, {"tokens", encoding.tokens}, {"offsets", encoding.offsets}});
      continue;
    }
    for (size_t i = 0; i < encoding.ids.size(); ++i) {
      lines += fmt::format("{:>7}  {:<24} {}..{}\n", encoding.ids[i], encoding.tokens[i], encoding.offsets[i].first,
                           encoding.offsets[i].second);
    }
  }
  if (globals.json) {
    print_json(Json{{"results", std::move(results)}});
  } else {
    print(lines);
  }
  return 0;
}

struct TokenizerTrainCommand {
  std::vector<std::string> data;
  int vocab_size = 30522;
  int64_t min_frequency = 2;
  int limit_alphabet = 1000;
  bool cased = false;
  std::string out;
  DataFlags data_flags;
};

int run_tokenizer_train(const TokenizerTrainCommand& command, const Globals& globals) {
  refuse_existing(command.out, globals);
  WordPieceTrainingOptions options;
  options.vocab_size = command.vocab_size;
  options.min_frequency = command.min_frequency;
  options.limit_alphabet = command.limit_alphabet;
  options.tokenizer.lowercase = !command.cased;
  WordPieceTrainer trainer(options);
  for (const std::string& spec : command.data) {
    for (const Example& example : load_dataset(spec, command.data_flags.resolve()).examples) {
      throw_if_cancelled();
      trainer.add(example.text);
      if (!example.text_pair.empty()) trainer.add(example.text_pair);
    }
  }
  const auto tokenizer = Tokenizer::from_vocab(trainer.train(), options.tokenizer);
  AtomicFolder folder(command.out, globals.force);
  tokenizer->save(folder.path());
  folder.commit();
  if (globals.json) {
    print_json(Json{{"vocab_size", tokenizer->vocab_size()}, {"path", command.out}});
  } else {
    print(fmt::format("{} pieces from {} words ({} distinct); wrote {}\n", tokenizer->vocab_size(), trainer.n_words(),
                      trainer.n_distinct_words(), command.out));
  }
  return 0;
}

}  // namespace

void add_tokenize(Program& program) {
  auto tokenize = std::make_shared<TokenizeCommand>();
  CLI::App* verb = program.add_verb("tokenize", "ids and pieces of texts",
                                    [tokenize, &program] { return run_tokenize(*tokenize, program.globals()); });
  verb->add_option("model", tokenize->model, "model folder")->required();
  verb->add_option("text", tokenize->texts, "texts")->required();
  verb->add_option("--max-length", tokenize->max_length, "truncate to so many tokens")
      ->check(CLI::Range(int64_t{0}, INT64_MAX));
  verb->add_flag("--parse-special", tokenize->parse_special, "read [SEP] and the like in the text as control tokens");

  CLI::App* tokenizer = program.root().add_subcommand("tokenizer", "train a vocabulary: fettle tokenizer train");
  tokenizer->require_subcommand(1);
  auto train = std::make_shared<TokenizerTrainCommand>();
  CLI::App* inner = program.add_verb(
      "train", "train a WordPiece vocabulary",
      [train, &program] { return run_tokenizer_train(*train, program.globals()); }, tokenizer);
  inner->add_option("data", train->data, "data files")->required();
  inner->add_option("--vocab-size", train->vocab_size, "pieces, special tokens included")
      ->check(CLI::Range(6, 1 << 22));
  inner->add_option("--min-frequency", train->min_frequency, "rarer pairs are not merged")
      ->check(CLI::Range(1, 1 << 30));
  inner->add_option("--limit-alphabet", train->limit_alphabet, "characters kept")->check(CLI::Range(1, 1 << 30));
  inner->add_flag("--cased", train->cased, "keep case and accents");
  inner->add_option("--out", train->out, "folder to write")->required();
  train->data_flags.add_to(*inner);
}

}  // namespace fettle::cli
