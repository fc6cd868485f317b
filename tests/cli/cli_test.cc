// The program as a user runs it: exit codes, one-line errors, JSON, and outputs that are whole or absent.
#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

using test::Outcome;

class CliTest : public test::CliFixture {
 protected:
  Outcome train(const std::string& more) const {
    return run("train " FETTLE_ENCODER " --data " + path("train.jsonl") +
               " --batch-size 4 --learning-rate 5e-4 --dropout 0 --quiet " + more);
  }
};

TEST_F(CliTest, MissingAndMalformedFiles) {
  expect_error(run("predict " + path("nowhere") + " text"), 4);
  expect_error(run("train " FETTLE_ENCODER " --data " + path("nowhere.jsonl") + " --out " + path("m")), 4);
  write_file(folder_ / "bad.jsonl", "{\"text\": \"a\", \"label\": \"b\"}\n{\"text\": \n");
  expect_error(run("train " FETTLE_ENCODER " --data " + path("bad.jsonl") + " --out " + path("m")), 3);
  write_file(folder_ / "empty.jsonl", "");
  expect_error(run("train " FETTLE_ENCODER " --data " + path("empty.jsonl") + " --out " + path("m")), 3);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "m"));
}

TEST_F(CliTest, TruncatedWeightsAreBadInput) {
  std::filesystem::copy(FETTLE_ENCODER, folder_ / "cut");
  std::filesystem::resize_file(folder_ / "cut/model.safetensors", 100000);
  expect_error(run("inspect " + path("cut")), 3);
}

TEST_F(CliTest, TrainQuantizePredictAndInspect) {
  ASSERT_EQ(train("--threads 1 --max-steps 25 --out " + path("model")).code, 0);
  expect_error(train("--out " + path("model")), 2);

  const Outcome predicted = run("predict " + path("model") + " 'put on a song' '' --json --quiet");
  ASSERT_EQ(predicted.code, 0) << predicted.err;
  const Json results = parse_json(predicted.out, "stdout")["results"];
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0]["label"], "music");
  EXPECT_EQ(results[0]["in_scope"], true);

  ASSERT_EQ(run("quantize " + path("model") + " --embeddings --out " + path("int8") + " --quiet").code, 0);
  const Outcome small = run("predict " + path("int8") + " 'put on a song' --json --quiet");
  EXPECT_EQ(parse_json(small.out, "stdout")["results"][0]["label"], "music");

  for (const std::string method : {"dynamic --bits 4", "rtn --bits 4 --group 64"}) {
    const std::string out = path("int4 " + method.substr(0, 3));
    const Outcome made =
        run("quantize " + path("model") + " --embeddings --method " + method + " --out '" + out + "' --json --quiet");
    ASSERT_EQ(made.code, 0) << made.err;
    const Json report = made.json();
    EXPECT_LT(report["bits_per_weight"].get<double>(), 8.0);
    size_t n_int4 = 0;
    for (const Json& layer : report["layers"]) {
      if (!layer["encoding"].get<std::string>().starts_with("int4-group")) continue;
      EXPECT_GT(layer["cosine"].get<double>(), 0.98) << layer["name"];
      ++n_int4;
    }
    EXPECT_GT(n_int4, 0u);
    for (const std::string path_option : {"", " --isa reference"}) {
      const Outcome answer = run("predict '" + out + "' 'put on a song' --json --quiet" + path_option);
      ASSERT_EQ(answer.code, 0) << answer.err;
      EXPECT_EQ(answer.json()["results"][0]["label"], "music") << method;
    }
  }

  const Outcome before = run("inspect " + path("model") + " --json");
  const Outcome after = run("inspect " + path("int8") + " --json --tensors");
  ASSERT_EQ(before.code, 0) << before.err;
  ASSERT_EQ(after.code, 0) << after.err;
  EXPECT_LT(parse_json(after.out, "stdout")["size_mb"].get<double>(),
            0.3 * parse_json(before.out, "stdout")["size_mb"].get<double>());
}

TEST_F(CliTest, SameSeedSameBytesAtOneAndTwoThreads) {
  ASSERT_EQ(train("--threads 1 --max-steps 4 --out " + path("one")).code, 0);
  ASSERT_EQ(train("--threads 2 --max-steps 4 --out " + path("two")).code, 0);
  EXPECT_EQ(read_file(folder_ / "one/model.safetensors"), read_file(folder_ / "two/model.safetensors"));
}

TEST_F(CliTest, CompareWritesTableAndReport) {
  tiny_model("model");
  ASSERT_EQ(run("quantize " + path("model") + " --out " + path("int8") + " --quiet").code, 0);
  const Outcome compared = run("compare " + path("model") + " " + path("int8") + " --data " + path("train.jsonl") +
                               " --runs 5 --json --quiet --report " + path("report.html"));
  ASSERT_EQ(compared.code, 0) << compared.err;
  const Json json = parse_json(compared.out, "stdout");
  EXPECT_EQ(json["models"].size(), 2u);
  EXPECT_GE(json["models"][0]["accuracy"], 0.0);
  EXPECT_GT(json["pairs"][0]["mcnemar_p"], 0.0);
  EXPECT_GT(json["pairs"][0]["logit_cosine"], 0.9);
  EXPECT_LE(json["pairs"][0]["logit_cosine_worst"], json["pairs"][0]["logit_cosine"]);
  EXPECT_NE(read_file(folder_ / "report.html").find("<svg"), std::string::npos);
}

TEST_F(CliTest, BenchmarkOfAGivenLength) {
  const std::string model = tiny_model("m");
  const std::string bench = "bench " + model + " --runs 2 --warmup 0 --json --quiet --sequence ";
  EXPECT_EQ(run(bench + "64").code, 0);
  const Outcome outcome = run(bench + "8 --query 'lamp on' --batch 4");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const char* key :
       {"size_mb", "time_avg_ms", "time_std_ms", "p50_ms", "p90_ms", "p99_ms", "tokenize_us", "samples_per_s",
        "peak_memory_mb", "accuracy", "in_scope_accuracy", "oos_recall", "roofline_ratio"}) {
    EXPECT_TRUE(outcome.json().contains(key)) << key;
  }
  expect_error(run(bench + "100000"), 2, "positions");
  expect_error(run(bench + "8 --query ''"), 2, "--query");
}

TEST_F(CliTest, LabelsUnknownToTheModel) {
  tiny_model("model");
  write_file(folder_ / "other.jsonl", "{\"text\":\"hello\",\"label\":\"greeting\"}\n");
  expect_error(run("eval " + path("model") + " --data " + path("other.jsonl") + " --quiet"), 3);
}

}  // namespace
}  // namespace fettle
