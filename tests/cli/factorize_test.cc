// factorize and prune --method vocabulary, from the command line to the saved model.
#include <map>

#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

class FactorizeTest : public test::CliFixture {
 protected:
  // The verb's JSON, after `predict` has read what it wrote.
  Json change(const std::string& arguments, const std::string& out) const {
    const test::Outcome outcome = run(arguments + " --out " + path(out) + " --json --quiet --threads 1");
    EXPECT_EQ(outcome.code, 0) << arguments << ": " << outcome.err;
    if (outcome.code != 0) return Json::object();
    const test::Outcome predicted = run("predict " + path(out) + " 'lamp on please' --json --quiet");
    EXPECT_EQ(predicted.code, 0) << arguments << ": " << predicted.err;
    EXPECT_EQ(run("inspect " + path(out) + " --json").code, 0);
    return outcome.json();
  }
  std::string data() const { return " --data " + path("train.jsonl"); }
};

TEST_F(FactorizeTest, EveryMethodWritesASmallerModel) {
  const std::string model = tiny_model("model");
  const std::map<std::string, std::string> methods = {
      {"svd", "--method svd --rank 8"},
      {"weighted", "--method weighted-svd --target 50%" + data()},
      {"tucker", "--method tucker --rank 8 --parts feed-forward"},
      {"embedding", "--method embedding --rank 16" + data()},
  };
  for (const auto& [out, options] : methods) {
    const Json json = change("factorize " + model + " " + options, out);
    ASSERT_TRUE(json.contains("layers")) << out;
    EXPECT_LT(json["size_mb"].get<double>(), json["size_mb_before"].get<double>()) << out;
    EXPECT_GT(json["layers"].size(), 0u);
    for (const Json& layer : json["layers"]) {
      EXPECT_TRUE(layer.contains("name") && layer.contains("rank") && layer.contains("relative_error"));
    }
    const Json steps = read_json(path(out) + "/fettle.json")["steps"];
    EXPECT_EQ(steps.back()["verb"], "factorize");
  }
  EXPECT_EQ(read_json(path("svd") + "/config.json")["fettle_ranks"].size(), 6u);
  EXPECT_EQ(read_json(path("tucker") + "/config.json")["fettle_stacked"].size(), 2u);
}

TEST_F(FactorizeTest, TrainsBehindIt) {
  const Json json = change("factorize " + tiny_model("model") + " --method svd --rank 4" + data() + " --eval " +
                               path("train.jsonl") + " --max-steps 2 --batch-size 4 --distill",
                           "trained");
  EXPECT_EQ(json["steps"], 2);
  EXPECT_TRUE(json.contains("accuracy_before"));
  const Json steps = read_json(path("trained") + "/fettle.json")["steps"];
  EXPECT_EQ(steps.back()["verb"], "distill");
}

TEST_F(FactorizeTest, RefusesWhatItWouldIgnore) {
  const std::string model = tiny_model("model");
  const auto refused = [&](const std::string& options, const std::string& part) {
    expect_error(run("factorize " + model + " --out " + path("out") + " " + options), 2, part);
  };
  refused("--method svd", "--rank or --target");
  refused("--method svd --rank 4 --target 0.5", "--rank or --target");
  refused("--method svd --rank 30", "gains nothing");
  refused("--method svd --target 0.999", "--target");
  refused("--method svd --rank 4 --group 2", "--group");
  refused("--method svd --rank 4" + data(), "--epochs");
  refused("--method share --rank 4", "--rank");
  refused("--method share", "two layers");
  refused("--method share --group x", "--group");
  refused("--method weighted-svd --rank 4", "--data");
  refused("--method embedding --rank 32", "gains nothing");
  refused("--method svd --rank 4 --epochs 1", "--data");
  EXPECT_EQ(files(), (std::vector<std::string>{"model"}));
}

TEST_F(FactorizeTest, VocabularyKeepsTheAnswers) {
  const std::string model = tiny_model("model");
  write_file(folder_ / "other.jsonl", "{\"text\":\"an unbelievable lamp\",\"label\":\"light\"}\n");
  const Json json =
      change("prune " + model + " --method vocabulary" + data() + " --eval " + path("other.jsonl"), "pruned");
  EXPECT_LT(json["vocab_size"].get<int>(), json["vocab_size_before"].get<int>() / 4);
  EXPECT_EQ(json["vocabulary"]["words"], 3);
  EXPECT_GE(json["vocabulary"]["split"].get<int>() + json["vocabulary"]["unknown"].get<int>(), 1);
  const auto answer = [&](const std::string& of) {
    return run("predict " + of + " 'turn on the light' 'put on a song' --json --quiet --threads 1").json()["results"];
  };
  EXPECT_EQ(answer(path("pruned")), answer(model));
  const auto pieces = [&](const std::string& of) {
    return run("tokenize " + of + " 'play some music' --json").json()["results"][0]["tokens"];
  };
  EXPECT_EQ(pieces(path("pruned")), pieces(model));
  expect_error(run("prune " + model + " --method vocabulary --out " + path("x")), 2, "--data");
  expect_error(run("prune " + model + " --method vocabulary --keep-words 9 --out " + path("x") + data()), 2,
               "room for 9");
}

}  // namespace
}  // namespace fettle
