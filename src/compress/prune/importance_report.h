// The page of a structured pruning: maps of how much each head, neuron and layer matters, and what went.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "compress/prune/importance.h"
#include "compress/prune/surgery.h"

namespace fettle {

struct ImportanceReport {
  std::string title;
  std::string summary;
  std::string data_name;
  std::vector<PartScores> scores;
  // The same measured on other data, in the same order; may be empty.
  std::string other_name;
  std::vector<PartScores> other;
  KeptParts kept;  // what is not there is struck out; empty (no layers): nothing is
  std::vector<std::pair<std::string, std::string>> facts;
};

// Self-contained HTML. Neurons and hidden dimensions are shown sorted, as many to a cell as fit.
std::string importance_report_html(const ImportanceReport& report);

// For --json: [{"part", "layer", "scores"}], of more than 64 parts their "n", "min", "mean" and "max" instead.
Json importance_to_json(const std::vector<PartScores>& scores);

}  // namespace fettle
