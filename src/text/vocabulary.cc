#include "text/vocabulary.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/error.h"

namespace fettle {
namespace {

// Half-full tables of any honest vocabulary stay far below.
constexpr size_t kMaxProbes = 1024;

bool starts_char(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
}

}  // namespace

Vocabulary::Vocabulary(const std::vector<std::string>& pieces, std::optional<std::string> continuing_prefix)
    : continuing_prefix_(std::move(continuing_prefix)) {
  size_t n_bytes = 0, n_keys = 0;
  for (const std::string& piece : pieces) {
    n_bytes += piece.size();
    n_keys += continues(piece) ? 2 : 1;
  }
  text_.reserve(n_bytes);
  spans_.reserve(pieces.size());
  slots_.resize(std::bit_ceil(2 * n_keys + 2));
  mask_ = slots_.size() - 1;
  for (const std::string& piece : pieces) {
    const std::optional<int32_t> earlier = find(piece);
    const auto id = static_cast<int32_t>(spans_.size());
    spans_.push_back({static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(piece.size())});
    text_ += piece;
    if (piece.empty()) continue;
    insert(id, kWhole);
    if (continues(piece) && piece.size() > continuing_prefix_->size()) insert(id, kContinuing);
    if (!earlier) continue;
    spans_[static_cast<size_t>(*earlier)].size = 0;
    duplicate_ = piece;
  }
}

void Vocabulary::insert(int32_t id, Kind kind) {
  const std::string_view key = key_of(id, kind);
  longest_key_ = std::max(longest_key_, key.size());
  uint64_t hash = seed(kind);
  for (const char byte : key) hash = step(hash, byte);
  const size_t slot = slot_of(hash, key, kind);
  if (((slot - first_slot(hash)) & mask_) > kMaxProbes) {
    bad_input("vocabulary", "its pieces are made to collide in a hash table");
  }
  slots_[slot] = {static_cast<uint32_t>(hash >> 32), id * 2 + static_cast<int32_t>(kind)};
}

std::string_view Vocabulary::key_of(int32_t id, Kind kind) const {
  const std::string_view text = piece(id);
  return kind == kWhole ? text : text.substr(continuing_prefix_->size());
}

size_t Vocabulary::slot_of(uint64_t hash, std::string_view key, Kind kind) const {
  const auto tag = static_cast<uint32_t>(hash >> 32);
  size_t i = first_slot(hash);
  while (slots_[i].id_and_kind >= 0) {
    const Slot slot = slots_[i];
    const bool same_kind = (slot.id_and_kind & 1) == static_cast<int32_t>(kind);
    if (slot.tag == tag && same_kind && key_of(slot.id_and_kind >> 1, kind) == key) break;
    i = (i + 1) & mask_;
  }
  return i;
}

std::optional<int32_t> Vocabulary::lookup(uint64_t hash, std::string_view key, Kind kind) const {
  const Slot slot = slots_[slot_of(hash, key, kind)];
  if (slot.id_and_kind < 0) return std::nullopt;
  return slot.id_and_kind >> 1;
}

std::optional<int32_t> Vocabulary::find(std::string_view piece) const {
  if (piece.empty()) return std::nullopt;
  uint64_t hash = seed(kWhole);
  for (const char byte : piece) hash = step(hash, byte);
  return lookup(hash, piece, kWhole);
}

bool Vocabulary::cut(std::string_view word, std::vector<int32_t>& ids, std::vector<int32_t>* ends) const {
  if (const auto whole = find(word)) {
    ids.push_back(*whole);
    if (ends) ends->push_back(static_cast<int32_t>(word.size()));
    return true;
  }
  const size_t n_before = ids.size();
  size_t begin = 0;
  while (begin < word.size()) {
    const Kind kind = begin == 0 ? kWhole : kContinuing;
    const size_t limit = std::min(word.size(), begin + longest_key_);
    uint64_t hash = seed(kind);
    std::optional<int32_t> best;
    size_t best_end = begin;
    for (size_t i = begin; i < limit; ++i) {
      hash = step(hash, word[i]);
      if (i + 1 < word.size() && !starts_char(word[i + 1])) continue;
      if (const auto id = lookup(hash, word.substr(begin, i + 1 - begin), kind)) best = id, best_end = i + 1;
    }
    if (!best) {
      if (ends) ends->resize(ends->size() - (ids.size() - n_before));
      ids.resize(n_before);
      return false;
    }
    ids.push_back(*best);
    if (ends) ends->push_back(static_cast<int32_t>(best_end));
    begin = best_end;
  }
  return true;
}

}  // namespace fettle
