// Importance without data: norms of the weights around a part.
#pragma once

#include <vector>

#include "compress/prune/gates.h"
#include "model/model.h"

namespace fettle {

// [unit][part], units that share an earlier layer's parameters empty. Heads: norm of the rows that make their values
// times that of the output's columns that read them; neurons: norm of the row times that of the column; kHidden and
// kPooled: norm of all rows that write the dimension times that of all columns that read it. kUsage for layers, which
// norms say nothing of.
std::vector<std::vector<double>> weight_norms(const Model& model, PartKind kind);

}  // namespace fettle
