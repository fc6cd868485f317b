// `prune` of whole parts: layers, heads, neurons, heads and neurons together, hidden dimensions. What is left is a
// smaller model of the usual kind.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "cli/prune_methods.h"
#include "cli/results.h"
#include "cli/train_report.h"
#include "compress/prune/importance_report.h"
#include "compress/prune/latency.h"
#include "compress/prune/layer_order.h"
#include "compress/prune/reconstruct.h"
#include "compress/prune/structure.h"

namespace fettle::cli {

namespace {

using Flags = std::vector<std::string>;

const Flags kRankingFlags = {"--importance", "--importance-data", "--examples",    "--ranking", "--normalize",
                             "--rounds",     "--neuron-step",     "--reconstruct", "--report"};
const Flags kLayerFlags = {"--which", "--importance-data", "--examples", "--rounds", "--report"};
const Flags kHiddenFlags = {"--importance", "--importance-data", "--examples", "--neuron-step", "--report"};

class StructureGroup final : public PruneGroup {
 public:
  std::vector<std::string> methods() const override { return {"layers", "heads", "neurons", "joint", "hidden"}; }

  void add_to(CLI::App& verb) override {
    verb.add_option("--which", which_,
                    "layers: which ones go: top (default), bottom, alternate, symmetric; with --data those of least "
                    "contribution (1 - cosine of in and out) or gradient")
        ->check(CLI::IsMember({"top", "bottom", "alternate", "symmetric", "contribution", "gradient"}));
    verb.add_option("--importance", importance_,
                    "heads, neurons, joint, hidden: gradient (default), taylor or fisher (joint's default) on --data; "
                    "magnitude "
                    "needs none")
        ->check(CLI::IsMember({"gradient", "taylor", "fisher", "magnitude"}));
    verb.add_option("--importance-data", importance_data_, "measure importance on this too, and compare the ranks");
    verb.add_option("--examples", examples_, "of --data that importance and --reconstruct see at most (default 1024)")
        ->check(CLI::Range(int64_t{1}, INT64_MAX));
    verb.add_option("--ranking", ranking_, "heads, neurons, joint: of all layers together (global) or per-layer")
        ->check(CLI::IsMember({"global", "per-layer"}));
    verb.add_flag("--normalize", normalize_,
                  "heads, neurons: a layer's scores by their norm before layers are compared");
    verb.add_option("--rounds", rounds_, "prune in so many rounds, measuring importance anew (default 1)")
        ->check(CLI::Range(int64_t{1}, int64_t{100000}));
    verb.add_option("--neuron-step", neuron_step_, "neurons, joint, hidden: keep multiples of this (default 16)")
        ->check(CLI::Range(int64_t{1}, int64_t{4096}));
    verb.add_flag("--reconstruct", reconstruct_,
                  "heads, neurons, joint: fit the products behind what is left to the whole model's sums on --data");
    verb.add_option("--max-ms", max_ms_, "joint: instead of --target, down to this median latency on this machine")
        ->check(CLI::PositiveNumber);
    verb.add_option("--query", query_, "joint: the text whose latency --max-ms is about");
    verb.add_option("--report", report_, "write importance maps as a page (.html) here");
  }

  Flags flags_of(const std::string& method) const override {
    if (method == "layers") return kLayerFlags;
    if (method == "hidden") return kHiddenFlags;
    Flags flags = kRankingFlags;
    if (method == "joint") flags.insert(flags.end(), {"--max-ms", "--query"});
    return flags;
  }

  void check(const PruneCommand& command) const override {
    if (max_ms_ > 0) {
      if (command.is_given("--target")) usage_error("--max-ms", "takes the place of --target");
    } else {
      if (!query_.empty()) usage_error("--query", "goes with --max-ms");
      command.target();
    }
    if (needs_data(command)) command.require("--data", "what importance is measured on");
    if (reconstruct_) command.require("--data", "texts to reconstruct on");
    if (!importance_data_.empty() && !needs_data(command)) {
      usage_error("--importance-data", "goes with importance that is measured on data");
    }
    if (!report_.empty() && scores_of(command).empty()) {
      usage_error("--report", "needs an importance: --which contribution or gradient");
    }
  }

