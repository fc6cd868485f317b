// One job of several ranks, on this machine: the program under mpirun.
#include "tests/cli/cli_fixture.h"

namespace fettle::test {
namespace {

constexpr int kRanks = 3;

// Processes that have such a variable in their environment and such a word in their command.
pid_t find_process(const std::string& variable, const std::string& word) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto read = [&](const char* file) {
      std::ifstream stream(entry.path() / file);
      return std::string(std::istreambuf_iterator<char>(stream), {});
    };
    if (read("environ").find(variable) == std::string::npos) continue;
    if (read("cmdline").find(word) != std::string::npos) return static_cast<pid_t>(std::stoi(name));
  }
  return -1;
}

class Ranks : public CliFixture {
 protected:
  void SetUp() override {
    CliFixture::SetUp();
    if (!std::filesystem::exists(std::filesystem::path(FETTLE_PROGRAM).parent_path() / "fettle_mpi.so")) {
      GTEST_SKIP() << "this build has no MPI";
    }
    std::string lines;
    for (int i = 0; i < 50; ++i) {
      lines += "{\"text\":\"turn on the light number " + std::to_string(i) + "\",\"label\":\"light\"}\n";
      lines += "{\"text\":\"play song " + std::to_string(i) + " please\",\"label\":\"music\"}\n";
    }
    write_file(folder_ / "train.jsonl", lines);
  }

  static std::string launcher(int n) {
    return "mpirun --allow-run-as-root --oversubscribe --bind-to none -n " + std::to_string(n);
  }
  Outcome run_ranks(int n, const std::string& arguments) const { return run(arguments, launcher(n)); }
  std::string weights(const std::string& model) const { return read_file(folder_ / model / "model.safetensors"); }
  std::string common(const std::string& out, const std::string& more) const {
    return "train --init " + tiny_config() + " --tokenizer " FETTLE_ENCODER " --learning-rate 1e-3 --threads 1 --out " +
           path(out) + " " + more;
  }
  std::string training(const std::string& out, const std::string& more) const {
    return common(out, "--batch-size 12 --data " + path("train.jsonl") + " --eval " + path("train.jsonl") + " " + more);
  }
};

double first_loss(const Outcome& outcome) {
  return outcome.json()["epochs"][0]["loss"].get<double>();
}

TEST_F(Ranks, GiveTheSameBytesEveryTimeAndLearnWhatOneProcessLearns) {
  const Outcome alone = run(training("alone", "--max-steps 30 --dropout 0 --json --quiet"));
  ASSERT_EQ(alone.code, 0) << alone.err;
  for (const char* name : {"a", "b"}) {
    const Outcome outcome = run_ranks(kRanks, training(name, "--max-steps 30 --dropout 0 --json --quiet"));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.json()["samples"], alone.json()["samples"]);
    EXPECT_EQ(outcome.json()["tokens"], alone.json()["tokens"]);
    EXPECT_NEAR(first_loss(outcome), first_loss(alone), 5e-3);
  }
  EXPECT_EQ(weights("a"), weights("b"));
  EXPECT_EQ(weights("a").size(), weights("alone").size());
}

// A step of n ranks is one of n micro batches, summed in the same order.
TEST_F(Ranks, GiveTheBytesOfOneProcessThatAccumulates) {
  const std::string options = "--data " + path("train.jsonl") + " --max-steps 40 --max-grad-norm 0 --quiet ";
  ASSERT_EQ(run(common("one", options + "--batch-size 4 --gradient-accumulation 3")).code, 0);
  ASSERT_EQ(run_ranks(kRanks, common("ranks", options + "--batch-size 12")).code, 0);
  EXPECT_EQ(weights("ranks"), weights("one"));
}

