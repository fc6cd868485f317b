// Searches over real training of toy models.
#include "search/training_search.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/scratch_folder.h"
#include "train/test_models.h"

namespace fettle {
namespace {

using test::toy_data;
using test::toy_model;
using test::weight_bytes;

class TrainingSearchTest : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kError);
    set_progress_style(ProgressStyle::kNone);
  }
  void TearDown() override { clear_cancel(); }

  TrialTraining distillation() const {
    return {
        .start = [this](const std::string&, uint64_t seed) { return toy_model(train_.labels, seed, 1, 32); },
        .train = [this](Model& model,
                        const TrialSetup& setup) { return distill(model, {teacher_}, train_, &eval_, setup.options); }};
  }

  TrainingSearch search_in(const std::filesystem::path& folder, int64_t n_trials) const {
    TrainingSearch search;
    search.n_trials = n_trials;
    search.space = parse_space(parse_json(R"({"epochs": {"type": "int", "low": 2, "high": 4},
                                              "alpha": {"type": "float", "low": 0, "high": 1},
                                              "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": true},
                                              "schedule": {"type": "categorical", "choices": ["linear", "cosine"]}})",
                                          "space"),
                               distillation_tunables(), "space");
    search.goals = parse_goals("accuracy");
    search.sampler = make_sampler("tpe");
    search.pruner = std::make_shared<MedianPruner>(MedianPruner::Options{.n_startup_trials = 2, .n_warmup_steps = 1});
    search.seed = 1;
    search.setup.options = test::toy_training();
    search.study = folder / "study.sqlite";
    search.work_folder = folder / "work";
    return search;
  }

  Dataset train_ = toy_data(64, 1);
  Dataset eval_ = toy_data(40, 2);
  std::shared_ptr<const Model> teacher_ = std::make_shared<const Model>(toy_model(train_.labels, 9));
};

void expect_same(const TrainingSearchResult& a, const TrainingSearchResult& b) {
  ASSERT_EQ(a.trials.size(), b.trials.size());
  for (size_t i = 0; i < a.trials.size(); ++i) {
    EXPECT_EQ(a.trials[i].state, b.trials[i].state) << i;
    EXPECT_EQ(a.trials[i].parameters, b.trials[i].parameters) << i;
    EXPECT_EQ(a.trials[i].values, b.trials[i].values) << i;
  }
  EXPECT_EQ(a.front, b.front);
  EXPECT_EQ(weight_bytes(a.model), weight_bytes(b.model));
}

TEST_F(TrainingSearchTest, TheBestTrialsModelIsTheOneThatItsOptionsGive) {
  const ScratchFolder folder;
  const TrainingSearch search = search_in(folder.path(), 8);
  const TrainingSearchResult result = search_training(search, distillation());
  ASSERT_EQ(result.trials.size(), 8u);
  double best = -1;
  for (const Trial& trial : result.trials) {
    if (trial.state == TrialState::kComplete) best = std::max(best, trial.values[0]);
  }
  EXPECT_EQ(result.best().values[0], best);
  EXPECT_EQ(result.training.accuracy, best);
  Model again = toy_model(train_.labels, result.setup.options.seed, 1, 32);
  TrainOptions options = result.setup.options;
  EXPECT_EQ(distill(again, {teacher_}, train_, &eval_, options).accuracy, best);
  EXPECT_EQ(weight_bytes(again), weight_bytes(result.model));
  // Nothing else remains.
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(search.work_folder)) {
    left.push_back(entry.path().filename().string());
  }
  EXPECT_EQ(left, std::vector<std::string>{"student-" + std::to_string(result.best().number)});
}

TEST_F(TrainingSearchTest, InterruptedAnywhereItEndsTheSame) {
  const ScratchFolder whole_folder;
  const TrainingSearchResult whole = search_training(search_in(whole_folder.path(), 5), distillation());
  for (int64_t looks = 0;; looks += 5) {
    SCOPED_TRACE("interrupted after " + std::to_string(looks) + " looks");
    const ScratchFolder folder;
    const TrainingSearch search = search_in(folder.path(), 5);
    request_cancel_after(looks);
    bool interrupted = false;
    try {
      search_training(search, distillation());
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::kInterrupted) << error.what();
      interrupted = true;
    }
    clear_cancel();
    expect_same(search_training(search, distillation()), whole);
    if (!interrupted) break;
  }
}

