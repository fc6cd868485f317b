#include "cli/trials.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "cli/results.h"
#include "compress/manifest.h"
#include "kernels/dispatch.h"
#include "search/importance.h"
#include "search/search_report.h"

namespace fettle::cli {

namespace {

constexpr int64_t kMostTrials = 1'000'000;

std::string flag_of(const std::string& parameter) {
  std::string flag = "--" + parameter;
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

// Each trial has a place for its checkpoints.
void check_training(const char* flag, const TrainFlags& train, bool has_eval) {
  if (!has_eval) usage_error(flag, "needs --eval: the best model is chosen by its accuracy there");
  if (!train.checkpoints.empty()) usage_error("--checkpoints", std::string("does not go with ") + flag);
}

TrainingSearch make_search(const TrainingJob& job, const Model& start, const Globals& globals) {
  TrainingSearch search;
  search.setup = job.setup;
  search.seed = globals.seed;
  search.key = job.key;
  search.key["starting_model"] = digest_model(start);
  search.key["version"] = FETTLE_VERSION;
  search.key["kernels"] = std::string(table_named(globals.isa).name);
  return search;
}

Json trial_json(const TrainingSearch& search, const Trial& trial) {
  Json json{{"number", trial.number},
            {"state", std::string(trial_state_name(trial.state))},
            {"params", values_to_json(search.space, trial.parameters)}};
  const bool is_complete = trial.state == TrialState::kComplete;
  json["value"] = is_complete ? Json(trial.values[0]) : Json(nullptr);
  json["values"] = Json::object();
  for (size_t i = 0; i < trial.values.size(); ++i) json["values"][search.goals[i].name] = trial.values[i];
  json["intermediates"] = Json::array();
  for (const Intermediate& each : trial.intermediates) {
    json["intermediates"].push_back({{"epoch", each.step}, {"value", each.value}});
  }
  json["seconds"] = trial.seconds;
  json["detail"] = trial.detail.empty() ? Json(nullptr) : Json(trial.detail);
  return json;
}

Json search_json(const TrainingSearch& search, const TrainingSearchResult& result,
                 const std::vector<double>& importance) {
  Json json{{"trials", Json::array()},
            {"best_trial", result.best().number},
            {"importance", Json::array()},
            {"pareto", Json::array()}};
  for (const Trial& trial : result.trials) json["trials"].push_back(trial_json(search, trial));
  for (size_t i = 0; i < importance.size(); ++i) {
    json["importance"].push_back({{"parameter", search.space.parameters[i].name}, {"share", importance[i]}});
  }
  for (size_t index : result.front) {
    Json item{{"number", result.trials[index].number}};
    item["values"] = trial_json(search, result.trials[index])["values"];
    json["pareto"].push_back(std::move(item));
  }
  json["objectives"] = Json::array();
  for (const Goal& goal : search.goals) json["objectives"].push_back(goal.name);
  json["sampler"] = std::string(search.sampler->name());
  json["pruner"] = std::string(search.pruner->name());
  return json;
}

std::string importance_text(const Space& space, const std::vector<double>& importance) {
  std::string text;
  for (size_t i = 0; i < importance.size(); ++i) {
    text += fmt::format("{}{} {:.0f} %", i > 0 ? ", " : "", space.parameters[i].name, 100 * importance[i]);
  }
  return text;
}

SearchReport make_report(const TrainingJob& job, const TrainingSearch& search, const TrainingSearchResult& result,
                         const std::vector<double>& importance) {
  SearchReport report;
  report.title = job.title;
  const Trial& best = result.best();
  const auto count = [&](TrialState state) {
    return std::count_if(result.trials.begin(), result.trials.end(),
                         [&](const Trial& trial) { return trial.state == state; });
  };
  report.summary = fmt::format(
      "The best of {} trials ({} complete, {} pruned, {} failed) is number {}: {} {:.4g} with {}.",
      result.trials.size(), count(TrialState::kComplete), count(TrialState::kPruned), count(TrialState::kFailed),
      best.number, search.goals[0].name, best.values[0], describe(search.space, best.parameters));
  report.space = search.space;
  report.goals = search.goals;
  report.trials = result.trials;
  report.front = result.front;
  report.importance = importance;
  return report;
}

struct Spread {
  double mean = 0;
  double deviation = 0;  // of the sample
};

Spread spread_of(const std::vector<double>& values) {
  Spread spread;
  const auto n = static_cast<double>(values.size());
  for (double value : values) spread.mean += value / n;
  for (double value : values) spread.deviation += (value - spread.mean) * (value - spread.mean);
  spread.deviation = values.size() > 1 ? std::sqrt(spread.deviation / (n - 1)) : 0;
  return spread;
}

}  // namespace

void TrialsOutcome::remove_work() const {
  for (const std::filesystem::path& folder : work_folders) {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
}

void merge(Json& json, const Json& more) {
  for (const auto& [key, value] : more.items()) json[key] = value;
}

void SearchFlags::add_to(CLI::App& verb) {
  verb_ = &verb;
  verb.add_option("--search", n_trials, "trials of a hyper-parameter search (0: none)")
      ->check(CLI::Range(int64_t{0}, kMostTrials));
  verb.add_option("--search-space", space,
                  "JSON file of the parameters to search (default: epochs, alpha, temperature, "
                  "learning_rate)");
  verb.add_option("--sampler", sampler, "tpe, random")->check(CLI::IsMember({"tpe", "random"}));
  verb.add_option("--pruner", pruner, "median, halving, none (default: median for one goal)")
      ->check(CLI::IsMember({"median", "halving", "none"}));
  verb.add_option("--study", study, "SQLite file of the trials, kept and shared (default: within OUT.search)");
  verb.add_option("--goal", goal, "what is sought: accuracy, size_mb, parameters, or several (accuracy,size_mb)");
  verb.add_option("--report", report, "HTML file: loss and accuracy, or with --search the plots of the search");
}

bool SearchFlags::is_given(const std::string& flag) const {
  const CLI::Option* option = verb_->get_option_no_throw(flag);
  return option != nullptr && option->count() > 0;
}

void SearchFlags::check(const TrainFlags& train, bool has_eval) const {
  if (is_on()) {
    check_training("--search", train, has_eval);
    return;
  }
  for (const char* flag : {"--search-space", "--sampler", "--pruner", "--study", "--goal"}) {
    if (is_given(flag)) usage_error(flag, "goes with --search");
  }
}

// Options that were given are not searched by default; in a file of the user's they would be a contradiction.
Space SearchFlags::resolve_space(const TrainingJob& job, int64_t hidden_size) const {
  const bool steps_given = job.setup.options.max_steps > 0;
  if (space.empty()) {
    Space found = default_distillation_space(hidden_size);
    std::erase_if(found.parameters, [&](const Parameter& parameter) {
      return is_given(flag_of(parameter.name)) || (steps_given && parameter.name == "epochs");
    });
    if (found.parameters.empty()) usage_error("--search", "every parameter of the default space is given as an option");
    return found;
  }
  Space found = read_space(space, distillation_tunables());
  for (const Parameter& parameter : found.parameters) {
    const std::string flag = flag_of(parameter.name);
    if (is_given(flag)) usage_error(flag, "is searched in " + space, "leave it out here or there");
    if (steps_given && parameter.name == "epochs") usage_error("--max-steps", "leaves nothing to search for epochs");
  }
  return found;
}

TrialsOutcome SearchFlags::run(const TrainingJob& job, const Globals& globals) const {
  const Model start = job.training.start(job.setup.student, globals.seed);
  TrainingSearch search = make_search(job, start, globals);
  search.n_trials = n_trials;
  search.goals = parse_goals(goal);
  search.sampler = make_sampler(sampler);
  search.pruner = make_pruner(!pruner.empty() ? pruner : search.goals.size() > 1 ? "none" : "median");
  search.space = resolve_space(job, start.config.hidden_size);
  const bool is_named = !study.empty();
  search.work_folder = is_named ? beside(study, ".work") : beside(job.out, ".search");
  search.study = is_named ? std::filesystem::path(study) : search.work_folder / "study.sqlite";

  TrialsOutcome outcome;
  TrainingSearchResult result = search_training(search, job.training);
  const std::vector<double> importance = parameter_importance(search.space, result.trials, 0, globals.seed);
  SearchReport made = make_report(job, search, result, importance);
  outcome.json = search_json(search, result, importance);
  outcome.json["study"] = is_named ? Json(study) : Json(nullptr);
  outcome.text = format_trials(made, isatty(STDOUT_FILENO) == 1) + "\n" + made.summary + "\n";
  if (!importance.empty()) outcome.text += "importance: " + importance_text(search.space, importance) + "\n";
  if (search.goals.size() > 1) {
    for (size_t i = 0; i < result.front.size(); ++i) {
      const std::string folder = student_folder(search.work_folder, result.trials[result.front[i]].number).string();
      outcome.json["pareto"][i]["path"] = folder;
      outcome.text += "front: " + folder + "\n";
    }
  } else if (!is_named) {
    outcome.work_folders.push_back(search.work_folder);
  }
  if (!report.empty()) {
    made.facts = environment_facts(globals);
    write_file(report, search_report_html(made));
    outcome.json["report"] = report;
    outcome.text += "report: " + report + "\n";
  }
  outcome.model = std::move(result.model);
  outcome.training = std::move(result.training);
  outcome.setup = std::move(result.setup);
  amend_step(outcome.model, Json{{"search",
                                  {{"trials", result.trials.size()},
                                   {"best_trial", result.best().number},
                                   {"sampler", outcome.json["sampler"]},
                                   {"pruner", outcome.json["pruner"]},
                                   {"objectives", outcome.json["objectives"]},
                                   {"space", space_to_json(search.space)}}}});
  return outcome;
}

void SeedsFlag::add_to(CLI::App& verb) {
  verb.add_option("--seeds", n, "train so many times, from --seed on; report the spread, keep the best (default 1)")
      ->check(CLI::Range(int64_t{1}, int64_t{10000}));
}

void SeedsFlag::check(const TrainFlags& train, bool has_eval) const {
  if (is_on()) check_training("--seeds", train, has_eval);
}

TrialsOutcome SeedsFlag::run(const TrainingJob& job, const Globals& globals) const {
  TrainingSearch search = make_search(job, job.training.start(job.setup.student, globals.seed), globals);
  search.n_trials = n;
  search.goals = parse_goals("accuracy");
  search.sampler = std::make_shared<SequenceSampler>();
  search.pruner = std::make_shared<NoPruner>();
  search.space = seed_space(globals.seed);
  search.work_folder = beside(job.out, ".seeds");
  search.study = search.work_folder / "study.sqlite";
  TrainingSearchResult result = search_training(search, job.training);

  TrialsOutcome outcome;
  outcome.work_folders.push_back(search.work_folder);
  Json seeds = Json::array();
  std::vector<double> accuracies;
  for (const Trial& trial : result.trials) {
    const bool is_complete = trial.state == TrialState::kComplete;
    const auto seed = static_cast<int64_t>(trial.parameters[0]);
    seeds.push_back({{"seed", seed}, {"accuracy", is_complete ? Json(trial.values[0]) : Json(nullptr)}});
    if (is_complete) accuracies.push_back(trial.values[0]);
    outcome.text += is_complete ? fmt::format("seed {}: accuracy {:.4f}\n", seed, trial.values[0])
                                : fmt::format("seed {}: {}\n", seed, trial.detail);
  }
  const Spread spread = spread_of(accuracies);
  const auto kept = static_cast<int64_t>(result.best().parameters[0]);
  outcome.text += fmt::format("accuracy {:.4f} ± {:.4f} (mean and standard deviation of {} seeds); seed {} is kept\n",
                              spread.mean, spread.deviation, accuracies.size(), kept);
  const Json summary{{"seeds", seeds},
                     {"accuracy_mean", spread.mean},
                     {"accuracy_std", accuracies.size() > 1 ? Json(spread.deviation) : Json(nullptr)},
                     {"kept_seed", kept}};
  outcome.json = summary;
  outcome.model = std::move(result.model);
  outcome.training = std::move(result.training);
  outcome.setup = std::move(result.setup);
  amend_step(outcome.model, Json{{"seeds", summary}});
  return outcome;
}

TrialsOutcome run_trials(const SearchFlags& search, const SeedsFlag& seeds, const TrainingJob& job,
                         const Globals& globals) {
  if (!search.is_on()) return seeds.run(job, globals);
  TrialsOutcome found = search.run(job, globals);
  if (!seeds.is_on()) return found;
  TrainingJob again = job;
  again.setup = found.setup;
  TrialsOutcome outcome = seeds.run(again, globals);
  Json json = std::move(found.json);
  merge(json, outcome.json);
  outcome.json = std::move(json);
  outcome.text = found.text + outcome.text;
  outcome.work_folders.insert(outcome.work_folders.end(), found.work_folders.begin(), found.work_folders.end());
  const Json& steps = found.model.manifest["steps"];
  amend_step(outcome.model, Json{{"search", steps.back()["options"]["search"]}});
  return outcome;
}

}  // namespace fettle::cli
