// A tokenizer from SentencePiece's own file, laid out as transformers does for T5, ALBERT and XLM-R.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/printable.h"
#include "text/sentencepiece_file.h"
#include "text/tokenizer_reader.h"

namespace fettle {
namespace {

using Type = SentencePieceFile::Type;

bool may_match(Type type) {
  return type == Type::kNormal || type == Type::kUserDefined;
}

void check_supported(const SentencePieceFile& file, const std::string& where) {
  if (file.model_type != 1) {
    bad_input(where, fmt::format("a SentencePiece model of type {} is not supported", file.model_type),
              "supported: Unigram");
  }
  if (file.whitespace_as_suffix || !file.escape_spaces) {
    bad_input(where, "a SentencePiece model that does not mark spaces by ▁ before words is not supported");
  }
}

class SpecBuilder {
 public:
  SpecBuilder(const SentencePieceFile& file, const std::string& where) : file_(file) {
    spec_.where = where;
    set_unigram_defaults(spec_);
    spec_.unigram.options.float_scores = true;
    spec_.unigram.options.byte_fallback = file.byte_fallback;
    float lowest = std::numeric_limits<float>::max();
    for (const SentencePieceFile::Piece& piece : file.pieces) {
      if (piece.type != Type::kNormal) continue;
      lowest = std::min(lowest, piece.score);
      highest_ = std::max(highest_, piece.score);
    }
    spec_.unigram.min_score = lowest;
  }

  void add_control(std::string text) {
    spec_.pieces.push_back(std::move(text));
    spec_.unigram.scores.push_back(0);
    spec_.unigram.matches.push_back(false);
  }

  void add(const SentencePieceFile::Piece& piece) {
    if (piece.type == Type::kUnknown) spec_.unigram.options.unk_id = static_cast<int32_t>(spec_.pieces.size());
    spec_.pieces.push_back(piece.text);
    spec_.unigram.matches.push_back(may_match(piece.type));
    // A user's own piece is worth more than any cutting of it, as in SentencePiece.
    const bool is_own = piece.type == Type::kUserDefined;
    spec_.unigram.scores.push_back(is_own ? static_cast<float>(piece.text.size()) * highest_ - 0.1 : piece.score);
  }

  void set_unknown(int32_t id) { spec_.unigram.options.unk_id = id; }

  void add_normalizer() {
    NormalizerStep step{.kind = NormalizerStep::Kind::kSentencePiece};
    if (!file_.charsmap.empty()) step.charsmap = std::make_shared<const Charsmap>(file_.charsmap, spec_.where);
    std::vector<std::pair<std::string_view, int32_t>> own;
    for (const SentencePieceFile::Piece& piece : file_.pieces) {
      if (piece.type == Type::kUserDefined) own.emplace_back(piece.text, 0);
    }
    if (!own.empty()) step.verbatim = std::make_shared<const PieceTrie>(std::move(own));
    step.rules = {file_.add_dummy_prefix, file_.remove_extra_spaces};
    spec_.normalizer.push_back(std::move(step));
  }

  TokenizerSpec& spec() { return spec_; }

