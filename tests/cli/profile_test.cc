// fettle profile: the keys of its JSON, and that it runs on every kind of input.
#include <string>
#include <vector>

#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

class Profile : public test::CliFixture {};

TEST_F(Profile, JsonHasTheKeysAndAddsUp) {
  const std::string model = tiny_model("m");
  const test::Outcome outcome =
      run("profile " + model + " --text 'play some music' --runs 6 --fast-path both --threads 1 --json --quiet");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json json = outcome.json();
  double self_ms = 0;
  for (const Json& op : json["ops"]) {
    self_ms += op["self_ms"].get<double>();
    for (const char* key : {"name", "calls", "self_percent", "total_percent", "total_ms", "average_ms", "flops",
                            "bytes", "gflops_per_s", "gb_per_s", "roofline_share"}) {
      EXPECT_TRUE(op.contains(key)) << key;
    }
  }
  EXPECT_NEAR(self_ms, json["total_ms"].get<double>(), 1e-6);
  ASSERT_EQ(json["paths"].size(), 2u);
  EXPECT_EQ(json["paths"][0]["fast_path"], false);
  bool found = false;
  for (const Json& fusion : json["fast_path"]) {
    found = found || (fusion["fusion"] == "fuse_qkv" && fusion["used"] == true && fusion["reason"] == "");
  }
  EXPECT_TRUE(found);
  EXPECT_EQ(json["kernels"].size(), json["paths"][1]["nodes"].size());
}

TEST_F(Profile, RunsOnTextsDataAndMadeUpTokens) {
  const std::string model = tiny_model("m");
  const std::string runs = " --runs 2 --warmup 0 --quiet";
  for (const std::string& more : std::vector<std::string>{
           "", " --text a --text 'a b c' --batch 3 --fast-path off", " --data " + path("train.jsonl"),
           " --sequence 9 --batch 2 --by node",
           " --data " + path("train.jsonl") + " --batch 3 --padded --fast-path both --explain --precision bf16"}) {
    const test::Outcome outcome = run("profile " + model + runs + more);
    EXPECT_EQ(outcome.code, 0) << more << outcome.err;
    EXPECT_NE(outcome.out.find("answer"), std::string::npos) << more;
    EXPECT_EQ(outcome.err, "") << more;
  }
  // A model without a head or a tokenizer is profiled on made-up tokens.
  EXPECT_EQ(run("profile " FETTLE_ENCODER " --sequence 16" + runs).code, 0);
}

}  // namespace
}  // namespace fettle
