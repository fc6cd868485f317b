// fettle prune of single weights as a user runs it: what is printed, recorded and refused.
#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

using test::Outcome;

class PruneWeightsCli : public test::CliFixture {
 protected:
  void SetUp() override {
    CliFixture::SetUp();
    tiny_model("model");
  }

  Outcome prune(const std::string& out, const std::string& more) const {
    return run("prune " + path("model") + " --json --quiet --threads 1 --out " + path(out) + " " + more);
  }
  std::string training() const {
    return " --data " + path("train.jsonl") + " --eval " + path("train.jsonl") +
           " --epochs 6 --batch-size 2 --learning-rate 1e-3";
  }
};

TEST_F(PruneWeightsCli, RemovesSmallWeightsAtOnce) {
  const Outcome outcome = prune("sparse", "--method magnitude --target 75%");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json json = outcome.json();
  EXPECT_NEAR(json["sparsity"].get<double>(), 0.75, 1e-3);
  EXPECT_EQ(json["layers"].size(), 6u);
  EXPECT_EQ(json["removed"]["weights"].get<int64_t>(), 3 * (4 * 32 * 32 + 2 * 32 * 64) / 4);
  EXPECT_GT(json["size_mb_before"].get<double>(), 0);
  EXPECT_GT(json["size_mb"].get<double>(), 0);
  const Json step = read_json(folder_ / "sparse/fettle.json")["steps"].back();
  EXPECT_EQ(step["verb"], "prune");
  EXPECT_EQ(step["options"]["method"], "magnitude");
  EXPECT_EQ(step["options"]["target"], 0.75);
  EXPECT_EQ(run("predict " + path("sparse") + " 'play a song' --quiet").code, 0);
}

TEST_F(PruneWeightsCli, HasPatterns) {
  const Outcome half = prune("half", "--method 2:4");
  ASSERT_EQ(half.code, 0) << half.err;
  EXPECT_EQ(half.json()["sparsity"], 0.5);
  const Outcome blocks = prune("blocks", "--method block --target 0.5 --global");
  ASSERT_EQ(blocks.code, 0) << blocks.err;
  EXPECT_EQ(blocks.json()["sparsity"], 0.5);
  const Outcome tiles = prune("tiles", "--method block --block 32x32 --target 0.5 --head --embeddings");
  ASSERT_EQ(tiles.code, 0) << tiles.err;
}

TEST_F(PruneWeightsCli, LearnsWhatToRemove) {
  for (const std::string method : {"movement", "soft-movement", "magnitude"}) {
    const Outcome outcome = prune(method, "--method " + method + " --target 0.5" + training());
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_NEAR(outcome.json()["sparsity"].get<double>(), 0.5, 2e-3);
    EXPECT_EQ(outcome.json()["epochs"].size(), 6u);
    EXPECT_TRUE(outcome.json()["accuracy"].is_number());
  }
  const Outcome distilled = prune("distilled", "--method movement --block 4x1 --target 0.5 --distill" + training());
  ASSERT_EQ(distilled.code, 0) << distilled.err;
  const Json options = read_json(folder_ / "distilled/fettle.json")["steps"].back()["options"];
  EXPECT_EQ(options["distill"], true);
  EXPECT_EQ(options["block"], "4x1");
  EXPECT_EQ(files(), (std::vector<std::string>{"distilled", "magnitude", "model", "movement", "soft-movement"}));
}

TEST_F(PruneWeightsCli, RefusesWhatMakesNoSense) {
  expect_error(prune("x", "--method movement --target 0.5"), 2, "needs --data and --epochs");
  expect_error(prune("x", "--method magnitude"), 2, "--target");
  expect_error(prune("x", "--method magnitude --target 0.5 --data " + path("train.jsonl")), 2, "need no data");
  expect_error(prune("x", "--method magnitude --target 0.5 --penalty 3"), 2, "--penalty");
  expect_error(prune("x", "--method 2:4 --target 0.9"), 2, "2:4");
  expect_error(prune("x", "--method magnitude --target 0.5 --prune-until 0.5"), 2, "--prune-until");
  expect_error(prune("x", "--method soft-movement --target 0.5 --threshold 0.2" + training()), 2, "--threshold");
  expect_error(prune("x", "--method l0 --global" + training()), 2, "--global");
  EXPECT_EQ(files(), std::vector<std::string>{"model"});
}

}  // namespace
}  // namespace fettle
