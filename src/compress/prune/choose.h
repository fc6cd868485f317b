// Which heads and neurons go: the least important for what they cost.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "compress/prune/importance.h"
#include "compress/prune/surgery.h"

namespace fettle {

struct ChoiceOptions {
  bool global = true;               // all layers are ranked together; else each layer loses the same share
  int64_t neuron_step = 1;          // as many neurons stay in each layer as are a multiple of this, as near as can be
  std::map<PartKind, double> cost;  // of one head, of one neuron; kinds that are not there cost 1
};

// What all parts of these scores cost together.
double total_cost(const std::vector<PartScores>& scores, const ChoiceOptions& options);

// The parts that stay, by their place in the scores: [kind as in scores][unit], rising, where parts worth `cost` go,
// or as near to that as can be. Parts are ranked by score / cost, of equal ones the later goes first. At least one part
// of each layer stays (of neurons as many as the step, where there are so many).
std::vector<std::vector<std::vector<int64_t>>> choose_parts(const std::vector<PartScores>& scores, double cost,
                                                            const ChoiceOptions& options);

}  // namespace fettle
