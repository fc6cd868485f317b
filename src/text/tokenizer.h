// Text to token ids and back, as Hugging Face's tokenizers do it: WordPiece with BERT's normalizer and pre-tokenizer,
// byte-level BPE as in GPT-2 and RoBERTa, Unigram as in T5, ALBERT and XLM-R.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fettle {

// What `BertNormalizer`, `BertPreTokenizer` and the `WordPiece` model of a tokenizer.json say. Of other models only the
// names of special tokens and the length count.
struct WordPieceOptions {
  bool lowercase = true;
  std::optional<bool> strip_accents;   // absent: as `lowercase`
  bool clean_text = true;              // drops NUL, U+FFFD and control characters; every white space becomes ' '
  bool split_chinese = true;           // each CJK ideograph is a word of its own
  int max_input_chars_per_word = 100;  // longer words (in code points, after normalization) become the unknown piece
  std::string continuing_prefix = "##";
  std::string unk_token = "[UNK]";
  std::string cls_token = "[CLS]";
  std::string sep_token = "[SEP]";
  std::string pad_token = "[PAD]";
  std::string mask_token = "[MASK]";
  std::optional<int> model_max_length;  // for tokenizer_config.json: the longest input that the model takes

  bool strips_accents() const { return strip_accents.value_or(lowercase); }
};

// One encoded text or pair with everything known about each token; all vectors have the same length.
struct TokenEncoding {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;    // 0 for the first text, 1 for the second, as the template says
  std::vector<std::string> tokens;  // the pieces of the ids
  std::vector<std::pair<int32_t, int32_t>>
      offsets;  // [begin, end) in Unicode code points of the text; (0, 0) for specials
};

struct EncodeOptions {
  int max_length = 0;  // ids in all, special ones included; 0: no limit
  bool add_special_tokens = true;
  // True (safe): "[SEP]" inside the text is plain text and never becomes a control id. False: it does, exactly as
  // Hugging Face does unless its own `split_special_tokens` is set.
  bool split_special_tokens = true;
};

// Immutable, shareable between threads. Invalid UTF-8 in texts is read as U+FFFD, one per maximal ill-formed part.
class Tokenizer {
 public:
  // Reads tokenizer.json; else vocab.txt, vocab.json and merges.txt, sentencepiece.bpe.model or spiece.model, and added
  // tokens beside them; tokenizer_config.json, special_tokens_map.json. Errors: kIo when there is none, kBadInput when
  // malformed. Duplicate lines of a vocab.txt: the last id wins, as in Hugging Face; the earlier ids stay unused.
  static std::shared_ptr<const Tokenizer> load(const std::filesystem::path& folder);
  // Whether load() would find one.
  static bool is_in(const std::filesystem::path& folder);
  // WordPiece; the piece's index is its id. kBadInput when the unknown, [CLS] or [SEP] piece is missing.
  static std::shared_ptr<const Tokenizer> from_vocab(std::vector<std::string> pieces, WordPieceOptions options = {});
  // From the contents of a tokenizer.json alone; errors name `where`.
  static std::shared_ptr<const Tokenizer> from_json(std::string json, const std::string& where);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Appends the ids of `[CLS] text [SEP]`, at most max_length of them (0: no limit). Allocates nothing once `ids` has
  // capacity (Unigram: a few buffers as long as the text). kUsage when max_length is negative or leaves no room for the
  // special tokens.
  void encode(std::string_view text, int max_length, std::vector<int32_t>& ids) const;
  void encode(std::string_view text, const EncodeOptions& options, std::vector<int32_t>& ids) const;
  // `[CLS] first [SEP] second [SEP]`, truncated longest first. Appends as many type ids as ids.
  void encode_pair(std::string_view first, std::string_view second, const EncodeOptions& options,
                   std::vector<int32_t>& ids, std::vector<int32_t>& type_ids) const;

  // The same ids with pieces and offsets; slower.
  TokenEncoding encode_with_offsets(std::string_view text, int max_length) const;
  TokenEncoding encode_with_offsets(std::string_view text, const EncodeOptions& options) const;
  TokenEncoding encode_pair_with_offsets(std::string_view first, std::string_view second,
                                         const EncodeOptions& options) const;

  // Pieces joined to text. Ids outside [0, vocab_size) are kUsage.
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;

  int vocab_size() const;  // highest id + 1: rows that an embedding table needs
  int32_t unk_id() const;  // -1 when the model has none, as byte-level BPE
  std::optional<int32_t> pad_id() const;
  std::optional<int32_t> cls_id() const;
  std::optional<int32_t> sep_id() const;
  std::optional<int32_t> mask_id() const;
  bool is_special(int32_t id) const;         // [PAD], [CLS], … and added tokens marked special
  std::string_view piece(int32_t id) const;  // "" for an unused id; kUsage outside [0, vocab_size)
  std::optional<int32_t> find(std::string_view piece) const;
  // Tokens that the template puts around one text or a pair (2 and 3 for BERT).
  int n_special_single() const;
  int n_special_pair() const;
  // `model_max_length` of tokenizer_config.json, when it is a real limit.
  std::optional<int> model_max_length() const;
  const WordPieceOptions& options() const;

  // By id, the pieces without which one of these texts, or any single character, would be cut otherwise: those that
  // come out, those that are tried on the way, pieces of one character, special and added ones, the unknown piece.
  std::vector<bool> needed_pieces(std::span<const std::string> texts) const;
  // The same tokenizer with these pieces only (by id; special and added ones stay in any case), numbered anew in the
  // order of their ids. Texts whose needed pieces are all kept are cut as before. kBadInput for a tokenizer that was
  // read from a SentencePiece file without a tokenizer.json.
  std::shared_ptr<const Tokenizer> with_pieces(const std::vector<bool>& keep) const;

  // Writes tokenizer.json, vocab.txt (or vocab.json and merges.txt, or SentencePiece's file), tokenizer_config.json and
  // special_tokens_map.json into an existing folder, so that Hugging Face loads it. JSON files and SentencePiece models
  // that were loaded are written back unchanged, byte for byte.
  void save(const std::filesystem::path& folder) const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace fettle
