#include "text/piece_trie.h"

#include <algorithm>

namespace fettle {

PieceTrie::PieceTrie(std::vector<std::pair<std::string_view, int32_t>> pieces) {
  std::erase_if(pieces, [](const auto& piece) { return piece.first.empty(); });
  std::stable_sort(pieces.begin(), pieces.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  // A node is the range of pieces that go through it.
  struct Range {
    size_t begin, end, depth;
  };
  std::vector<Range> nodes = {{0, pieces.size(), 0}};
  labels_ = {0};
  for (size_t i = 0; i < nodes.size(); ++i) {
    auto [begin, end, depth] = nodes[i];
    ids_.push_back(-1);
    first_child_.push_back(static_cast<uint32_t>(nodes.size()));
    for (; begin < end && pieces[begin].first.size() == depth; ++begin) ids_.back() = pieces[begin].second;
    while (begin < end) {
      const char label = pieces[begin].first[depth];
      size_t behind = begin + 1;
      while (behind < end && pieces[behind].first[depth] == label) ++behind;
      if (i == 0) roots_[static_cast<unsigned char>(label)] = static_cast<uint32_t>(nodes.size());
      nodes.push_back({begin, behind, depth + 1});
      labels_.push_back(static_cast<uint8_t>(label));
      begin = behind;
    }
  }
  first_child_.push_back(static_cast<uint32_t>(nodes.size()));
}

}  // namespace fettle
