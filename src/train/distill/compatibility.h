// Whether a student can learn from a teacher: the same labels, the same vocabulary.
#pragma once

#include <cstdint>
#include <vector>

#include "data/tokenized.h"
#include "model/model.h"

namespace fettle {

// For each label of the student its column in the teacher's logits. kBadInput showing the difference when their labels
// are not the same, in whatever order.
std::vector<int64_t> match_labels(const ModelConfig& student, const ModelConfig& teacher);
// kBadInput showing the difference when a piece has another id, or is on one side only.
void check_vocabulary(const Model& student, const Model& teacher);
// kBadInput naming the first text that the two sides cut into other tokens.
void check_tokens(const TokenizedTexts& student, const TokenizedTexts& teacher);

}  // namespace fettle