 private:
  const SentencePieceFile& file_;
  TokenizerSpec spec_;
  // SentencePiece's search for the highest score begins here, and scores are negative.
  float highest_ = std::numeric_limits<float>::min();
};

bool has_piece(const SentencePieceFile& file, std::string_view text) {
  return std::ranges::any_of(file.pieces, [&](const SentencePieceFile::Piece& piece) { return piece.text == text; });
}

// fairseq's four control pieces first, then SentencePiece's behind its own three, then the mask.
void lay_out_xlmr(const SentencePieceFile& file, SpecBuilder& builder) {
  const bool begins_as_usual = file.pieces.size() > 3 && file.pieces[0].type == Type::kUnknown &&
                               file.pieces[1].type == Type::kControl && file.pieces[2].type == Type::kControl;
  if (!begins_as_usual) {
    bad_input(builder.spec().where, "does not begin with <unk>, <s> and </s>, as a model of XLM-R does");
  }
  for (const char* name : {"<s>", "<pad>", "</s>", "<unk>"}) builder.add_control(name);
  builder.set_unknown(3);
  for (size_t i = 3; i < file.pieces.size(); ++i) builder.add(file.pieces[i]);
  builder.add_control("<mask>");
  builder.add_normalizer();
}

// preprocess_text of transformers' AlbertTokenizer.
void add_albert_steps(const SentencePieceOptions& options, TokenizerSpec& spec) {
  using Kind = NormalizerStep::Kind;
  spec.normalizer.push_back({.kind = Kind::kReplace, .pattern = "``", .content = "\""});
  spec.normalizer.push_back({.kind = Kind::kReplace, .pattern = "''", .content = "\""});
  if (!options.keep_accents) {
    spec.normalizer.push_back({.kind = Kind::kNfkd});
    spec.normalizer.push_back({.kind = Kind::kStripAccents});
  }
  if (options.lowercase) spec.normalizer.push_back({.kind = Kind::kLowercase});
}

}  // namespace

TokenizerSpec read_sentencepiece(std::string_view bytes, const SentencePieceOptions& options,
                                 const std::string& where) {
  const SentencePieceFile file = parse_sentencepiece(bytes, where);
  check_supported(file, where);
  const auto is = [&](std::string_view family) { return options.tokenizer_class.starts_with(family); };
  const bool unsaid = options.tokenizer_class.empty();
  SpecBuilder builder(file, where);
  TokenizerSpec& spec = builder.spec();
  if (is("XLMRoberta") || (unsaid && options.file_name == "sentencepiece.bpe.model")) {
    spec.sentencepiece_class = "XLMRobertaTokenizer";
    lay_out_xlmr(file, builder);
  } else if (is("Albert") || is("T5") || unsaid) {
    const bool is_albert = is("Albert") || (unsaid && has_piece(file, "[CLS]"));
    spec.sentencepiece_class = is_albert ? "AlbertTokenizer" : "T5Tokenizer";
    if (is_albert) add_albert_steps(options, spec);
    for (const SentencePieceFile::Piece& piece : file.pieces) builder.add(piece);
    builder.add_normalizer();
  } else {
    bad_input(where,
              fmt::format("tokenizer_class \"{}\" with a SentencePiece model is not supported",
                          printable(options.tokenizer_class)),
              "supported: XLMRobertaTokenizer, AlbertTokenizer, T5Tokenizer");
  }
  if (spec.unigram.options.unk_id < 0) bad_input(where, "has no unknown piece");
  spec.options.unk_token = spec.pieces[static_cast<size_t>(spec.unigram.options.unk_id)];
  name_special_tokens(spec);
  return std::move(spec);
}

void finish_sentencepiece(TokenizerSpec& spec) {
  const auto id_of = [&](const std::string& name) {
    const auto found = std::ranges::find(spec.pieces, name);
    return found == spec.pieces.end() || name.empty() ? -1 : static_cast<int32_t>(found - spec.pieces.begin());
  };
  const WordPieceOptions& o = spec.options;
  const int32_t cls = id_of(o.cls_token), sep = id_of(o.sep_token);
  const bool is_t5 = spec.sentencepiece_class == "T5Tokenizer";
  if (sep < 0 || (cls < 0 && !is_t5)) bad_input(spec.where, "has no pieces that begin and end a text");
  if (is_t5) {
    set_t5_template(sep, spec);
  } else if (spec.sentencepiece_class == "AlbertTokenizer") {
    set_bert_template(cls, sep, spec);
  } else {
    set_roberta_template(cls, sep, spec);
  }
  for (const std::string* name : {&o.cls_token, &o.sep_token, &o.pad_token, &o.unk_token, &o.mask_token}) {
    const int32_t id = id_of(*name);
    const auto same = [&](const AddedToken& token) { return token.id == id; };
    if (id < 0 || std::ranges::any_of(spec.added, same)) continue;
    spec.added.push_back({.content = *name, .id = id, .special = true, .lstrip = name == &o.mask_token});
  }
  for (const AddedToken& token : spec.added) {
    const auto id = static_cast<size_t>(token.id);
    if (token.special && id < spec.unigram.matches.size()) spec.unigram.matches[id] = false;
  }
  std::ranges::sort(spec.added, {}, &AddedToken::id);
}

}  // namespace fettle
