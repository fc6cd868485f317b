// --search and --seeds as a user runs them: killed, resumed, shared by processes, and given nonsense.
#include <cmath>

#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

using test::Outcome;
using test::Process;

class SearchTest : public test::CliFixture {
 protected:
  void SetUp() override {
    CliFixture::SetUp();
    teacher_ = tiny_model("teacher");
    std::string eval;
    for (const char* text : {"lamp on", "turn on the light", "the light please", "light", "lamp"}) {
      eval += std::string("{\"text\":\"") + text + "\",\"label\":\"light\"}\n";
    }
    for (const char* text : {"a song", "play music", "some song", "music please", "put on music"}) {
      eval += std::string("{\"text\":\"") + text + "\",\"label\":\"music\"}\n";
    }
    write_file(folder_ / "eval.jsonl", eval);
  }

  std::string distillation(const std::string& more) const {
    return "distill " + teacher_ + " --student layers=0 --data " + path("train.jsonl") + " --eval " +
           path("eval.jsonl") + " --batch-size 2 --threads 1 --seed 3 " + more;
  }
  std::string training(const std::string& more) const {
    return "train " + teacher_ + " --data " + path("train.jsonl") + " --eval " + path("eval.jsonl") +
           " --batch-size 2 --threads 1 --seed 3 --epochs 3 --learning-rate 5e-3 " + more;
  }

  // Kills the program as soon as it has said `line`.
  void kill_at(const std::string& arguments, const std::string& line) const {
    Process process(words(arguments), path("process.txt"));
    ASSERT_TRUE(process.wait_for_line(line)) << process.err();
  }

  // Without what is different each time.
  static Json trials_of(const Outcome& outcome) {
    Json trials = outcome.json()["trials"];
    for (Json& trial : trials) trial.erase("seconds");
    return trials;
  }

  void expect_same_model(const std::string& a, const std::string& b) const {
    for (const char* file : {"model.safetensors", "config.json", "fettle.json"}) {
      EXPECT_EQ(read_file(folder_ / a / file), read_file(folder_ / b / file)) << file;
    }
  }

  std::string teacher_;
};

TEST_F(SearchTest, KilledAndResumedItEndsAsOneThatWasNot) {
  const std::string search = distillation("--search 7 --json --out ");
  const Outcome whole = run(search + path("whole"));
  ASSERT_EQ(whole.code, 0) << whole.err;
  ASSERT_EQ(trials_of(whole).size(), 7u);

  kill_at(search + path("killed") + " --checkpoint-every 1", "trial 1:");
  kill_at(search + path("killed") + " --checkpoint-every 1 --resume", "trial 3:");
  kill_at(search + path("killed") + " --checkpoint-every 1 --resume", "trial 5:");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "killed"));
  const Outcome resumed = run(search + path("killed") + " --resume");
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find("going on with"), std::string::npos) << resumed.err;
  EXPECT_EQ(trials_of(resumed), trials_of(whole));
  EXPECT_EQ(resumed.json()["best_trial"], whole.json()["best_trial"]);
  EXPECT_EQ(resumed.json()["accuracy"], whole.json()["accuracy"]);
  EXPECT_EQ(resumed.json()["importance"], whole.json()["importance"]);
  expect_same_model("killed", "whole");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "killed.search"));
}

