// fettle factorize: matrices as products of smaller ones, and layers that share their parameters.
#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "base/error.h"
#include "cli/app.h"
#include "cli/prune_methods.h"
#include "cli/retrain.h"
#include "cli/trials.h"
#include "compress/factorize/factorize.h"
#include "compress/manifest.h"
#include "data/tokenized.h"

namespace fettle::cli {

namespace {

struct FactorizeCommand {
  PruneCommand common;  // model, method, target, data, training
  int64_t rank = 0;
  std::string parts = "all";
  double damping = 1e-2;
  int64_t n_calibration = 512;
  std::string group = "all";
  std::string shared = "average";

  bool is(const char* method) const { return common.method == method; }
};

// What would be ignored is a mistake.
void check_command(const FactorizeCommand& command) {
  const PruneCommand& common = command.common;
  const auto only_for = [&](const char* flag, bool fits) {
    if (common.is_given(flag) && !fits) usage_error(flag, "does not go with --method " + common.method);
  };
  const bool shares = command.is("share");
  only_for("--rank", !shares);
  only_for("--target", !shares);
  only_for("--parts", !shares && !command.is("embedding"));
  only_for("--damping", command.is("weighted-svd"));
  only_for("--calibration-samples", command.is("weighted-svd"));
  only_for("--group", shares);
  only_for("--shared", shares);
  if (!shares && common.is_given("--rank") == common.is_given("--target")) {
    usage_error("--method " + common.method, "needs --rank or --target, one of them");
  }
  if (command.is("weighted-svd")) common.require("--data", "texts that the inputs of the layers are measured on");
  check_retrain_flags(common);
  const bool reads_data = common.trains() || command.is("weighted-svd") || command.is("embedding");
  if (!common.data.empty() && !reads_data) usage_error("--data", "needs --epochs with --method " + common.method);
}

int64_t group_size(const FactorizeCommand& command) {
  if (command.group == "all") return 0;
  try {
    size_t end = 0;
    const int64_t size = std::stoll(command.group, &end);
    if (end == command.group.size() && size >= 2 && size <= 1024) return size;
  } catch (const std::exception&) {
  }
  usage_error("--group", "'" + shown_text(command.group) + "' is neither all nor a number of layers from 2");
}

std::vector<int64_t> count_words(const Model& model, const Dataset& data) {
  if (model.tokenizer == nullptr) bad_input("factorize", "the model has no tokenizer to count words with");
  std::vector<int64_t> counts(static_cast<size_t>(model.config.vocab_size), 0);
  for (const int32_t id : tokenize(data, *model.tokenizer, model.config.max_positions).ids) {
    ++counts[static_cast<size_t>(id)];
  }
  return counts;
}

FactorizeReport factorize(Model& model, const FactorizeCommand& command, const Globals& globals) {
  const PruneCommand& common = command.common;
  if (command.is("share")) {
    return share_layers(model, {.group = group_size(command), .average = command.shared == "average"});
  }
  FactorizeOptions options{.attention = command.parts != "feed-forward",
                           .feed_forward = command.parts != "attention",
                           .rank = command.rank,
                           .target = common.is_given("--target") ? common.target() : 0,
                           .damping = command.damping,
                           .n_threads = globals.threads};
  if (command.is("svd")) return factorize_linears(model, options);
  if (command.is("tucker")) return factorize_stacks(model, options);
  if (command.is("embedding")) {
    if (common.data.empty()) return factorize_word_table(model, options);
    return factorize_word_table(model, options, count_words(model, common.load(common.data, model)));
  }
  const std::vector<std::string> linears = encoder_linears(model.config, options.attention, options.feed_forward);
  const CalibrationOptions calibration{
      .n_samples = command.n_calibration, .n_threads = globals.threads, .isa = globals.isa};
  return factorize_linears(
      model, options,
      input_moments(model, {linears.begin(), linears.end()}, common.load(common.data, model), calibration));
}

Json step_options(const FactorizeCommand& command) {
  const PruneCommand& common = command.common;
  Json step{{"method", common.method}};
  if (common.is_given("--rank")) step["rank"] = command.rank;
  if (common.is_given("--target")) step["target"] = common.target();
  if (command.is("share")) {
    step["group"] = command.group;
    step["shared"] = command.shared;
  } else if (!command.is("embedding")) {
    step["parts"] = command.parts;
  }
  if (command.is("weighted-svd")) {
    step["damping"] = command.damping;
    step["calibration_samples"] = command.n_calibration;
  }
  if (!common.data.empty()) step["data"] = common.data;
  return step;
}

Json to_json(const FactorizeReport& report) {
  Json layers = Json::array();
  for (const LayerFactors& layer : report.layers) {
    Json item{{"name", layer.name},
              {"rank", layer.rank > 0 ? Json(layer.rank) : Json(nullptr)},
              {"relative_error", layer.relative_error}};
    if (!std::isnan(layer.output_error)) item["output_error"] = layer.output_error;
    if (!layer.remark.empty()) item["remark"] = layer.remark;
    layers.push_back(std::move(item));
  }
  return layers;
}

std::string table_of(const FactorizeReport& report) {
  std::string text;
  for (const LayerFactors& layer : report.layers) {
    text += fmt::format("{:<56} {:>6}  error {:.4f}", layer.name, layer.rank > 0 ? std::to_string(layer.rank) : "whole",
                        layer.relative_error);
    if (!std::isnan(layer.output_error)) text += fmt::format("  of its outputs {:.4f}", layer.output_error);
    text += (layer.remark.empty() ? "" : "  " + layer.remark) + "\n";
  }
  return text;
}

int run_factorize(const FactorizeCommand& command, const Globals& globals) {
  const PruneCommand& common = command.common;
  check_command(command);
  refuse_existing(common.out, globals);
  const auto original = load_shared(common.model);
  Model model = *original;
  const FactorizeReport report = factorize(model, command, globals);
  record_step(model, "factorize", step_options(command), globals.seed);
  std::optional<TrainResult> training;
  if (common.trains()) training = retrain(model, original, common, globals);
  Json json = write_changed(model, original, common, training, globals);
  json["layers"] = to_json(report);
  if (globals.json) {
    print_json(json);
    return 0;
  }
  print(table_of(report) + change_text(json, training));
  return 0;
}

}  // namespace

void add_factorize(Program& program) {
  auto command = std::make_shared<FactorizeCommand>();
  PruneCommand& common = command->common;
  CLI::App* verb = program.add_verb("factorize", "low rank: matrices as products of smaller ones, shared layers",
                                    [command, &program] { return run_factorize(*command, program.globals()); });
  common.verb = verb;
  verb->add_option("model", common.model, "model folder")->required();
  verb->add_option("--method", common.method, "svd, weighted-svd, tucker, embedding, share")
      ->required()
      ->check(CLI::IsMember({"svd", "weighted-svd", "tucker", "embedding", "share"}));
  verb->add_option("--rank", command->rank, "of every matrix")->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  verb->add_option("--target", common.target_text,
                   "share of the chosen matrices' numbers to remove: 0.4 or 40%; ranks are chosen for it");
  verb->add_option("--parts", command->parts, "of every layer: all, attention, feed-forward")
      ->check(CLI::IsMember({"all", "attention", "feed-forward"}));
  verb->add_option("--damping", command->damping, "weighted-svd: share of the inputs' mean square (default 0.01)")
      ->check(CLI::Range(0.0, 1.0));
  verb->add_option("--calibration-samples", command->n_calibration, "weighted-svd: texts of --data (default 512)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
  verb->add_option("--group", command->group, "share: layers side by side that share, or all");
  verb->add_option("--shared", command->shared, "share: the average of the layers, or those of the first")
      ->check(CLI::IsMember({"average", "first"}));
  verb->add_option("--data", common.data,
                   "training data for --epochs; what weighted-svd and embedding measure or count on");
  verb->add_option("--eval", common.eval, "data for evaluation, before and after");
  verb->add_option("--out", common.out, "folder to write")->required();
  add_retrain_flags(*verb, common);
}

}  // namespace fettle::cli
