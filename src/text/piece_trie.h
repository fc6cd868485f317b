// A trie of the pieces of a model: which of them a text begins with.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

namespace fettle {

// Nodes stand in order of depth, children of one node side by side and sorted by label. Immutable.
class PieceTrie {
 public:
  // Pieces with their ids; empty ones are left out. Of equal pieces the last wins.
  explicit PieceTrie(std::vector<std::pair<std::string_view, int32_t>> pieces);

  // Calls found(size_bytes, id) for each piece that the text begins with, the shortest first.
  template <typename Found>
  void for_each_prefix(std::string_view text, Found&& found) const {
    if (text.empty()) return;
    uint32_t node = roots_[static_cast<unsigned char>(text[0])];
    for (size_t i = 1; node != kNone; ++i) {
      if (ids_[node] >= 0) found(i, ids_[node]);
      if (i == text.size()) break;
      node = child(node, text[i]);
    }
  }

 private:
  static constexpr uint32_t kNone = 0;  // the root, which is no one's child
  uint32_t child(uint32_t node, char label) const {
    const uint32_t first = first_child_[node], n = first_child_[node + 1] - first;
    if (n == 0) return kNone;
    const auto* begin = labels_.data() + first;
    const void* hit = std::memchr(begin, static_cast<unsigned char>(label), n);
    return hit == nullptr ? kNone : first + static_cast<uint32_t>(static_cast<const uint8_t*>(hit) - begin);
  }

  std::vector<uint32_t> first_child_;  // [nodes + 1]
  std::vector<int32_t> ids_;           // [nodes], -1 where no piece ends
  std::vector<uint8_t> labels_;        // [nodes], of the way into the node
  std::array<uint32_t, 256> roots_{};
};

}  // namespace fettle
