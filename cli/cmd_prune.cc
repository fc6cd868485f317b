// fettle prune: whole parts or single weights that a model can do without.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "cli/app.h"
#include "cli/prune_methods.h"
#include "cli/retrain.h"
#include "cli/trials.h"
#include "compress/manifest.h"

namespace fettle::cli {

namespace {

constexpr double kMiB = 1024.0 * 1024.0;

using GroupFactory = std::unique_ptr<PruneGroup> (*)();
constexpr GroupFactory kGroups[] = {make_structure_group, make_weights_group, make_vocabulary_group};

struct PruneVerb {
  PruneCommand command;
  std::vector<std::unique_ptr<PruneGroup>> groups;

  PruneGroup& chosen() const {
    for (const auto& group : groups) {
      if (std::ranges::count(group->methods(), command.method) > 0) return *group;
    }
    usage_error("--method", "'" + shown_text(command.method) + "' is not known");
  }
};

// What would be ignored is a mistake.
void check_command(const PruneVerb& prune) {
  const PruneCommand& command = prune.command;
  const PruneGroup& group = prune.chosen();
  const std::vector<std::string> allowed = group.flags_of(command.method);
  for (const auto& other : prune.groups) {
    for (const std::string& method : other->methods()) {
      for (const std::string& flag : other->flags_of(method)) {
        if (!command.is_given(flag) || std::ranges::count(allowed, flag) > 0) continue;
        usage_error(flag, "does not go with --method " + command.method);
      }
    }
  }
  const bool has_steps = command.is_given("--epochs") || command.is_given("--max-steps");
  if (has_steps && command.data.empty()) usage_error("--epochs", "needs --data");
  if (command.distill && !command.trains()) usage_error("--distill", "needs --data and --epochs");
  for (const char* flag : {"--alpha", "--temperature"}) {
    if (command.is_given(flag) && !command.distill) usage_error(flag, "goes with --distill");
  }
  if (command.threshold.fit && command.eval.empty()) usage_error("--fit-threshold", "needs --eval");
  group.check(command);
}

void print_outcome(const PruneOutcome& outcome, const Json& json, const PruneCommand& command) {
  std::string text = outcome.text;
  if (json.contains("steps")) text += training_summary(outcome.training);
  if (json.contains("accuracy_before")) {
    text += fmt::format("accuracy {:.4f} -> {:.4f}\n", json["accuracy_before"].get<double>(),
                        json["accuracy"].get<double>());
  }
  text += fmt::format("{:.2f} -> {:.2f} MiB; wrote {}\n", json["size_mb_before"].get<double>(),
                      json["size_mb"].get<double>(), command.out);
  print(text);
}

int run_prune(const PruneVerb& prune, const Globals& globals) {
  const PruneCommand& command = prune.command;
  check_command(prune);
  refuse_existing(command.out, globals);
  const auto original = load_shared(command.model);
  Model model = *original;
  PruneOutcome outcome = prune.chosen().run(model, original, command, globals);
  Json options{{"method", command.method}};
  options.update(outcome.options);
  if (outcome.has_trained) {
    amend_step(model, options);
    record_parent(model, original->source);
  } else {
    record_step(model, "prune", options, globals.seed);
    if (command.trains()) outcome.training = retrain(model, original, command, globals);
  }
  const Json measured = measure_change(model, original, command, globals);
  if (!measured.empty()) record_measurements(model, measured);
  const double size_mb_before = weights_mb(command.model);
  const int64_t size = save_model(model, command.out, globals.force);
  remove_checkpoints(command.train_flags, command.out);

  Json json = outcome.has_trained || command.trains() ? to_json(outcome.training) : Json::object();
  json["method"] = command.method;
  json["sparsity"] = outcome.sparsity;
  json["removed"] = outcome.removed;
  json["importance"] = outcome.importance;
  json["size_mb_before"] = size_mb_before;
  json["size_mb"] = static_cast<double>(size) / kMiB;
  json["path"] = command.out;
  merge(json, outcome.more);
  merge(json, measured);
  if (globals.json) {
    print_json(json);
  } else {
    print_outcome(outcome, json, command);
  }
  return 0;
}

}  // namespace

void add_prune(Program& program) {
  auto prune = std::make_shared<PruneVerb>();
  PruneCommand& command = prune->command;
  CLI::App* verb = program.add_verb("prune", "remove parts or weights that a model can do without",
                                    [prune, &program] { return run_prune(*prune, program.globals()); });
  command.verb = verb;
  std::vector<std::string> methods;
  for (const GroupFactory make : kGroups) {
    prune->groups.push_back(make());
    std::ranges::copy(prune->groups.back()->methods(), std::back_inserter(methods));
  }
  std::string list;
  for (const std::string& method : methods) list += (list.empty() ? "" : ", ") + method;
  verb->add_option("model", command.model, "model folder")->required();
  verb->add_option("--method", command.method, list)->required()->check(CLI::IsMember(methods));
  verb->add_option("--target", command.target_text, "share to remove: 0.4 or 40%");
  verb->add_option("--data", command.data, "training data: what importance is measured on, and for --epochs");
  verb->add_option("--eval", command.eval, "data for evaluation, before and after");
  verb->add_option("--out", command.out, "folder to write")->required();
  verb->add_flag("--distill", command.distill, "retrain with the model as it was as the teacher");
  verb->add_option("--alpha", command.alpha, "with --distill: weight of the hard labels")->check(CLI::Range(0.0, 1.0));
  verb->add_option("--temperature", command.temperature, "with --distill: of the softmax of both")
      ->check(CLI::Range(0.01, 1000.0));
  command.threshold.add_to(*verb);
  command.data_flags.add_to(*verb);
  command.train_flags.add_to(*verb);
  for (const auto& group : prune->groups) group->add_to(*verb);
}

}  // namespace fettle::cli
