// `prune --method magnitude`, `movement`, `soft-movement`, `l0`, `2:4`, `block`: single weights become zero.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "cli/prune_methods.h"
#include "tensor/encoding.h"
#include "train/prune/weight_pruning.h"

namespace fettle::cli {

namespace {

struct MethodRow {
  const char* name;
  WeightMethod method;
  WeightPattern pattern;  // unless --block says otherwise
};
constexpr MethodRow kMethods[] = {
    {"magnitude", WeightMethod::kMagnitude, WeightPattern::kElement},
    {"movement", WeightMethod::kMovement, WeightPattern::kElement},
    {"soft-movement", WeightMethod::kSoftMovement, WeightPattern::kElement},
    {"l0", WeightMethod::kL0, WeightPattern::kElement},
    {"2:4", WeightMethod::kMagnitude, WeightPattern::kTwoOfFour},
    {"block", WeightMethod::kMagnitude, WeightPattern::kBlock4x1},
};

struct PatternRow {
  const char* name;
  WeightPattern pattern;
};
constexpr PatternRow kPatterns[] = {
    {"4x1", WeightPattern::kBlock4x1}, {"32x32", WeightPattern::kBlock32x32}, {"2:4", WeightPattern::kTwoOfFour}};

const MethodRow& row_of(const std::string& method) {
  return *std::ranges::find_if(kMethods, [&](const MethodRow& row) { return row.name == method; });
}

Json layers_json(const Model& model, const std::vector<MatrixSparsity>& matrices) {
  Json layers = Json::array();
  for (const MatrixSparsity& matrix : matrices) {
    layers.push_back({{"name", matrix.name},
                      {"weights", matrix.n_weights},
                      {"sparsity", static_cast<double>(matrix.n_zeros) / static_cast<double>(matrix.n_weights)},
                      {"encoding", encoding_name(model.parameters.get(matrix.name).encoding)}});
  }
  return layers;
}

class WeightsGroup final : public PruneGroup {
 public:
  std::vector<std::string> methods() const override {
    std::vector<std::string> names;
    for (const MethodRow& row : kMethods) names.emplace_back(row.name);
    return names;
  }

  void add_to(CLI::App& verb) override {
    // Other groups may have it too.
    if (verb.get_option_no_throw("--global") == nullptr) {
      verb.add_flag("--global")->description("one threshold for all matrices (soft-movement, l0: always)");
    }
    verb.add_option("--block", block_, "weights: remove 4x1 or 32x32 at a time, or 2:4 of movement's scores")
        ->check(CLI::IsMember({"4x1", "32x32", "2:4"}));
    verb.add_flag("--embeddings", options_.embeddings, "weights: prune the word embeddings too");
    verb.add_flag("--head", options_.head, "weights: prune the linears behind the encoder too");
    verb.add_option("--prune-from", options_.begin, "weights: share of the steps before pruning begins (0.1)")
        ->check(CLI::Range(0.0, 1.0));
    verb.add_option("--prune-until", options_.end, "weights: share of the steps when the target is reached (0.6)")
        ->check(CLI::Range(0.0, 1.0));
    verb.add_option("--score-learning-rate", options_.score_learning_rate, "movement, l0: rate of scores (0.01)")
        ->check(CLI::Range(1e-9, 1e3));
    verb.add_option("--penalty", options_.penalty, "soft-movement, l0: weight of the penalty (400, 125)")
        ->check(CLI::Range(0.0, 1e9));
    verb.add_option("--threshold", options_.threshold, "soft-movement without --target: least score kept (0.1)")
        ->check(CLI::Range(1e-6, 1 - 1e-6));
  }

  std::vector<std::string> flags_of(const std::string& method) const override {
    const MethodRow& row = row_of(method);
    std::vector<std::string> flags{"--block", "--embeddings", "--head", "--prune-from", "--prune-until"};
    const bool has_penalty = row.method == WeightMethod::kSoftMovement || row.method == WeightMethod::kL0;
    if (!has_penalty) flags.emplace_back("--global");
    if (row.method != WeightMethod::kMagnitude) flags.emplace_back("--score-learning-rate");
    if (has_penalty) flags.emplace_back("--penalty");
    if (row.method == WeightMethod::kSoftMovement) flags.emplace_back("--threshold");
    return flags;
  }

