// The program as a user runs it: exit codes, one-line errors, JSON, and outputs that are whole or absent.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/file.h"
#include "base/json.h"

namespace fettle {
namespace {

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

class CliTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "fettle-cli-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    write_file(
        folder_ / "train.jsonl",
        "{\"text\":\"turn on the light\",\"label\":\"light\"}\n{\"text\":\"lamp on please\",\"label\":\"light\"}\n"
        "{\"text\":\"play some music\",\"label\":\"music\"}\n{\"text\":\"put on a song\",\"label\":\"music\"}\n");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  Outcome run(const std::string& arguments) const {
    const std::string err_file = path("stderr.txt");
    const std::string command = std::string(FETTLE_PROGRAM) + " " + arguments + " 2> " + err_file;
    Outcome outcome;
    FILE* pipe = popen(command.c_str(), "r");
    std::array<char, 4096> buffer;
    for (size_t n = 0; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) outcome.out.append(buffer.data(), n);
    outcome.code = WEXITSTATUS(pclose(pipe));
    outcome.err = read_file(err_file);
    return outcome;
  }

  // An error is one line that begins with the program's name.
  static void expect_error(const Outcome& outcome, int code) {
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_EQ(outcome.err.rfind("fettle: ", 0), 0u) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }

  Outcome train(const std::string& more) const {
    return run("train " FETTLE_ENCODER " --data " + path("train.jsonl") +
               " --max-steps 40 --batch-size 4 --learning-rate 5e-4 --dropout 0 --quiet " + more);
  }

  std::filesystem::path folder_;
};

TEST_F(CliTest, UsageErrorsEndWith2) {
  expect_error(run("frobnicate"), 2);
  expect_error(run("predict"), 2);
  expect_error(run("train " FETTLE_ENCODER " --data x --out y --epochs minus"), 2);
  expect_error(run("cpu --isa z80"), 2);
}

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
  ASSERT_EQ(train("--out " + path("model")).code, 0);
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

  const Outcome before = run("inspect " + path("model") + " --json");
  const Outcome after = run("inspect " + path("int8") + " --json --tensors");
  ASSERT_EQ(before.code, 0) << before.err;
  ASSERT_EQ(after.code, 0) << after.err;
  EXPECT_LT(parse_json(after.out, "stdout")["size_mb"].get<double>(),
            0.3 * parse_json(before.out, "stdout")["size_mb"].get<double>());
}

TEST_F(CliTest, SameSeedSameBytesAtOneAndTwoThreads) {
  ASSERT_EQ(train("--threads 1 --out " + path("one")).code, 0);
  ASSERT_EQ(train("--threads 2 --out " + path("two")).code, 0);
  EXPECT_EQ(read_file(folder_ / "one/model.safetensors"), read_file(folder_ / "two/model.safetensors"));
}

TEST_F(CliTest, CompareWritesTableAndReport) {
  ASSERT_EQ(train("--out " + path("model")).code, 0);
  ASSERT_EQ(run("quantize " + path("model") + " --out " + path("int8") + " --quiet").code, 0);
  const Outcome compared = run("compare " + path("model") + " " + path("int8") + " --data " + path("train.jsonl") +
                               " --runs 5 --json --quiet --report " + path("report.html"));
  ASSERT_EQ(compared.code, 0) << compared.err;
  const Json json = parse_json(compared.out, "stdout");
  EXPECT_EQ(json["models"].size(), 2u);
  EXPECT_EQ(json["models"][0]["accuracy"], 1.0);
  EXPECT_EQ(json["pairs"][0]["mcnemar_p"], 1.0);
  EXPECT_NE(read_file(folder_ / "report.html").find("<svg"), std::string::npos);
}

TEST_F(CliTest, LabelsUnknownToTheModel) {
  ASSERT_EQ(train("--out " + path("model")).code, 0);
  write_file(folder_ / "other.jsonl", "{\"text\":\"hello\",\"label\":\"greeting\"}\n");
  expect_error(run("eval " + path("model") + " --data " + path("other.jsonl") + " --quiet"), 3);
}

}  // namespace
}  // namespace fettle
