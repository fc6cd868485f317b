#include "search/training_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "search/training_record.h"
#include "train/digest.h"
#include "train/loop.h"

namespace fettle {
namespace {

constexpr const char* kRecordFile = "training.json";
constexpr double kMiB = 1024.0 * 1024.0;

struct Measure {
  Goal goal;
  double (*of)(const Model& model, const TrainResult& result);
};

std::vector<Measure> all_measures() {
  return {
      {{"accuracy", true}, [](const Model&, const TrainResult& result) { return result.accuracy; }},
      {{"size_mb", false},
       [](const Model& model, const TrainResult&) {
         return static_cast<double>(model.parameters.size_bytes()) / kMiB;
       }},
      {{"parameters", false},
       [](const Model& model, const TrainResult&) { return static_cast<double>(model.parameters.parameter_count()); }},
  };
}

std::vector<double> measure(const std::vector<Goal>& goals, const Model& model, const TrainResult& result) {
  std::vector<double> values;
  for (const Goal& goal : goals) {
    for (const Measure& each : all_measures()) {
      if (each.goal == goal) values.push_back(each.of(model, result));
    }
  }
  return values;
}

std::filesystem::path checkpoint_folder(const std::filesystem::path& work_folder, int64_t number) {
  return work_folder / ("trial-" + std::to_string(number) + ".checkpoints");
}

void remove_folder(const std::filesystem::path& folder) {
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

StudyKey make_key(const TrainingSearch& search) {
  StudyKey key{search.space, search.goals, search.seed, search.key};
  key.values["sampler"] = std::string(search.sampler->name());
  key.values["pruner"] = std::string(search.pruner->name());
  Json options = options_to_json(search.setup.options);
  options.update(options_to_json(search.setup.distillation));
  options[kStudentParameter] = search.setup.student;
  for (const Parameter& parameter : search.space.parameters) options.erase(parameter.name);
  for (const auto& [name, value] : options.items()) key.values[name] = value;
  key.values.erase("seed");  // has a place of its own
  return key;
}

class TrialRunner {
 public:
  TrialRunner(const TrainingSearch& search, const TrialTraining& training) : search_(search), training_(training) {}

  StudyWork work() {
    return {.run = [this](const Trial& trial, bool was_begun,
                          const ReportStep& report) { return run(trial, was_begun, report); },
            .keep = [this](const Trial& trial) { keep(trial); },
            .finished = [this](const Trial& trial, std::span<const Trial> trials,
                               std::span<const size_t> front) { finished(trial, trials, front); }};
  }

  void count_finished(std::span<const Trial> trials) { n_before_ = n_finished(trials); }
  int64_t n_before() const { return n_before_; }

 private:
  static int64_t n_finished(std::span<const Trial> trials) {
    return std::count_if(trials.begin(), trials.end(),
                         [](const Trial& trial) { return trial.state != TrialState::kRunning; });
  }

  TrialOutcome run(const Trial& trial, bool was_begun, const ReportStep& report) {
    TrialSetup setup = search_.setup;
    apply_parameters(search_.space, trial.parameters, setup);
    TrainOptions& options = setup.options;
    options.checkpoint_folder = checkpoint_folder(search_.work_folder, trial.number);
    options.resume = was_begun && std::filesystem::exists(options.checkpoint_folder);
    options.after_epoch = [&](const EpochRecord& record) {
      const auto step = static_cast<int64_t>(std::ceil(record.epoch - 1e-9));
      const bool is_last = options.max_steps == 0 && record.epoch >= options.epochs - 1e-9;
      return report(step, record.accuracy, is_last);
    };
    log_info(fmt::format("trial {}: {}{}", trial.number, describe(search_.space, trial.parameters),
                         was_begun ? " (begun before)" : ""));
    model_ = training_.start(setup.student, options.seed);
    result_ = training_.train(*model_, setup);
    TrialOutcome outcome;
    outcome.values = measure(search_.goals, *model_, result_);
    outcome.pruned = result_.pruned;
    outcome.seconds = result_.seconds;
    return outcome;
  }

  void keep(const Trial& trial) {
    save_model(*model_, student_folder(search_.work_folder, trial.number), true,
               {{kRecordFile, record_to_json(result_).dump(2)}});
  }

  void finished(const Trial& trial, std::span<const Trial> trials, std::span<const size_t> front) {
    model_.reset();
    remove_folder(checkpoint_folder(search_.work_folder, trial.number));
    for (const Trial& other : trials) {
      const bool is_kept = other.state == TrialState::kRunning ||
                           std::find(front.begin(), front.end(), static_cast<size_t>(other.number)) != front.end();
      if (!is_kept) remove_folder(student_folder(search_.work_folder, other.number));
    }
    tell(trial, trials, front);
  }

  void tell(const Trial& trial, std::span<const Trial> trials, std::span<const size_t> front) const {
    std::string line = fmt::format("trial {}: {}", trial.number, trial_state_name(trial.state));
    const auto add_values = [&](const Trial& of) {
      for (size_t i = 0; i < of.values.size(); ++i) {
        line += fmt::format(", {} {:.4g}", search_.goals[i].name, of.values[i]);
      }
    };
    add_values(trial);
    if (!trial.detail.empty()) line += ": " + trial.detail;
    if (!front.empty()) {
      const Trial& best = trials[front[0]];
      line += fmt::format("; best {} {:.4g} (trial {})", search_.goals[0].name, best.values[0], best.number);
    }
    // Trials that other processes finished meanwhile count as well.
    const int64_t n_done = n_finished(trials);
    const int64_t n_left = std::max<int64_t>(0, search_.n_trials - n_done);
    const double pace = watch_.seconds() / static_cast<double>(std::max<int64_t>(1, n_done - n_before_));
    line += fmt::format("; {} of {} done", n_done, search_.n_trials);
    if (n_left > 0) line += ", " + format_duration(pace * static_cast<double>(n_left)) + " left";
    log_info(line);
  }

  const TrainingSearch& search_;
  const TrialTraining& training_;
  std::optional<Model> model_;
  TrainResult result_;
  Stopwatch watch_;
  int64_t n_before_ = 0;
};

}  // namespace

std::vector<Goal> parse_goals(const std::string& text) {
  const std::vector<Measure> measures = all_measures();
  std::vector<Goal> goals;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string name = text.substr(begin, end - begin);
    const auto found =
        std::find_if(measures.begin(), measures.end(), [&](const Measure& each) { return each.goal.name == name; });
    if (found == measures.end()) {
      std::string known;
      for (const Measure& each : measures) known += (known.empty() ? "" : ", ") + each.goal.name;
      usage_error("--objective", "'" + name + "' is none", known);
    }
    if (std::find(goals.begin(), goals.end(), found->goal) != goals.end()) {
      usage_error("--objective", "has " + name + " twice");
    }
    goals.push_back(found->goal);
    begin = end + 1;
  }
  return goals;
}

std::filesystem::path student_folder(const std::filesystem::path& work_folder, int64_t number) {
  return work_folder / ("student-" + std::to_string(number));
}

std::string digest_model(const Model& model) {
  Digest digest;
  for (const std::string& name : model.parameters.names()) {
    const Tensor values = model.parameters.get(name).data;
    digest.add(name);
    digest.add(sha256_hex({static_cast<const std::byte*>(values.raw()), static_cast<size_t>(values.size_bytes())}));
  }
  return digest.hex();
}

std::string digest_dataset(const Dataset& data) {
  Digest digest;
  for (const Example& example : data.examples) {
    digest.add(example.text);
    digest.add(example.text_pair);
    digest.add(int64_t{example.label});
  }
  return digest.hex();
}

TrainingSearchResult search_training(const TrainingSearch& search, const TrialTraining& training) {
  std::error_code error;
  std::filesystem::create_directory(search.work_folder, error);
  if (error) io_error(search.work_folder.string(), "cannot be made: " + error.message());
  Study study(search.study, make_key(search), search.sampler, search.pruner);
  TrialRunner runner(search, training);
  const std::vector<Trial> before = study.trials();
  runner.count_finished(before);
  if (!before.empty()) {
    log_info(fmt::format("going on with {}: {} of {} trials are finished", search.study.string(), runner.n_before(),
                         search.n_trials));
  }
  study.optimize(search.n_trials, runner.work());

  TrainingSearchResult result;
  result.n_before = runner.n_before();
  result.trials = study.trials();
  result.front = pareto_front(result.trials, search.goals);
  if (result.front.empty()) {
    const std::string detail = result.trials.empty() ? "" : result.trials[0].detail;
    failed("search", detail.empty() ? "no trial was completed" : "no trial was completed; the first: " + detail);
  }
  const std::filesystem::path folder = student_folder(search.work_folder, result.best().number);
  if (!std::filesystem::exists(folder / kRecordFile)) {
    io_error(folder.string(), "the best trial's student is gone", "remove the study to begin anew");
  }
  result.model = load_model(folder);
  result.model.source.clear();  // as if it had been made now
  result.training = record_from_json(read_json(folder / kRecordFile), (folder / kRecordFile).string());
  result.setup = search.setup;
  apply_parameters(search.space, result.best().parameters, result.setup);
  return result;
}

}  // namespace fettle
