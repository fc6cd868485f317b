// fettle quantize with training, mixed precision and the gate, as a user runs it.
#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

using test::Outcome;

class QuantizeTrainingCli : public test::CliFixture {
 protected:
  void SetUp() override {
    CliFixture::SetUp();
    const Outcome outcome = run(tiny_training("--epochs 60 --quiet --out " + path("model")));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }

  Outcome quantize(const std::string& out, const std::string& more) const {
    return run("quantize " + path("model") + " --json --quiet --threads 1 --out " + path(out) + " " + more);
  }
  std::string data() const { return path("train.jsonl"); }
  std::string training() const { return "--method qat --data " + data() + " --batch-size 2 --learning-rate 1e-3 "; }
};

TEST_F(QuantizeTrainingCli, TrainsWithRoundedWeights) {
  for (const std::string how : {"--bits 4", "--bits 2 --distill --alpha 0.3 --step-learning-rate 0.002"}) {
    const Outcome outcome = quantize("q", training() + "--epochs 4 --force --eval " + data() + " " + how);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const Json json = outcome.json();
    EXPECT_EQ(json["method"], "qat");
    EXPECT_EQ(json["epochs"].size(), 4u);
    EXPECT_EQ(json["layers"].size(), 8u);
    EXPECT_TRUE(json["accuracy_before"].is_number());
    EXPECT_TRUE(json["against_original"]["mcnemar_p"].is_number());
    EXPECT_TRUE(json["slower"].is_boolean());
    const Json step = read_json(folder_ / "q/fettle.json")["steps"].back();
    EXPECT_EQ(step["verb"], "quantize");
    EXPECT_EQ(step["options"]["method"], "qat");
    EXPECT_EQ(run("predict " + path("q") + " 'play a song' --quiet").code, 0);
    EXPECT_EQ(files(), (std::vector<std::string>{"model", "q"}));  // no checkpoints are left
  }
}

TEST_F(QuantizeTrainingCli, ResumesToTheSameBytes) {
  const std::string how = training() + "--bits 3 --epochs 400 --checkpoint-every 50";
  ASSERT_EQ(quantize("whole", how).code, 0);
  test::Process process(words("quantize " + path("model") + " --threads 1 --out " + path("part") + " " + how),
                        path("process.txt"));
  ASSERT_TRUE(process.wait_until([&] { return std::filesystem::exists(folder_ / "part.checkpoints"); }));
  process.interrupt();
  ASSERT_EQ(process.wait(), 130);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "part"));
  const Outcome resumed = quantize("part", how + " --resume");
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_TRUE(read_file(folder_ / "part/model.safetensors") == read_file(folder_ / "whole/model.safetensors"));
}

TEST_F(QuantizeTrainingCli, ChoosesBitsUnderABudget) {
  const std::string texts = "--method rtn --calibrate " + data() + " ";
  expect_error(quantize("unread", texts), 2, "--calibrate");
  const Outcome by_kl = quantize("by_kl", texts + "--max-kl 1e-3");
  ASSERT_EQ(by_kl.code, 0) << by_kl.err;
  EXPECT_LE(by_kl.json()["kl"].get<double>(), 1e-3);
  EXPECT_EQ(by_kl.json()["mixed"].size(), 8u);
  const double size_mb = by_kl.json()["size_mb"].get<double>();
  const Outcome by_size = quantize(
      "by_size", texts + "--max-mb " + std::to_string(0.5 * (size_mb + by_kl.json()["size_mb_before"].get<double>())));
  ASSERT_EQ(by_size.code, 0) << by_size.err;
  EXPECT_GT(by_size.json()["size_mb"].get<double>(), size_mb);
  EXPECT_EQ(run("predict " + path("by_size") + " 'play a song' --quiet").code, 0);
  expect_error(quantize("none", texts + "--max-mb 0.001"), 5, "--max-mb");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "none"));
}

TEST_F(QuantizeTrainingCli, SaysHowSensitiveWeightsAre) {
  const Outcome outcome = quantize("q", "--sensitivity --eval " + data());
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const Json& layer : outcome.json()["layers"]) EXPECT_GE(layer["kl"].get<double>(), 0) << layer["name"];
}

TEST_F(QuantizeTrainingCli, HoldsAccuracyOrWritesNothing) {
  const std::string gate = "--max-drop 0 --eval " + data() + " ";
  const Outcome held = quantize("held", "--method rtn --bits 2 " + gate);
  ASSERT_EQ(held.code, 0) << held.err;
  EXPECT_EQ(held.json()["accuracy"], held.json()["accuracy_before"]);
  EXPECT_TRUE(held.json()["fallbacks"].is_array());
  const std::string destroy = "--method qat --data " + data() + " --max-steps 3 --learning-rate 1 --schedule constant ";
  expect_error(quantize("lost", destroy + "--bits 2 --no-divergence-check " + gate), 5, "--max-drop");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "lost"));
}

TEST_F(QuantizeTrainingCli, RefusesWhatDoesNotGoTogether) {
  expect_error(quantize("q", "--method qat"), 2, "--data");
  expect_error(quantize("q", "--epochs 2"), 2, "--epochs");
  expect_error(quantize("q", "--method rtn --distill"), 2, "--distill");
  expect_error(quantize("q", training() + "--alpha 0.5"), 2, "--distill");
  expect_error(quantize("q", "--max-drop 1"), 2, "--eval");
  expect_error(quantize("q", "--max-mb 1"), 2, "--calibrate");
  expect_error(quantize("q", "--mixed-bits 8,4"), 2, "--max-mb");
  expect_error(quantize("q", "--mixed-bits 5 --max-mb 1 --calibrate " + data()), 2, "--mixed-bits");
  expect_error(quantize("q", "--sensitivity"), 2, "--calibrate");
  expect_error(quantize("q", "--method bf16 --max-mb 1 --calibrate " + data()), 2, "--m");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "q"));
}

}  // namespace
}  // namespace fettle
