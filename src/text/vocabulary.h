// The pieces of a model by id and by text, and WordPiece's greedy longest-match-first cutting of a word into them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fettle {

// Immutable after construction. An empty piece marks an unused id.
class Vocabulary {
 public:
  // kBadInput when the pieces are chosen to collide. The index is the id. Of equal pieces the last wins and the others'
  // ids become unused. Without a prefix there are no continuing pieces, and nothing to cut words into.
  Vocabulary(const std::vector<std::string>& pieces, std::optional<std::string> continuing_prefix);

  int size() const { return static_cast<int>(spans_.size()); }
  std::string_view piece(int32_t id) const { return text_of(spans_[static_cast<size_t>(id)]); }
  std::optional<int32_t> find(std::string_view piece) const;
  const std::string& duplicate() const { return duplicate_; }  // a piece given more than once; "" when none was

  // Appends the ids of the pieces of `word`, and where each ends in it (bytes) to `ends` if given. Returns false, with
  // nothing appended, when some part of the word matches no piece. Song et al., "Fast WordPiece Tokenization" (2021),
  // describe the scheme (MaxMatch); the worst case here is word length × longest piece.
  bool cut(std::string_view word, std::vector<int32_t>& ids, std::vector<int32_t>* ends = nullptr) const;

 private:
  struct Span {
    uint32_t begin = 0, size = 0;
  };
  // Two kinds of keys share the table: whole pieces, and continuing pieces without their prefix.
  enum Kind : uint32_t { kWhole = 0, kContinuing = 1 };
  struct Slot {
    uint32_t tag = 0;
    int32_t id_and_kind = -1;
  };

  static uint64_t step(uint64_t hash, char byte) {
    return (hash ^ static_cast<unsigned char>(byte)) * 0x9e3779b97f4a7c15u + (hash >> 29);
  }
  size_t first_slot(uint64_t hash) const { return static_cast<size_t>(hash ^ hash >> 32) & mask_; }
  static uint64_t seed(Kind kind) { return kind == kWhole ? 0x243f6a8885a308d3u : 0x13198a2e03707344u; }
  std::string_view text_of(Span span) const { return std::string_view(text_).substr(span.begin, span.size); }
  bool continues(std::string_view piece) const {
    return continuing_prefix_.has_value() && piece.starts_with(*continuing_prefix_);
  }
  void insert(int32_t id, Kind kind);
  std::string_view key_of(int32_t id, Kind kind) const;
  // The slot that holds the key, or the empty one where it belongs.
  size_t slot_of(uint64_t hash, std::string_view key, Kind kind) const;
  std::optional<int32_t> lookup(uint64_t hash, std::string_view key, Kind kind) const;

  std::optional<std::string> continuing_prefix_;
  std::string text_;  // all pieces, one behind the other
  std::vector<Span> spans_;
  std::vector<Slot> slots_;
  size_t mask_ = 0;
  size_t longest_key_ = 0;
  std::string duplicate_;
};

}  // namespace fettle