  void check(const PruneCommand& command) const override {
    if (command.method == "2:4" && !block_.empty() && block_ != "2:4") {
      usage_error("--block", "contradicts --method 2:4");
    }
    const WeightPruneOptions options = resolve(command);
    check_options(options);
    if (options.learns_scores() && !command.trains()) {
      usage_error("--method " + command.method, "learns what to remove: it needs --data and --epochs");
    }
    if (!command.data.empty() && !command.trains()) {
      usage_error("--data", "goes with --epochs: magnitudes need no data", "--epochs N prunes while it trains");
    }
    for (const char* flag : {"--prune-from", "--prune-until"}) {
      if (command.is_given(flag) && !command.trains()) usage_error(flag, "needs --data and --epochs");
    }
    if (command.is_given("--threshold") && options.has_target()) {
      usage_error("--threshold", "contradicts --target, which finds the threshold");
    }
  }

  PruneOutcome run(Model& model, const std::shared_ptr<const Model>& original, const PruneCommand& command,
                   const Globals& globals) override {
    const WeightPruneOptions options = resolve(command);
    PruneOutcome outcome;
    outcome.options = flags_to_json(options, command.trains());
    outcome.options.erase("method");
    if (command.trains()) {
      const Dataset train = command.load(command.data, *original);
      Dataset eval;
      if (!command.eval.empty()) eval = command.load(command.eval, *original);
      outcome.training = prune_in_training(model, options,
                                           {.train = train,
                                            .eval = command.eval.empty() ? nullptr : &eval,
                                            .options = command.train_options(globals),
                                            .distill = command.distill});
    } else {
      prune_by_magnitude(model, options);
    }
    report(model, options, outcome);
    return outcome;
  }

 private:
  WeightPruneOptions resolve(const PruneCommand& command) const {
    WeightPruneOptions options = options_;
    const MethodRow& row = row_of(command.method);
    options.method = row.method;
    options.pattern = row.pattern;
    for (const PatternRow& pattern : kPatterns) {
      if (block_ == pattern.name) options.pattern = pattern.pattern;
    }
    options.global = command.is_given("--global");
    const bool has_target = !command.target_text.empty();
    if (options.pattern == WeightPattern::kTwoOfFour) {
      options.target = has_target ? command.target() : 0.5;
    } else if (!has_target && (row.method == WeightMethod::kSoftMovement || row.method == WeightMethod::kL0)) {
      options.target = std::numeric_limits<double>::quiet_NaN();
    } else {
      options.target = command.target();
    }
    return options;
  }

  static void report(Model& model, const WeightPruneOptions& options, PruneOutcome& outcome) {
    const std::vector<std::string> names = prunable_weights(model.config, options);
    const std::vector<MatrixSparsity> matrices = count_zeros(model, names);
    const int64_t n_sparse = store_smallest(model, names);
    int64_t n = 0;
    int64_t zeros = 0;
    double least = 1;
    double most = 0;
    for (const MatrixSparsity& matrix : matrices) {
      const double share = static_cast<double>(matrix.n_zeros) / static_cast<double>(matrix.n_weights);
      least = std::min(least, share);
      most = std::max(most, share);
      n += matrix.n_weights;
      zeros += matrix.n_zeros;
    }
    outcome.sparsity = static_cast<double>(zeros) / static_cast<double>(n);
    outcome.removed = {{"weights", zeros}};
    outcome.more = {{"layers", layers_json(model, matrices)}};
    outcome.text = fmt::format("{} of {} weights in {} matrices are zero ({:.1f} %; {:.1f} to {:.1f} % of a matrix)\n",
                               zeros, n, matrices.size(), 100 * outcome.sparsity, 100 * least, 100 * most);
    outcome.text += n_sparse > 0 ? fmt::format("{} matrices are stored without their zeros\n", n_sparse)
                                 : "storing without zeros would save no bytes: all matrices are stored with them\n";
  }

  WeightPruneOptions options_;
  std::string block_;
};

}  // namespace

std::unique_ptr<PruneGroup> make_weights_group() {
  return std::make_unique<WeightsGroup>();
}

}  // namespace fettle::cli
