// Trials that train a model each: the search for the best options, and the same training from several seeds.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/model.h"
#include "search/study.h"
#include "search/training_space.h"

namespace fettle {

// What a verb trains. Called once for each trial, with all that the trial differs in.
struct TrialTraining {
  // The model to start from: `student` as TrialSetup says it.
  std::function<Model(const std::string& student, uint64_t seed)> start;
  // Trains it and completes its manifest. Passes the options on as they are: checkpoints, resuming and pruning are in
  // them.
  std::function<TrainResult(Model& model, const TrialSetup& setup)> train;
};

struct TrainingSearch {
  int64_t n_trials = 20;  // of the study altogether
  Space space;
  std::vector<Goal> goals;
  std::shared_ptr<const Sampler> sampler;
  std::shared_ptr<const Pruner> pruner;
  uint64_t seed = 0;  // of the sampler
  TrialSetup setup;   // what the space leaves alone
  // What else results depend on (digests of data and models, kernels): one flat object.
  Json key = Json::object();
  std::filesystem::path study;  // the SQLite file
  // Where students and checkpoints are kept: the best so far, those on the front, and what the running trials need. May
  // be shared by several processes, as the study.
  std::filesystem::path work_folder;
};

struct TrainingSearchResult {
  std::vector<Trial> trials;
  std::vector<size_t> front;  // indices; the first is the best by the first goal
  Model model;                // of the best trial, as its training left it
  TrainResult training;
  TrialSetup setup;      // of the best trial
  int64_t n_before = 0;  // trials that were finished when this began

  const Trial& best() const { return trials[front[0]]; }
};

// accuracy (max, on the evaluation data), size_mb (min, weights as they are saved), parameters (min).
// "accuracy,size_mb" names two. kUsage for a name that is none of them, and for one that comes twice.
std::vector<Goal> parse_goals(const std::string& text);

// Works on the study until it is done, alone or with other processes. Trial k is a function of the key, the seed and
// the trials before it; one that was interrupted goes on from its checkpoint. So a search that was killed and run again
// ends with the trials and the bytes of one that was not, as long as one process works on it. Errors: as StudyFile;
// kInterrupted on Ctrl-C; kFailed when no trial was completed.
TrainingSearchResult search_training(const TrainingSearch& search, const TrialTraining& training);

// Where the student of a trial on the front lies in the work folder.
std::filesystem::path student_folder(const std::filesystem::path& work_folder, int64_t number);

// SHA-256 of a model's parameters, by name and value: part of a study's key.
std::string digest_model(const Model& model);
std::string digest_dataset(const Dataset& data);

}  // namespace fettle
