// How much a model needs each of its parts: gradients of gates, norms of weights, and what layers change.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compress/prune/gates.h"
#include "data/dataset.h"
#include "model/model.h"

namespace fettle {

enum class ImportanceKind : uint8_t {
  kGradient,  // mean over the examples of |∂L/∂ξ| at gates ξ = 1 (Michel, Levy & Neubig 2019)
  kTaylor,  // |mean over the examples of ∂L/∂ξ|, which is |Σ w · ∂L/∂w| over the weights that read the part's
            // output: the loss's first-order change without it (Molchanov et al. 2019)
  kFisher,  // mean over the examples of (∂L/∂ξ)²: twice the loss's second-order change without the part. It adds up
            // over parts as the others do not, so that heads and neurons can be weighed against each other (Kwon et al.
            // 2022)
  kMagnitude,    // without data: the norms of the weights that make the part's output times those that read it
  kContribution  // layers: 1 - cosine of a token's hidden states before and behind, mean over the tokens
};
// "gradient", "taylor", "fisher", "magnitude", "contribution"; kUsage for others.
ImportanceKind parse_importance(std::string_view name);
std::string_view importance_name(ImportanceKind kind);

// Scores of the parts of one kind: [unit][part]. Units are layers by number; those that share an earlier layer's
// parameters are empty. kLayers: [layer][1]. kHidden and kPooled: [1][dimension].
struct PartScores {
  PartKind kind = PartKind::kHeads;
  std::vector<std::vector<double>> by_layer;
};

struct ImportanceOptions {
  ImportanceKind kind = ImportanceKind::kGradient;
  int64_t max_examples = 0;  // > 0: at most so many, evenly spaced
  int64_t batch_size = 32;
  int64_t max_length = 64;
  int n_threads = 0;
  std::string isa;
};

// Scores of all parts of each kind, in one pass over the data. L is the cross entropy of one example. The same bytes at
// any number of threads. kMagnitude needs no data (an empty set). kContribution is for kLayers only and needs no
// labels. Errors: kUsage for kinds that do not go together; kBadInput for gradients of anything but labelled
// single-label classification.
std::vector<PartScores> measure_importance(const Model& model, const Dataset& data, const std::vector<PartKind>& parts,
                                           const ImportanceOptions& options);

// Each layer's scores divided by their Euclidean norm, as Michel et al. do before layers are compared; where all are
// zero they stay.
void normalize_by_layer(PartScores& scores);

// Spearman's rank correlation of all scores, ties with their mean rank; NaN for fewer than two or where one side is
// constant.
double rank_correlation(const PartScores& a, const PartScores& b);

}  // namespace fettle
