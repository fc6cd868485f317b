// Ctrl-C, full disks and bad text: one line, the right exit code, nothing half written, and training that goes on.
#include <cmath>

#include "base/cancel.h"
#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

using test::Outcome;
using test::Process;

class Faults : public test::CliFixture {
 protected:
  static std::string last_line(const std::string& text) {
    const size_t end = text.find_last_not_of('\n');
    const size_t begin = text.rfind('\n', end);
    return text.substr(begin == std::string::npos ? 0 : begin + 1, end - begin);
  }

  // Ctrl-C in the second epoch; then --resume, and the same bytes as without any of it.
  void interrupt_and_resume(const std::string& training) const {
    const std::string common = training + " --seed 5 --out ";
    {
      Process process(words(common + path("m")), path("process.txt"));
      ASSERT_TRUE(process.wait_for_line("epoch 2:")) << process.err();
      process.interrupt();
      ASSERT_EQ(process.wait(), 130) << process.err();
      const std::string line = last_line(process.err());
      EXPECT_EQ(line.rfind("fettle: training: interrupted after step ", 0), 0u) << line;
      EXPECT_NE(line.find("--resume"), std::string::npos) << line;
      const Json state = read_json(folder_ / "m.checkpoints/checkpoint/state.json");
      EXPECT_NE(line.find("after step " + std::to_string(state["state"]["step"].get<int>()) + " of"), std::string::npos)
          << line << state["state"]["step"];
    }
    EXPECT_EQ(files(), (std::vector<std::string>{"m.checkpoints", "process.txt"}));
    const Outcome resumed = run(common + path("m") + " --resume");
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_NE(resumed.err.find("resuming after step"), std::string::npos) << resumed.err;
    const Outcome whole = run(common + path("whole"));
    ASSERT_EQ(whole.code, 0) << whole.err;
    for (const char* file : {"model.safetensors", "config.json", "fettle.json"}) {
      EXPECT_EQ(read_file(folder_ / "m" / file), read_file(folder_ / "whole" / file)) << file;
    }
    EXPECT_EQ(files(), (std::vector<std::string>{"m", "process.txt", "whole"}));
  }
};

TEST_F(Faults, CtrlCDuringFineTuning) {
  interrupt_and_resume(tiny_training("--eval " + path("train.jsonl") + " --max-steps 40"));
}

TEST_F(Faults, CtrlCDuringPretraining) {
  interrupt_and_resume(tiny_training("--objective mlm --max-steps 40"));
}

TEST_F(Faults, CtrlCWhileStandardInputIsAwaited) {
  Process process(words("predict " + tiny_model("m")), path("process.txt"));
  int asleep = 0;
  ASSERT_TRUE(process.wait_until([&] { return (asleep = process.state() == "S" ? asleep + 1 : 0) > 100; }));
  process.interrupt();
  EXPECT_EQ(process.wait(), 130);
  EXPECT_EQ(process.err(), "fettle: interrupted\n");
}

TEST_F(Faults, FileSizeLimitStopsWritingCleanly) {
  const std::string model = tiny_model("m");
  expect_error(run("quantize " + model + " --out " + path("q"), "ulimit -f 50;"), 4, "model.safetensors");
  expect_error(run("quantize " + model + " --force --out " + model, "ulimit -f 50;"), 4, "model.safetensors");
  expect_error(run(tiny_training("--max-steps 2 --quiet --out " + path("n")), "ulimit -f 50;"), 4);
  EXPECT_EQ(run("inspect " + model).code, 0);
  std::filesystem::remove_all(path("n.checkpoints"));
  EXPECT_EQ(files(), std::vector<std::string>{"m"});
}

TEST_F(Faults, TextsOfAllKinds) {
  const std::string model = tiny_model("m");
  std::string text;
  for (int i = 0; i < 150000; ++i) text += "lamp on ";
  write_file(folder_ / "long.txt", text + "\n");
  write_file(folder_ / "word.txt", std::string(1 << 20, 'x') + "\n");
  write_file(folder_ / "nul.txt", std::string(1 << 20, '\0') + "\n");
  write_file(folder_ / "empty.txt", "\n");
  for (const char* name : {"long.txt", "word.txt", "nul.txt", "empty.txt"}) {
    const Outcome from_file = run("predict " + model + " --json --data " + path(name));
    const Outcome from_pipe = run("predict " + model + " --json < " + path(name));
    EXPECT_EQ(from_file.code, 0) << name << from_file.err;
    EXPECT_EQ(from_file.out, from_pipe.out) << name;
    EXPECT_TRUE(std::isfinite(from_file.json()["results"][0]["score"].get<double>())) << name;
  }
  write_file(folder_ / "latin.txt", "caf\xe9\n");
  expect_error(run("predict " + model + " --data " + path("latin.txt")), 3, "UTF-8");
  expect_error(run("predict " + model + " < " + path("latin.txt")), 3, "UTF-8");
  expect_error(run("predict " + model + " \"$(cat " + path("latin.txt") + ")\""), 3, "UTF-8");
  expect_error(run("tokenize " + model + " \"$(cat " + path("latin.txt") + ")\""), 3, "UTF-8");
  expect_error(run("predict " + model + " < /dev/null"), 3, "holds no text");
}

TEST_F(Faults, ControlCharactersDoNotReachTheTerminal) {
  const Outcome outcome = run("predict " + tiny_model("m") + " \"$(printf 'a\\nb\\033[31mc')\"");
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1) << outcome.out;
  EXPECT_NE(outcome.out.find("a\\x0ab\\x1b[31mc"), std::string::npos) << outcome.out;
}

TEST_F(Faults, DataWithoutLabelsIsRefusedBeforeTheRuns) {
  const std::string model = tiny_model("m");
  write_file(folder_ / "texts.txt", "lamp on\n");
  expect_error(run("bench " + model + " --runs 1000000000 --data " + path("texts.txt")), 3, "has no label");
  expect_error(run("eval " + model + " --metric oos-recall --data " + path("train.jsonl")), 3, "out-of-scope");
}

}  // namespace
}  // namespace fettle
