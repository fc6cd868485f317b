// Everything that the files of a tokenizer say, before it is made ready for use.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "text/added_tokens.h"
#include "text/normalizer.h"
#include "text/tokenizer.h"

namespace fettle {

// One item of a TemplateProcessing template.
struct TemplateItem {
  enum class Kind { kSpecial, kFirst, kSecond };
  Kind kind = Kind::kSpecial;
  std::vector<int32_t> ids;  // of a special item
  int32_t type_id = 0;
};

struct MergeRule {
  std::string left, right;
};
struct ScoredPiece {
  std::string text;
  double score = 0;
};

// A file of the tokenizer's folder that is kept mapped.
struct KeptFile {
  std::string name;
  std::shared_ptr<const MappedFile> file;
};

enum class PieceModelKind : uint8_t { kWordPiece, kBytePair, kUnigram };
enum class DecoderKind : uint8_t { kNone, kWordPiece, kByteLevel, kMetaspace };  // none: joined with spaces

// The `ByteLevel` pre-tokenizer and the `BPE` model behind it.
struct BytePairOptions {
  bool add_prefix_space = false;
  bool ignore_merges = false;  // a word that is a piece is not merged but taken whole
  bool fuse_unk = false;       // unknown bytes in a row give one unknown piece
  bool has_unk = false;        // else unknown bytes give nothing; the piece is options.unk_token
};

// Which stretches of text the `Metaspace` pre-tokenizer puts a space before.
enum class MetaspacePrepend : uint8_t { kNever, kFirst, kAlways };

struct UnigramOptions {
  int32_t unk_id = -1;
  bool byte_fallback = false;  // unknown characters become the pieces <0x00> to <0xFF> of their bytes
  bool float_scores = false;   // sums are kept in single precision, as SentencePiece does
  // The `Metaspace` pre-tokenizer: spaces become ▁, one is put before the text, and each begins a word of its own.
  bool metaspace = false;
  MetaspacePrepend prepend = MetaspacePrepend::kNever;
  bool splits = false;
  bool splits_at_white_space = false;  // `WhitespaceSplit` before it, which needs kAlways and splits
};

struct UnigramSpec {
  UnigramOptions options;
  std::vector<double> scores;  // by id
  std::vector<bool> matches;   // by id: may be cut out of text; control pieces may not
  double min_score = 0;
};

// What the post-processors `RobertaProcessing` and `ByteLevel` do to offsets: no white space at the ends of a token.
struct OffsetTrimming {
  bool on = false;
  bool add_prefix_space = false;  // then the first space of the first token is one that the pre-tokenizer added
};

struct TokenizerSpec {
  std::string where;  // file that errors name
  PieceModelKind kind = PieceModelKind::kWordPiece;
  WordPieceOptions options;         // names of special tokens; the rest is for WordPiece
  std::vector<std::string> pieces;  // of the model; "" for an unused id
  bool duplicates_allowed = false;  // the last of equal pieces wins (vocab.txt)
  BytePairOptions byte_pair;
  std::vector<MergeRule> merges;  // of byte-pair encoding, the most important first
  UnigramSpec unigram;
  std::vector<NormalizerStep> normalizer;  // of Unigram
  std::vector<AddedToken> added;
  std::vector<TemplateItem> single, pair;
  bool truncate_left = false;
  OffsetTrimming trimming;
  DecoderKind decoder = DecoderKind::kWordPiece;
  std::string decoder_prefix = "##";
  bool decoder_cleanup = true;
  bool clean_up_spaces = true;  // once more over the whole decoded text (tokenizer_config.json)
  std::string sentencepiece_class = "PreTrainedTokenizerFast";  // transformers' name for a Unigram tokenizer
  bool decoder_drops_first_space = true;                        // kMetaspace
  // As loaded, empty when there was no such file.
  std::string tokenizer_json, tokenizer_config, special_tokens_map;
  std::vector<KeptFile> kept;  // large files, written back as they are
};

inline constexpr int64_t kMaxVocabulary = int64_t{1} << 22;
inline constexpr size_t kMaxPieceBytes = size_t{1} << 20;
inline constexpr size_t kMaxAddedTokenBytes = 1024;

// Errors as Tokenizer::load.
bool has_tokenizer(const std::filesystem::path& folder);
TokenizerSpec read_tokenizer_folder(const std::filesystem::path& folder);
// BERT's special tokens and template around the given pieces.
TokenizerSpec spec_from_pieces(std::vector<std::string> pieces, WordPieceOptions options, std::string where);
// The contents of a tokenizer.json. `where` names it in errors.
TokenizerSpec parse_tokenizer_json(std::string_view text, const std::string& where);
// Lines of a vocab.txt; the line's number is the id.
std::vector<std::string> parse_vocab_txt(std::string_view text, const std::string& where);
// Lines "left right" of a merges.txt, a first line "#version…" and empty ones left out.
std::vector<MergeRule> parse_merges_txt(std::string_view text, const std::string& where);

// The files that Tokenizer::save writes.
std::string make_tokenizer_json(const TokenizerSpec& spec);
std::string make_vocab_txt(const TokenizerSpec& spec);
std::string make_vocab_json(const TokenizerSpec& spec);
std::string make_merges_txt(const TokenizerSpec& spec);
Json make_tokenizer_config(const TokenizerSpec& spec);
Json make_special_tokens_map(const TokenizerSpec& spec);

}  // namespace fettle
