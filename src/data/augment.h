// New texts out of old ones, by rules on words: more for a teacher to label where there are few texts.
#pragma once

#include <cstdint>
#include <vector>

#include "data/dataset.h"

namespace fettle {

struct AugmentOptions {
  int64_t per_text = 1;  // at most; short texts may not have as many
  uint64_t seed = 0;
};

// Unlabelled texts, each other than all of the data and than each other; words are what white space separates. A new
// text is an old one changed in a few places, each by one of these rules, drawn at random:
// - a word is left out;
// - two neighbours change places;
// - a word is replaced by one that stands between the same two words somewhere else in the data, or, where there is
//   none, by one that shares most such places with it (Harris 1954: like contexts, like meanings);
// - a word that often follows a word is put behind it;
// - the end is that of another text (of the same label where there is one), from a word that both have where possible.
// A second text of a pair stays as it is. The same data and options give the same texts. Error kInterrupted on Ctrl-C.
std::vector<Example> augment(const Dataset& data, const AugmentOptions& options);

}  // namespace fettle