TEST_F(SearchTest, ReportsTrialsImportanceAndPlots) {
  const Outcome outcome = run(distillation("--search 6 --pruner none --json --quiet --out " + path("s") + " --study " +
                                           path("s.sqlite") + " --report " + path("s.html")));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json json = outcome.json();
  ASSERT_EQ(json["trials"].size(), 6u);
  double best = -1;
  for (const Json& trial : json["trials"]) {
    EXPECT_EQ(trial["state"], "complete");
    for (const char* name : {"epochs", "alpha", "temperature", "learning_rate"}) {
      EXPECT_TRUE(trial["params"].contains(name)) << name;
    }
    best = std::max(best, trial["value"].get<double>());
  }
  EXPECT_EQ(json["accuracy"], best);
  EXPECT_EQ(json["trials"][json["best_trial"].get<size_t>()]["value"], best);
  EXPECT_EQ(json["importance"].size(), 4u);
  EXPECT_EQ(json["pareto"][0]["number"], json["best_trial"]);
  EXPECT_NE(read_file(folder_ / "s.html").find("Results by parameter"), std::string::npos);
  EXPECT_EQ(run("eval " + path("s") + " --data " + path("eval.jsonl") + " --json --quiet").json()["value"], best);

  // The study stays, and a longer search goes on from it.
  const Outcome longer =
      run(distillation("--search 8 --pruner none --json --force --out " + path("s") + " --study " + path("s.sqlite")));
  ASSERT_EQ(longer.code, 0) << longer.err;
  EXPECT_NE(longer.err.find("6 of 8 trials are finished"), std::string::npos) << longer.err;
  EXPECT_EQ(longer.json()["trials"].size(), 8u);
  expect_error(run(distillation("--search 8 --label-smoothing 0.1 --pruner none --quiet --out " + path("t") +
                                " --study " + path("s.sqlite"))),
               3, "another label_smoothing");

  const Outcome table =
      run(distillation("--search 8 --pruner none --quiet --out " + path("u") + " --study " + path("s.sqlite")));
  EXPECT_NE(table.out.find("▶"), std::string::npos) << table.out;
}

TEST_F(SearchTest, ProcessesShareAStudy) {
  const std::string search = distillation("--search 8 --study " + path("shared.sqlite") + " --out ");
  {
    Process a(words(search + path("a")), path("a.txt"));
    Process b(words(search + path("b")), path("b.txt"));
    EXPECT_EQ(a.wait(), 0) << a.err();
    EXPECT_EQ(b.wait(), 0) << b.err();
  }
  const Outcome again = run(search + path("c") + " --json --quiet");
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(again.json()["trials"].size(), 8u);
  expect_same_model("a", "b");
  expect_same_model("a", "c");
}

TEST_F(SearchTest, GivenOptionsAreNotSearched) {
  const Outcome outcome = run(distillation("--search 2 --epochs 1 --alpha 0.25 --json --quiet --out " + path("s")));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["trials"][0]["params"].size(), 2u);
  const Json manifest = read_json(folder_ / "s/fettle.json");
  EXPECT_EQ(manifest["steps"].back()["options"]["alpha"], 0.25);
}

TEST_F(SearchTest, SpacesOfTheUser) {
  write_file(folder_ / "space.json", R"({"batch_size": {"type": "categorical", "choices": [2, 4]},
    "epochs": {"type": "int", "low": 1, "high": 2}, "dropout": {"type": "float", "low": 0, "high": 0.3}})");
  const std::string base = "distill " + teacher_ + " --student layers=0 --data " + path("train.jsonl") + " --eval " +
                           path("eval.jsonl") + " --search 3 --quiet --json --search-space " + path("space.json");
  const Outcome outcome = run(base + " --sampler random --pruner halving --out " + path("s"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(outcome.json()["trials"][0]["params"].contains("dropout"));
  expect_error(run(base + " --batch-size 2 --out " + path("t")), 2, "--batch-size");
  write_file(folder_ / "space.json", R"({"epoch": {"type": "int", "low": 1, "high": 2}})");
  expect_error(run(base + " --out " + path("t")), 3, "'epoch' cannot be searched (one of: epochs, alpha");
  write_file(folder_ / "space.json", R"({"epochs": {"type": "int", "low": 5, "high": 5}})");
  expect_error(run(base + " --out " + path("t")), 3, "empty");
}

TEST_F(SearchTest, Mistakes) {
  const std::string out = " --quiet --out " + path("s");
  expect_error(run(distillation("--sampler random" + out)), 2, "--search");
  expect_error(run("distill " + teacher_ + " --student layers=0 --data " + path("train.jsonl") + " --search 2" + out),
               2, "--eval");
  expect_error(run(distillation("--search 2 --goal speed" + out)), 2, "accuracy, size_mb");
  expect_error(run(distillation("--search 2 --goal accuracy,size_mb --pruner median" + out)), 2, "--pruner none");
  expect_error(run(distillation("--search 2 --checkpoints " + path("c") + out)), 2, "--checkpoints");
  expect_error(run(distillation("--search 2 --study " + path("train.jsonl") + out)), 3, "no SQLite file");
  expect_error(run(distillation("--search 2 --study " + path("nowhere/s.sqlite") + out)), 4);
  EXPECT_NE(run(distillation("--search -1" + out)).code, 0);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "s"));
}

