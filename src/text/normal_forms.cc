#include "text/normal_forms.h"

#include <algorithm>
#include <vector>

#include "text/unicode.h"

namespace fettle {
namespace {

// The characters of a text, decomposed, in canonical order. The first of a decomposition takes the place of its
// source, the others are added, and marks that change places keep that.
class Decomposer {
 public:
  void add(char32_t code, bool begins) {
    const int rank = unicode::combining_rank(code);
    if (rank == 0) sort_run();
    parts_.push_back({{code, begins ? 0 : 1}, rank});
    if (rank == 0) run_ = parts_.size();
  }

  std::vector<Change> finish() {
    sort_run();
    std::vector<Change> changes;
    for (const Part& part : parts_) changes.push_back(part.change);
    return changes;
  }

 private:
  struct Part {
    Change change;
    int rank;
  };

  void sort_run() {
    std::stable_sort(parts_.begin() + static_cast<std::ptrdiff_t>(run_), parts_.end(),
                     [](const Part& a, const Part& b) { return a.rank < b.rank; });
    run_ = parts_.size();
  }

  std::vector<Part> parts_;
  size_t run_ = 0;  // where the marks begin that wait for their order
};

std::vector<Change> decomposed(const NormalizedText& text, bool compatibly) {
  Decomposer decomposer;
  std::vector<char32_t> compatible;
  for (const NormalizedChar& c : text) {
    if (compatibly) {
      compatible.clear();
      unicode::append_compatible(c.code, compatible);
      for (size_t i = 0; i < compatible.size(); ++i) decomposer.add(compatible[i], i == 0);
    } else {
      const unicode::CharSequence codes = unicode::decompose(c.code);
      for (int i = 0; i < codes.size; ++i) decomposer.add(codes.codes[static_cast<size_t>(i)], i == 0);
    }
  }
  return decomposer.finish();
}

// What two characters become takes the places of both.
std::vector<Change> composed(const std::vector<Change>& parts) {
  std::vector<Change> out;
  size_t starter = 0;
  bool has_starter = false;
  int last_rank = 0;  // of what stands between the starter and the next character
  for (const Change& part : parts) {
    const int rank = unicode::combining_rank(part.code);
    const bool is_next_to_it = has_starter && starter + 1 == out.size();
    if (has_starter && (is_next_to_it || (last_rank != 0 && last_rank < rank))) {
      if (const char32_t code = unicode::compose(out[starter].code, part.code); code != 0) {
        out[starter] = {code, out[starter].change + part.change - 1};
        continue;
      }
    }
    if (rank == 0) {
      starter = out.size();
      has_starter = true;
    }
    last_rank = rank;
    out.push_back(part);
  }
  return out;
}

}  // namespace

NormalizedText decompose_canonically(const NormalizedText& text) {
  return transform(text, decomposed(text, false));
}

NormalizedText decompose_compatibly(const NormalizedText& text) {
  return transform(text, decomposed(text, true));
}

NormalizedText compose_canonically(const NormalizedText& text) {
  return transform(text, composed(decomposed(text, false)));
}

NormalizedText compose_compatibly(const NormalizedText& text) {
  return transform(text, composed(decomposed(text, true)));
}

}  // namespace fettle