TEST_F(TrainingSearchTest, ALongerSearchGoesOn) {
  const ScratchFolder whole_folder;
  const TrainingSearchResult whole = search_training(search_in(whole_folder.path(), 6), distillation());
  const ScratchFolder folder;
  search_training(search_in(folder.path(), 3), distillation());
  const TrainingSearchResult result = search_training(search_in(folder.path(), 6), distillation());
  EXPECT_EQ(result.n_before, 3);
  expect_same(result, whole);
}

TEST_F(TrainingSearchTest, OtherOptionsAreAnotherStudy) {
  const ScratchFolder folder;
  search_training(search_in(folder.path(), 1), distillation());
  TrainingSearch search = search_in(folder.path(), 2);
  search.setup.options.weight_decay = 0.5;
  EXPECT_THROW(search_training(search, distillation()), Error);
  search = search_in(folder.path(), 2);
  search.setup.options.alpha = 0.9;  // is searched
  EXPECT_EQ(search_training(search, distillation()).trials.size(), 2u);
}

TEST_F(TrainingSearchTest, DivergingTrialsFailAndTheOthersGoOn) {
  const ScratchFolder folder;
  TrainingSearch search = search_in(folder.path(), 4);
  TrialTraining training = distillation();
  int n_runs = 0;
  training.train = [&, train = training.train](Model& model, const TrialSetup& setup) {
    if (++n_runs == 2) failed("training", "the loss is not finite at step 3");
    return train(model, setup);
  };
  const TrainingSearchResult result = search_training(search, training);
  EXPECT_EQ(result.trials[1].state, TrialState::kFailed);
  training.train = [](Model&, const TrialSetup&) -> TrainResult { failed("training", "the loss is not finite"); };
  const ScratchFolder other;
  try {
    search_training(search_in(other.path(), 2), training);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kFailed);
    EXPECT_NE(std::string(error.what()).find("not finite"), std::string::npos);
  }
}

TEST_F(TrainingSearchTest, SeedsAreTrainedInTurn) {
  const ScratchFolder folder;
  TrainingSearch search = search_in(folder.path(), 3);
  search.space = seed_space(11);
  search.sampler = std::make_shared<SequenceSampler>();
  search.pruner = std::make_shared<NoPruner>();
  search.setup.options.epochs = 2;
  const TrainingSearchResult result = search_training(search, distillation());
  ASSERT_EQ(result.trials.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    TrainOptions options = search.setup.options;
    options.seed = 11 + i;
    Model model = toy_model(train_.labels, options.seed, 1, 32);
    EXPECT_EQ(distill(model, {teacher_}, train_, &eval_, options).accuracy, result.trials[i].values[0]);
    if (result.front[0] == i) {
      EXPECT_EQ(weight_bytes(model), weight_bytes(result.model));
    }
  }
  EXPECT_EQ(result.setup.options.seed, 11 + result.front[0]);
}

TEST_F(TrainingSearchTest, TwoGoalsKeepTheStudentsOfTheFront) {
  const ScratchFolder folder;
  TrainingSearch search = search_in(folder.path(), 6);
  search.goals = parse_goals("accuracy,size_mb");
  search.pruner = make_pruner("none");
  search.space = parse_space(parse_json(R"({"student": {"type": "categorical", "choices": ["32", "64", "96"]},
                     "epochs": {"type": "int", "low": 1, "high": 3}})",
                                        "space"),
                             distillation_tunables(), "space");
  TrialTraining training = distillation();
  training.start = [this](const std::string& student, uint64_t seed) {
    return toy_model(train_.labels, seed, 1, std::stoll(student));
  };
  const TrainingSearchResult result = search_training(search, training);
  EXPECT_GE(result.front.size(), 1u);
  for (size_t i = 0; i < result.front.size(); ++i) {
    const Trial& trial = result.trials[result.front[i]];
    const Model model = load_model(student_folder(search.work_folder, trial.number));
    EXPECT_DOUBLE_EQ(trial.values[1], static_cast<double>(model.parameters.size_bytes()) / (1024 * 1024));
    if (i > 0) {
      EXPECT_LT(trial.values[1], result.trials[result.front[i - 1]].values[1]);
    }
  }
}

