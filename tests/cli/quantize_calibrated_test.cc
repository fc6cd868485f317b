// `quantize` with data: static, smoothquant, gptq, adaround, as a user runs them.
#include "tests/cli/cli_fixture.h"

namespace fettle::test {
namespace {

class QuantizeCalibrated : public CliFixture {
 protected:
  void SetUp() override {
    CliFixture::SetUp();
    std::string texts;
    for (int i = 0; i < 10; ++i) {
      for (const char* text : {"turn on the light", "lamp on please", "play some music", "put on a song"}) {
        texts += std::string("{\"text\":\"") + text + " " + std::to_string(i) + "\"}\n";
      }
    }
    write_file(folder_ / "texts.jsonl", texts);
    model_ = tiny_model("model");
  }
  Outcome quantize(const std::string& method, const std::string& more = "", int threads = 1) const {
    return run("quantize " + model_ + " --force --out " + path("out") + " --json --quiet --threads " +
               std::to_string(threads) + " --method " + method + " --calibrate " + path("texts.jsonl") + " " + more);
  }
  std::string model_;
};

TEST_F(QuantizeCalibrated, StaticSaysWhatItMeasuredAndRuns) {
  const Outcome outcome = quantize("static", "--calibration-samples 40");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json json = outcome.json();
  const Json& calibration = json["calibration"];
  EXPECT_EQ(calibration["texts"], 40);
  EXPECT_EQ(calibration["resamples"], 4);
  EXPECT_TRUE(calibration["warnings"].empty());
  ASSERT_EQ(calibration["inputs"].size(), 4u + 2);
  EXPECT_EQ(calibration["inputs"][0]["modules"].size(), 3u);
  for (const Json& input : calibration["inputs"]) EXPECT_GT(input["input_scale"].get<double>(), 0);
  const Outcome predicted = run("predict " + path("out") + " 'lamp on' --json");
  ASSERT_EQ(predicted.code, 0) << predicted.err;
  const Outcome original = run("predict " + model_ + " 'lamp on' --json");
  EXPECT_NEAR(predicted.json()["results"][0]["score"].get<double>(),
              original.json()["results"][0]["score"].get<double>(), 0.02);
  const Json step = read_json(folder_ / "out" / "fettle.json")["steps"].back();
  EXPECT_EQ(step["options"]["method"], "static");
  EXPECT_EQ(step["options"]["observer"], "minmax");
}

TEST_F(QuantizeCalibrated, SameBytesAtAnyNumberOfThreads) {
  for (const char* method : {"static --equalize --bias-correction --observer entropy", "smoothquant --static-inputs",
                             "gptq --act-order", "adaround --rounding-steps 20"}) {
    ASSERT_EQ(quantize(method).code, 0) << method;
    const std::string one = read_file(folder_ / "out" / "model.safetensors");
    ASSERT_EQ(quantize(method, "", 3).code, 0) << method;
    EXPECT_EQ(read_file(folder_ / "out" / "model.safetensors"), one) << method;
  }
}

TEST_F(QuantizeCalibrated, RoundingSaysWhatItGains) {
  for (const char* method : {"gptq", "adaround --rounding-steps 50"}) {
    const Outcome outcome = quantize(method, "--bits 4 --group 32");
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const Json json = outcome.json();
    ASSERT_EQ(json["rounding"].size(), 6u + 2);
    for (const Json& layer : json["rounding"]) {
      EXPECT_LE(layer["output_error"].get<double>(), layer["nearest_output_error"].get<double>());
    }
    EXPECT_EQ(run("predict " + path("out") + " 'lamp on' --json").code, 0);
  }
}

TEST_F(QuantizeCalibrated, WarnsOfFewTexts) {
  const Outcome outcome = quantize("static", "--calibration-samples 3");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["calibration"]["warnings"].size(), 1u);
}

TEST_F(QuantizeCalibrated, RefusesWithOneLineAndWritesNothing) {
  const auto files_before = files();
  expect_error(run("quantize " + model_ + " --method static --out " + path("out")), 2, "--calibrate");
  expect_error(
      run("quantize " + model_ + " --method dynamic --calibrate " + path("texts.jsonl") + " --out " + path("out")), 2,
      "--calibrate");
  expect_error(quantize("gptq", "--observer mse"), 2, "--static-inputs");
  expect_error(quantize("static", "--percentile 99"), 2, "--observer percentile");
  expect_error(quantize("static", "--alpha-smooth 0.5"), 2, "--alpha-smooth");
  write_file(folder_ / "empty.jsonl", "");
  expect_error(quantize("static", "--calibrate " + path("empty.jsonl")), 2);
  expect_error(
      run("quantize " + model_ + " --method static --calibrate " + path("empty.jsonl") + " --out " + path("out")), 3,
      "empty.jsonl");
  std::filesystem::remove(folder_ / "empty.jsonl");
  EXPECT_EQ(files(), files_before);
}

}  // namespace
}  // namespace fettle::test
