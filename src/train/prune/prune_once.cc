// Pruning by magnitude without data, and counting zeros.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "tensor/sparse.h"
#include "train/prune/weight_pruning.h"
#include "train/prune/weight_scores.h"

namespace fettle {

void check_fits(const std::string& name, const Shape& shape, WeightPattern pattern) {
  if (pattern != WeightPattern::kTwoOfFour || shape[1] % 4 == 0) return;
  bad_input(name, "has " + std::to_string(shape[1]) + " inputs, which are no groups of four: 2:4 does not fit");
}

void select_masks(MaskSelector& selector, std::span<const ScoredPart> parts, const WeightPruneOptions& options,
                  double sparsity) {
  const bool is_two_of_four = options.pattern == WeightPattern::kTwoOfFour;
  // A group of four that has the pattern has lost half.
  const double share = is_two_of_four ? std::min(1.0, 2 * sparsity) : sparsity;
  std::vector<int64_t> removed;
  std::vector<int64_t> kept;
  int64_t total = 0;
  for (const ScoredPart& part : parts) {
    const int64_t n = std::ssize(part.scores) / (is_two_of_four ? 4 : 1);
    total += n;
    removed.push_back(n_removed(n, share));
    kept.push_back(n - removed.back());
  }
  if (is_two_of_four) {
    const int64_t all[] = {n_removed(total, share)};
    return options.is_global() ? selector.keep_two_of_four(parts, all) : selector.keep_two_of_four(parts, removed);
  }
  if (options.is_global()) return selector.keep_of_all(parts, total - n_removed(total, share));
  selector.keep_in_each(parts, kept);
}

std::vector<MatrixSparsity> count_zeros(const Model& model, const std::vector<std::string>& names) {
  std::vector<MatrixSparsity> result;
  for (const std::string& name : names) {
    const Tensor values = model.parameters.get(name).decode();
    result.push_back({name, values.size(), std::ranges::count(values.floats(), 0.0f)});
  }
  return result;
}

void prune_by_magnitude(Model& model, const WeightPruneOptions& options) {
  check_options(options);
  if (options.learns_scores()) {
    usage_error("method", std::string(method_name(options.method)) + " learns what to remove: it needs training data");
  }
  ThreadPool pool(1);
  MaskSelector selector(pool);
  const std::vector<std::string> names = prunable_weights(model.config, options);
  if (names.empty()) bad_input("model", "has no weights to prune");
  std::vector<Tensor> scores;
  std::vector<Tensor> masks;
  std::vector<ScoredPart> parts;
  for (const std::string& name : names) {
    const Tensor weight = model.parameters.get(name).decode();
    check_fits(name, weight.shape(), options.pattern);
    const MaskBlocks blocks = blocks_of(weight.shape(), options.pattern);
    scores.emplace_back(DType::kF32, Shape{blocks.mask_rows(), blocks.mask_columns()});
    masks.emplace_back(DType::kF32, scores.back().shape());
    const auto n = static_cast<size_t>(blocks.n_blocks());
    magnitude_scores(blocks, weight.floats(), {scores.back().mutable_data<float>(), n});
    parts.push_back({scores.back().floats(), {masks.back().mutable_data<float>(), n}});
  }
  select_masks(selector, parts, options, options.target);
  for (size_t i = 0; i < names.size(); ++i) {
    const EncodedTensor& stored = model.parameters.get(names[i]);
    Tensor weight = stored.decode().clone();
    const MaskBlocks blocks = blocks_of(weight.shape(), options.pattern);
    mask_in_place(blocks, masks[i].floats(), {weight.mutable_data<float>(), static_cast<size_t>(weight.size())});
    model.parameters.set(names[i], encode(weight, numbers_of(stored.encoding)));
  }
}

int64_t store_smallest(Model& model, const std::vector<std::string>& names) {
  int64_t n_sparse = 0;
  for (const std::string& name : names) {
    EncodedTensor smallest = to_smallest(model.parameters.get(name));
    n_sparse += smallest.encoding.kind == EncodingKind::kSparse;
    model.parameters.set(name, std::move(smallest));
  }
  return n_sparse;
}

}  // namespace fettle