TEST_F(Ranks, PretrainTooAndTakeBatchesSmallerThanTheirNumber) {
  const std::string data = "--data " + path("train.jsonl") + " --max-steps 6 --force --quiet ";
  const std::string eval = "--eval " + path("train.jsonl") + " ";
  for (const std::string& more : {data + "--objective mlm --batch-size 2", data + eval + "--gradient-accumulation 3",
                                  data + eval + "--batch-size 2"}) {
    SCOPED_TRACE(more);
    for (const char* name : {"a", "b"}) {
      const Outcome outcome = run_ranks(kRanks, common(name, more));
      ASSERT_EQ(outcome.code, 0) << outcome.err;
    }
    EXPECT_EQ(weights("a"), weights("b"));
  }
}

TEST_F(Ranks, DistilAndShareOutTheTrialsOfASearch) {
  ASSERT_EQ(run(common("teacher", "--data " + path("train.jsonl") + " --max-steps 20 --quiet")).code, 0);
  const std::string distil = "distill " + path("teacher") + " --student layers=0 --data " + path("train.jsonl") +
                             " --eval " + path("train.jsonl") + " --threads 1 --quiet --json --out ";
  for (const char* name : {"a", "b"}) {
    const Outcome outcome = run_ranks(2, distil + path(name) + " --max-steps 6 --match logits,hidden");
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }
  EXPECT_EQ(weights("a"), weights("b"));
  const Outcome search = run_ranks(2, distil + path("found") + " --search 6");
  ASSERT_EQ(search.code, 0) << search.err;
  EXPECT_EQ(search.json()["trials"].size(), 6u);
  const Outcome seeds = run_ranks(2, distil + path("kept") + " --seeds 3 --epochs 1");
  ASSERT_EQ(seeds.code, 0) << seeds.err;
  EXPECT_EQ(seeds.json()["seeds"].size(), 3u);
  EXPECT_EQ(files(), (std::vector<std::string>{"a", "b", "found", "kept", "teacher"}));
}

TEST_F(Ranks, AnErrorIsSaidOnceAndEndsTheJob) {
  const Outcome outcome = run_ranks(kRanks, common("m", "--data " + path("nowhere.jsonl")));
  EXPECT_EQ(outcome.code, 4) << outcome.err;
  const std::string line = "fettle: ";
  const size_t first = outcome.err.find(line);
  ASSERT_NE(first, std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find(line, first + 1), std::string::npos) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "m"));
}

TEST_F(Ranks, TheDeathOfOneEndsAllAndTheJobCanBeResumedToTheSameBytes) {
  const std::string steps = "--max-steps 500 --checkpoint-every 20";
  ASSERT_EQ(run_ranks(2, training("whole", steps + " --quiet")).code, 0);

  const std::filesystem::path err = folder_ / "killed.txt";
  {
    const std::string command = "exec " + launcher(2) + " " + FETTLE_PROGRAM + " " + training("m", steps);
    Process job({"/bin/sh", "-c", command}, err);
    const auto has_checkpoint = [&] {
      return std::filesystem::exists(folder_ / "m.checkpoints" / "checkpoint" / "state.json") &&
             read_json(folder_ / "m.checkpoints" / "checkpoint" / "state.json")["state"]["step"].get<int>() >= 20;
    };
    ASSERT_TRUE(job.wait_until(has_checkpoint)) << job.err();
    const pid_t second = find_process("OMPI_COMM_WORLD_RANK=1", path("m"));
    ASSERT_GT(second, 0);
    ::kill(second, SIGKILL);
    EXPECT_NE(job.wait(), 0);
  }
  const std::string said = read_file(err);
  EXPECT_NE(said.find("fettle: training: "), std::string::npos) << said;
  EXPECT_NE(said.find("--resume"), std::string::npos) << said;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "m"));

  const Outcome resumed = run_ranks(2, training("m", steps + " --resume"));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find("resuming after step"), std::string::npos) << resumed.err;
  EXPECT_EQ(weights("m"), weights("whole"));
}

}  // namespace
}  // namespace fettle::test