TEST_F(SearchTest, TwoGoalsGiveAFront) {
  const Outcome outcome = run(distillation("--search 3 --goal accuracy,size_mb --json --quiet --out " + path("s")));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const Json& item : outcome.json()["pareto"]) {
    EXPECT_TRUE(std::filesystem::exists(item["path"].get<std::string>() + "/model.safetensors"));
    EXPECT_TRUE(item["values"].contains("size_mb"));
  }
}

TEST_F(SearchTest, SeedsGiveMeanAndDeviationAndTheBest) {
  const Outcome outcome = run(training("--seeds 3 --json --quiet --out " + path("m")));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json json = outcome.json();
  ASSERT_EQ(json["seeds"].size(), 3u);
  double mean = 0;
  double best = -1;
  for (size_t i = 0; i < 3; ++i) {
    const auto seed = json["seeds"][i]["seed"].get<int64_t>();
    EXPECT_EQ(seed, static_cast<int64_t>(i) + 3);
    const std::string out = path("single" + std::to_string(seed));
    const Outcome single = run("train " + teacher_ + " --data " + path("train.jsonl") + " --eval " +
                               path("eval.jsonl") + " --batch-size 2 --threads 1 --epochs 3 --learning-rate 5e-3 " +
                               "--json --quiet --seed " + std::to_string(seed) + " --out " + out);
    ASSERT_EQ(single.code, 0) << single.err;
    const auto accuracy = single.json()["accuracy"].get<double>();
    EXPECT_EQ(json["seeds"][i]["accuracy"], accuracy);
    mean += accuracy / 3;
    best = std::max(best, accuracy);
    if (json["kept_seed"] == seed) {
      EXPECT_EQ(read_file(folder_ / "m/model.safetensors"), read_file(out + "/model.safetensors"));
    }
  }
  EXPECT_NEAR(json["accuracy_mean"], mean, 1e-12);
  EXPECT_EQ(json["accuracy"], best);
  double squares = 0;
  for (const Json& each : json["seeds"]) squares += std::pow(each["accuracy"].get<double>() - mean, 2);
  EXPECT_NEAR(json["accuracy_std"], std::sqrt(squares / 2), 1e-12);
  EXPECT_EQ(read_json(folder_ / "m/fettle.json")["steps"].back()["options"]["seeds"]["kept_seed"], json["kept_seed"]);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "m.seeds"));
  expect_error(run("train " + teacher_ + " --data " + path("train.jsonl") + " --seeds 2 --quiet --out " + path("n")), 2,
               "--eval");
}

TEST_F(SearchTest, FinishedSeedsAreNotRepeatedAfterAKill) {
  const std::string seeds = distillation("--epochs 3 --seeds 4 --out ");
  const Outcome whole = run(seeds + path("whole") + " --json");
  ASSERT_EQ(whole.code, 0) << whole.err;
  kill_at(seeds + path("killed"), "trial 2: seed");
  const Outcome resumed = run(seeds + path("killed") + " --json --resume");
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(resumed.err.find("trial 0: seed"), std::string::npos) << resumed.err;
  EXPECT_EQ(resumed.json()["seeds"], whole.json()["seeds"]);
  expect_same_model("killed", "whole");
}

TEST_F(SearchTest, ASearchsBestOptionsFromSeveralSeeds) {
  const Outcome outcome = run(distillation("--search 3 --seeds 2 --json --quiet --out " + path("s")));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["trials"].size(), 3u);
  ASSERT_EQ(outcome.json()["seeds"].size(), 2u);
  const Json trial = outcome.json()["trials"][outcome.json()["best_trial"].get<size_t>()];
  EXPECT_EQ(outcome.json()["seeds"][0]["accuracy"], trial["value"]) << "the same seed and options";
  const Json step = read_json(folder_ / "s/fettle.json")["steps"].back();
  EXPECT_EQ(step["options"]["alpha"], trial["params"]["alpha"]);
  EXPECT_TRUE(step["options"].contains("search"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "s.search"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "s.seeds"));
}

}  // namespace
}  // namespace fettle
