// --search and --seeds: verbs that train several models and keep the best.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/app.h"
#include "search/training_search.h"

namespace fettle::cli {

// What a verb trains, once for each trial.
struct TrainingJob {
  std::string out;
  TrialSetup setup;  // the options as given
  TrialTraining training;
  Json key = Json::object();  // what results depend on besides: digests of data and teachers, options of the verb
  std::string title;          // of the report
};

// The best of the trials, and what is said of all of them.
struct TrialsOutcome {
  Model model;
  TrainResult training;
  TrialSetup setup;  // that gave it
  Json json = Json::object();
  std::string text;
  std::vector<std::filesystem::path> work_folders;  // to be removed once the model is written

  void remove_work() const;
};

struct SearchFlags {
  int64_t n_trials = 0;
  std::string space;
  std::string sampler = "tpe";
  std::string pruner;
  std::string study;
  std::string goal = "accuracy";
  std::string report;

  void add_to(CLI::App& verb);
  bool is_on() const { return n_trials > 0; }
  // kUsage for what would be ignored.
  void check(const TrainFlags& train, bool has_eval) const;
  TrialsOutcome run(const TrainingJob& job, const Globals& globals) const;

 private:
  bool is_given(const std::string& flag) const;
  Space resolve_space(const TrainingJob& job, int64_t hidden_size) const;

  const CLI::App* verb_ = nullptr;
};

struct SeedsFlag {
  int64_t n = 1;

  void add_to(CLI::App& verb);
  bool is_on() const { return n > 1; }
  void check(const TrainFlags& train, bool has_eval) const;
  TrialsOutcome run(const TrainingJob& job, const Globals& globals) const;
};

// With --search its best options, with --seeds these from several seeds: one or both are on.
TrialsOutcome run_trials(const SearchFlags& search, const SeedsFlag& seeds, const TrainingJob& job,
                         const Globals& globals);

// Merges the keys of `more` into `json`.
void merge(Json& json, const Json& more);

}  // namespace fettle::cli
