// Options of fettle train that its own layer's tests do not reach.
#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

class TrainTest : public test::CliFixture {};

TEST_F(TrainTest, ReportEventsAndMemory) {
  const std::string more = "--epochs 3 --quiet --json --eval " + path("train.jsonl") + " --report " + path("r.html") +
                           " --tensorboard " + path("events") +
                           " --gradient-checkpointing --ema 0.9 --layer-decay 0.9 --class-weights balanced --out ";
  const test::Outcome outcome = run(tiny_training(more + path("model")));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_GT(outcome.json().at("activation_mb"), 0);
  const std::string html = read_file(folder_ / "r.html");
  EXPECT_NE(html.find("Accuracy on validation data"), std::string::npos);
  EXPECT_NE(html.find("layer_decay 0.9"), std::string::npos);
  EXPECT_EQ(html.find("http://"), html.find("http://www.w3.org/2000/svg")) << "outside resources";
  EXPECT_FALSE(std::filesystem::is_empty(folder_ / "events"));
  const Json step = read_json(folder_ / "model" / "fettle.json").at("steps")[0];
  EXPECT_EQ(step.at("options").at("ema"), 0.9);
  EXPECT_EQ(step.at("options").at("class_weights"), "balanced");
  expect_error(run(tiny_training("--quiet --max-steps 1 --report " + path("r.html") + " --out " + path("b"))), 2,
               "exists already");
}

TEST_F(TrainTest, WeightsOfClasses) {
  const auto train = [&](const std::string& weights, const std::string& out) {
    return run(tiny_training("--quiet --max-steps 2 --class-weights " + weights + " --out " + path(out)));
  };
  EXPECT_EQ(train("light=2,music=0.5", "a").code, 0);
  write_file(folder_ / "weights.json", "{\"light\": 2, \"music\": 0.5}");
  EXPECT_EQ(train(path("weights.json"), "b").code, 0);
  EXPECT_EQ(read_file(folder_ / "a" / "model.safetensors"), read_file(folder_ / "b" / "model.safetensors"));
  for (const char* bad : {"light", "light=", "light=x", "light=-1", "light=nan", "=1", "dark=1"}) {
    expect_error(train(bad, "c"), 2, "");
  }
  write_file(folder_ / "bad.json", "{\"light\": \"2\"}");
  expect_error(train(path("bad.json"), "c"), 3, "light");
}

}  // namespace
}  // namespace fettle
