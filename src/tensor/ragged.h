// A ragged batch: the tokens of all sequences packed one after another, with no padding.
#pragma once

#include <cstdint>
#include <vector>

namespace fettle {

struct RaggedBatch {
  std::vector<int32_t> token_ids;     // [tokens]
  std::vector<int32_t> position_ids;  // [tokens], 0, 1, 2, … within each sequence
  std::vector<int32_t> type_ids;      // [tokens], 0 for the first text of a pair, 1 for the second
  std::vector<int32_t> offsets{0};    // [batch + 1], first token of each sequence, then the number of tokens

  int64_t n_tokens() const { return static_cast<int64_t>(token_ids.size()); }
  int64_t n_sequences() const { return static_cast<int64_t>(offsets.size()) - 1; }
  // Appends one sequence whose tokens are all of type 0.
  void append(const int32_t* ids, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      token_ids.push_back(ids[i]);
      position_ids.push_back(static_cast<int32_t>(i));
      type_ids.push_back(0);
    }
    offsets.push_back(static_cast<int32_t>(token_ids.size()));
  }
  // Sequences [begin, end) of another batch become all of this one.
  void assign(const RaggedBatch& from, int64_t begin, int64_t end) {
    const int32_t first = from.offsets[static_cast<size_t>(begin)];
    const int32_t last = from.offsets[static_cast<size_t>(end)];
    token_ids.assign(from.token_ids.begin() + first, from.token_ids.begin() + last);
    position_ids.assign(from.position_ids.begin() + first, from.position_ids.begin() + last);
    type_ids.assign(from.type_ids.begin() + first, from.type_ids.begin() + last);
    offsets.assign(from.offsets.begin() + begin, from.offsets.begin() + end + 1);
    for (int32_t& offset : offsets) offset -= first;
  }
  void clear() {
    token_ids.clear();
    position_ids.clear();
    type_ids.clear();
    offsets.assign(1, 0);
  }
};

}  // namespace fettle