  PruneOutcome run(Model& model, const std::shared_ptr<const Model>& original, const PruneCommand& command,
                   const Globals& globals) override {
    TrainReport{.path = report_, .out = command.out, .data = "", .eval = ""}.refuse_existing(globals);
    Dataset data;
    if (needs_data(command) || reconstruct_) data = command.load(command.data, *original);
    PruneOutcome outcome;
    const StructureResult result = choose(*original, data, command, globals, outcome);
    model = cut(*original, result.kept);
    outcome.removed = count_removed(original->config, result.kept);
    outcome.sparsity =
        1 - static_cast<double>(encoder_parameters(model)) / static_cast<double>(encoder_parameters(*original));
    outcome.importance = importance_to_json(result.scores);
    outcome.text += describe(*original, result.kept, outcome);
    const std::vector<PartScores> other = compare(*original, result.scores, command, globals, outcome);
    if (reconstruct_) mend(model, *original, result.kept, data, globals, outcome);
    if (!report_.empty()) write_report(result, other, command, globals, outcome);
    return outcome;
  }

 private:
  // Heads and neurons are weighed against each other by what adds up.
  std::string importance_of(const PruneCommand& command) const {
    if (!importance_.empty()) return importance_;
    return command.method == "joint" ? "fisher" : "gradient";
  }
  bool needs_data(const PruneCommand& command) const {
    if (command.method == "layers") return which_ == "contribution" || which_ == "gradient";
    return importance_of(command) != "magnitude";
  }
  std::vector<PartKind> scores_of(const PruneCommand& command) const {
    if (command.method == "layers") {
      return needs_data(command) ? std::vector<PartKind>{PartKind::kLayers} : std::vector<PartKind>{};
    }
    if (command.method == "heads") return {PartKind::kHeads};
    if (command.method == "neurons") return {PartKind::kNeurons};
    if (command.method == "hidden") return {PartKind::kHidden, PartKind::kPooled};
    return {PartKind::kHeads, PartKind::kNeurons};
  }

  ImportanceOptions importance_options(const PruneCommand& command, const Globals& globals) const {
    return {.kind = parse_importance(command.method == "layers" ? which_ : importance_of(command)),
            .max_examples = examples_,
            .max_length = command.train_flags.options.max_length,
            .n_threads = globals.threads,
            .isa = globals.isa};
  }

  StructureResult choose(const Model& original, const Dataset& data, const PruneCommand& command,
                         const Globals& globals, PruneOutcome& outcome) const {
    if (command.method == "layers") return choose_by_layer(original, data, command, globals, outcome);
    StructureOptions options;
    options.parts = scores_of(command);
    options.normalize = normalize_;
    options.rounds = rounds_;
    options.choice.global = ranking_ == "global";
    options.choice.neuron_step = neuron_step_;
    options.importance = importance_options(command, globals);
    outcome.options = {{"importance", importance_of(command)}, {"ranking", ranking_}, {"rounds", rounds_}};
    if (normalize_) outcome.options["normalize"] = true;
    if (reconstruct_) outcome.options["reconstruct"] = true;
    if (command.method != "heads") outcome.options["neuron_step"] = neuron_step_;
    if (needs_data(command) || reconstruct_) outcome.options["examples"] = examples_;
    if (max_ms_ > 0) return choose_by_latency(original, data, options, globals, outcome);
    outcome.options["target"] = options.share = command.target();
    return choose_structure(original, data, options);
  }

  StructureResult choose_by_layer(const Model& original, const Dataset& data, const PruneCommand& command,
                                  const Globals& globals, PruneOutcome& outcome) const {
    const auto n = static_cast<int64_t>(original.config.layers.size());
    const int64_t n_drop = layers_to_drop(command.target(), n);
    outcome.options = {{"target", command.target()}, {"which", which_}};
    if (needs_data(command)) {
      outcome.options["examples"] = examples_;
      outcome.options["rounds"] = rounds_;
      return choose_layers(original, data, n_drop, std::min(rounds_, n_drop), importance_options(command, globals));
    }
    StructureResult result{.kept = everything(original.config), .scores = {}};
    result.kept.layers = layers_left(layer_order(which_, n), n_drop);
    return result;
  }

  StructureResult choose_by_latency(const Model& original, const Dataset& data, const StructureOptions& options,
                                    const Globals& globals, PruneOutcome& outcome) const {
    LatencyResult result =
        prune_to_latency(original, data, options, {.max_ms = max_ms_, .query = query_, .session = globals.session()});
    outcome.options["max_ms"] = max_ms_;
    if (!query_.empty()) outcome.options["query"] = query_;
    outcome.more["latency"] = {{"ms_before", result.times.whole_ms},
                               {"ms", result.reached_ms},
                               {"ms_per_head", result.times.head_ms},
                               {"ms_per_neuron", result.times.neuron_ms},
                               {"least_ms", result.times.least_ms}};
    outcome.text +=
        fmt::format("{:.3f} -> {:.3f} ms; a head takes {:.1f} us, a neuron {:.3f} us\n", result.times.whole_ms,
                    result.reached_ms, 1e3 * result.times.head_ms, 1e3 * result.times.neuron_ms);
    return std::move(result.structure);
  }