TEST(TrainingSpace, DefaultFollowsTheWidth) {
  const auto rates = [](int64_t width) {
    const Space space = default_distillation_space(width);
    return std::pair(space.parameters[3].low, space.parameters[3].high);
  };
  EXPECT_EQ(rates(768), std::pair(1e-5, 1e-3));
  EXPECT_NEAR(rates(256).first, 6.2e-5, 2e-6);
  EXPECT_NEAR(rates(256).second, 1.56e-3, 2e-5);
  EXPECT_DOUBLE_EQ(rates(32).first, 2e-4);
  EXPECT_DOUBLE_EQ(rates(32).second, 5e-3);
  // It is a space that a user could have written.
  const Json json = space_to_json(default_distillation_space(768));
  EXPECT_EQ(space_to_json(parse_space(json, distillation_tunables(), "default")), json);
}

TEST(TrainingSpace, EveryTunableReachesItsOption) {
  const Space space = parse_space(parse_json(R"({
      "epochs": {"type": "categorical", "choices": [3]}, "alpha": {"type": "categorical", "choices": [0.25]},
      "temperature": {"type": "categorical", "choices": [7]}, "learning_rate": {"type": "categorical", "choices": [0.001]},
      "warmup_ratio": {"type": "categorical", "choices": [0.2]}, "weight_decay": {"type": "categorical", "choices": [0.3]},
      "batch_size": {"type": "categorical", "choices": [24]}, "dropout": {"type": "categorical", "choices": [0.15]},
      "label_smoothing": {"type": "categorical", "choices": [0.05]}, "max_grad_norm": {"type": "categorical", "choices": [2]},
      "ema": {"type": "categorical", "choices": [0.9]}, "layer_decay": {"type": "categorical", "choices": [0.8]},
      "hidden_weight": {"type": "categorical", "choices": [11]}, "embeddings_weight": {"type": "categorical", "choices": [12]},
      "attention_weight": {"type": "categorical", "choices": [13]}, "values_weight": {"type": "categorical", "choices": [14]},
      "augment": {"type": "categorical", "choices": [5]}, "match": {"type": "categorical", "choices": ["logits,hidden"]},
      "layer_map": {"type": "categorical", "choices": ["last"]},
      "schedule": {"type": "categorical", "choices": ["cosine"]}, "student": {"type": "categorical", "choices": ["layers=0"]}
    })",
                                             "space"),
                                  distillation_tunables(), "space");
  EXPECT_EQ(space.size(), distillation_tunables().size());
  TrialSetup setup;
  apply_parameters(space, ParameterValues(space.size(), 0.0), setup);
  const TrainOptions& o = setup.options;
  EXPECT_EQ(o.epochs, 3);
  EXPECT_EQ(o.alpha, 0.25);
  EXPECT_EQ(o.temperature, 7);
  EXPECT_EQ(o.learning_rate, 0.001);
  EXPECT_EQ(o.warmup_ratio, 0.2);
  EXPECT_EQ(o.weight_decay, 0.3);
  EXPECT_EQ(o.batch_size, 24);
  EXPECT_EQ(o.dropout, 0.15);
  EXPECT_EQ(o.label_smoothing, 0.05);
  EXPECT_EQ(o.max_grad_norm, 2);
  EXPECT_EQ(o.schedule, Schedule::kCosine);
  EXPECT_EQ(o.ema_decay, 0.9);
  EXPECT_EQ(o.layer_decay, 0.8);
  EXPECT_EQ(setup.student, "layers=0");
  const DistillOptions& d = setup.distillation;
  EXPECT_EQ(d.hidden_weight, 11);
  EXPECT_EQ(d.embeddings_weight, 12);
  EXPECT_EQ(d.attention_weight, 13);
  EXPECT_EQ(d.values_weight, 14);
  EXPECT_EQ(d.augment, 5);
  EXPECT_EQ(match_list(d.match), "logits,hidden");
  EXPECT_EQ(d.layer_map, "last");
}

TEST(TrainingSpace, WordsThatMakeNoSenseAreRefusedBeforeAnyTrial) {
  const Json json = parse_json(R"({"match": {"type": "categorical", "choices": ["logits", "probits"]}})", "space");
  try {
    parse_space(json, distillation_tunables(), "space");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    EXPECT_NE(std::string(error.what()).find("probits"), std::string::npos) << error.what();
  }
}

TEST(Goals, AreReadByName) {
  const std::vector<Goal> goals = parse_goals("accuracy,size_mb");
  ASSERT_EQ(goals.size(), 2u);
  EXPECT_TRUE(goals[0].maximize);
  EXPECT_FALSE(goals[1].maximize);
  for (const char* bad : {"", "accuracy,", "speed", "accuracy,accuracy"}) EXPECT_THROW(parse_goals(bad), Error) << bad;
}

}  // namespace
}  // namespace fettle
