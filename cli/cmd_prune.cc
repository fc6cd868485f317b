// fettle prune: whole parts or single weights that a model can do without.
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
  check_retrain_flags(command);
  group.check(command);
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
  if (outcome.training.has_value()) {
    amend_step(model, options);
    record_parent(model, original->source);
  } else {
    record_step(model, "prune", options, globals.seed);
    if (command.trains()) outcome.training = retrain(model, original, command, globals);
  }
  Json json = write_changed(model, original, command, outcome.training, globals);
  json["sparsity"] = outcome.sparsity;
  json["removed"] = outcome.removed;
  json["importance"] = outcome.importance;
  merge(json, outcome.more);
  if (globals.json) {
    print_json(json);
  } else {
    print(outcome.text + change_text(json, outcome.training));
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
  add_retrain_flags(*verb, command);
  for (const auto& group : prune->groups) group->add_to(*verb);
}

}  // namespace fettle::cli