  // Of the encoder's layers: what these methods shrink.
  static int64_t encoder_parameters(const Model& model) {
    int64_t n = 0;
    for (const std::string& name : model.parameters.names()) {
      const bool in_layer =
          name.find(".layer.") != std::string::npos || name.find("albert_layers") != std::string::npos;
      if (in_layer) n += element_count(model.parameters.get(name).shape);
    }
    return n;
  }

  // "6 heads, 1024 neurons"
  static std::string removed_words(const PruneOutcome& outcome) {
    std::string text;
    for (const auto& [part, n] : outcome.removed.items()) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", n.get<int64_t>(), part);
    }
    return text.empty() ? "nothing" : text;
  }

  static std::string describe(const Model& original, const KeptParts& kept, const PruneOutcome& outcome) {
    std::string text =
        fmt::format("removed {}; {:.1f} % of the layers' parameters\n", removed_words(outcome), 100 * outcome.sparsity);
    for (const int64_t layer : kept.layers) {
      const auto at = static_cast<size_t>(layer);
      text += fmt::format("layer {:>2}  {:>3} of {:>3} heads  {:>5} of {:>5} neurons\n", layer,
                          kept.in_layers[at].heads.size(), original.config.layers[at].n_heads,
                          kept.in_layers[at].neurons.size(), original.config.layers[at].intermediate_size);
    }
    return text;
  }

  // The same importance on --importance-data.
  std::vector<PartScores> compare(const Model& original, const std::vector<PartScores>& scores,
                                  const PruneCommand& command, const Globals& globals, PruneOutcome& outcome) const {
    if (importance_data_.empty()) return {};
    std::vector<PartKind> parts;
    for (const PartScores& each : scores) parts.push_back(each.kind);
    const std::vector<PartScores> other = measure_importance(original, command.load(importance_data_, original), parts,
                                                             importance_options(command, globals));
    outcome.more["importance_other"] = importance_to_json(other);
    outcome.more["rank_correlation"] = Json::object();
    for (size_t i = 0; i < scores.size(); ++i) {
      const double r = rank_correlation(scores[i], other[i]);
      const std::string part(part_name(scores[i].kind));
      outcome.more["rank_correlation"][part] = std::isfinite(r) ? Json(r) : Json(nullptr);
      outcome.text += fmt::format("importance of {} on {}: rank correlation {:.3f}\n", part, importance_data_, r);
    }
    return other;
  }

  void mend(Model& model, const Model& original, const KeptParts& kept, const Dataset& data, const Globals& globals,
            PruneOutcome& outcome) const {
    const ReconstructOptions options{.max_examples = examples_, .n_threads = globals.threads, .isa = globals.isa};
    Json list = Json::array();
    for (const ReconstructedLayer& layer : reconstruct(model, original, kept, data, options)) {
      list.push_back({{"name", layer.name}, {"error_before", layer.error_before}, {"error", layer.error}});
      outcome.text += fmt::format("{:<52} error {:.4f} -> {:.4f}\n", layer.name, layer.error_before, layer.error);
    }
    outcome.more["reconstruction"] = std::move(list);
  }

  void write_report(const StructureResult& result, const std::vector<PartScores>& other, const PruneCommand& command,
                    const Globals& globals, const PruneOutcome& outcome) const {
    ImportanceReport page;
    page.title = fmt::format("Pruning of {}: {}", std::filesystem::path(beside(command.model, "")).filename().string(),
                             command.method);
    page.summary = fmt::format("{:.1f} % of the layers' parameters were removed: {}.", 100 * outcome.sparsity,
                               removed_words(outcome));
    page.data_name = needs_data(command) ? command.data : "";
    page.scores = result.scores;
    page.other_name = importance_data_;
    page.other = other;
    page.kept = result.kept;
    page.facts = environment_facts(globals);
    write_file(report_, importance_report_html(page));
  }

  std::string which_ = "top";
  std::string importance_;  // "": by the method
  std::string importance_data_;
  int64_t examples_ = 1024;
  std::string ranking_ = "global";
  bool normalize_ = false;
  int64_t rounds_ = 1;
  int64_t neuron_step_ = 16;
  bool reconstruct_ = false;
  double max_ms_ = 0;
  std::string query_;
  std::string report_;
};

}  // namespace

std::unique_ptr<PruneGroup> make_structure_group() {
  return std::make_unique<StructureGroup>();
}

}  // namespace fettle::cli
