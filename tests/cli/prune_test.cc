// fettle prune of whole parts, fettle run-recipe, and what inspect says of layers.
#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

class Prune : public test::CliFixture {
 protected:
  // Four layers of four heads and 64 neurons.
  std::string model(const std::string& name) const {
    Json config = read_json(tiny_config());
    config["num_hidden_layers"] = 4;
    config["num_attention_heads"] = 4;
    write_json(folder_ / "tiny.json", config);
    const test::Outcome outcome = run("train --init " + path("tiny.json") + " --tokenizer " FETTLE_ENCODER " --data " +
                                      data() + " --max-steps 3 --batch-size 4 --threads 1 --quiet --out " + path(name));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return path(name);
  }
  std::string data() const { return path("train.jsonl"); }
  Json prune(const std::string& model, const std::string& options, const std::string& out) const {
    const test::Outcome outcome =
        run("prune " + model + " " + options + " --threads 1 --quiet --json --out " + path(out));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    if (outcome.code != 0) return Json::object();
    for (const char* key : {"sparsity", "removed", "size_mb_before", "size_mb", "importance"}) {
      EXPECT_TRUE(outcome.json().contains(key)) << key;
    }
    EXPECT_LT(outcome.json()["size_mb"], outcome.json()["size_mb_before"]);
    // It can be read again and answers.
    EXPECT_EQ(run("predict " + path(out) + " 'put on a song' --json --quiet").code, 0);
    return outcome.json();
  }
};

TEST_F(Prune, EveryMethodGivesASmallerModelThatLoads) {
  const std::string m = model("m");
  EXPECT_EQ(prune(m, "--method layers --target 0.5 --which symmetric", "layers")["removed"], (Json{{"layers", 2}}));
  EXPECT_EQ(prune(m, "--method layers --target 25% --which contribution --rounds 1 --data " + data(),
                  "contribution")["importance"]
                .size(),
            4u);
  const Json heads = prune(m,
                           "--method heads --target 50% --data " + data() + " --eval " + data() +
                               " --importance-data " + data() + " --report " + path("heads.html"),
                           "heads");
  EXPECT_EQ(heads["removed"], (Json{{"heads", 8}}));
  EXPECT_EQ(heads["rank_correlation"]["heads"], 1.0);
  EXPECT_TRUE(heads.contains("accuracy_before"));
  EXPECT_NE(read_file(folder_ / "heads.html").find("<svg"), std::string::npos);
  EXPECT_EQ(prune(m, "--method neurons --target 0.5 --ranking per-layer --importance magnitude", "neurons")["removed"],
            (Json{{"neurons", 128}}));
  const Json joint = prune(m, "--method joint --target 0.4 --reconstruct --rounds 2 --data " + data(), "joint");
  EXPECT_EQ(joint["reconstruction"].size(), 8u);
  EXPECT_EQ(prune(m, "--method hidden --target 0.5 --data " + data(), "hidden")["removed"], (Json{{"hidden", 16}}));
}

TEST_F(Prune, RetrainsWithTheUnprunedModelAsTeacherAndSaysSo) {
  const std::string m = model("m");
  const Json json = prune(m, "--method neurons --target 0.5 --data " + data() + " --epochs 2 --distill", "small");
  EXPECT_EQ(json["steps"], 2);
  const Json steps = read_json(folder_ / "small/fettle.json")["steps"];
  ASSERT_EQ(steps.size(), 3u);  // the model's own training first
  EXPECT_EQ(steps[1]["verb"], "prune");
  EXPECT_EQ(steps[1]["options"]["target"], 0.5);
  EXPECT_EQ(steps[2]["verb"], "distill");
  // The two steps are a recipe that gives the same bytes.
  write_json(folder_ / "recipe.json", Json{{"steps", {steps[1], steps[2]}}, {"parents", Json::array()}});
  const test::Outcome replayed = run("run-recipe " + m + " --recipe " + path("recipe.json") + " --data " + data() +
                                     " --threads 1 --quiet --out " + path("again"));
  ASSERT_EQ(replayed.code, 0) << replayed.err;
  EXPECT_EQ(read_file(folder_ / "small/model.safetensors"), read_file(folder_ / "again/model.safetensors"));
}

TEST_F(Prune, DownToALatency) {
  const std::string m = model("m");
  // As slow as it likes: then nothing has to go, and nothing is smaller.
  const test::Outcome outcome = run("prune " + m + " --method joint --max-ms 1000 --query 'put on a song' --data " +
                                    data() + " --threads 1 --quiet --json --out " + path("same"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["removed"], Json::object());
  EXPECT_GT(outcome.json()["latency"]["ms"], 0.0);
}

TEST_F(Prune, RefusesWhatWouldBeIgnoredOrCannotBe) {
  const std::string m = model("m");
  const std::string prune = "prune " + m + " --out " + path("x") + " ";
  expect_error(run(prune + "--method layers"), 2, "--target");
  expect_error(run(prune + "--method layers --target 1.5"), 2, "share");
  expect_error(run(prune + "--method layers --target 0.01"), 2, "none");
  expect_error(run(prune + "--method layers --target 0.5 --reconstruct"), 2, "--reconstruct");
  expect_error(run(prune + "--method heads --target 0.5"), 2, "--data");
  expect_error(run(prune + "--method heads --target 0.5 --importance magnitude --distill"), 2, "--distill");
  expect_error(run(prune + "--method heads --target 0.5 --importance magnitude --epochs 1"), 2, "--data");
  expect_error(run(prune + "--method heads --target 0.5 --max-ms 3 --data " + data()), 2, "--max-ms");
  expect_error(run(prune + "--method joint --max-ms 0.000001 --data " + data() + " --quiet"), 5, "--max-ms");
  expect_error(run(prune + "--method nothing --target 0.5"), 2);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "x"));
}

TEST_F(Prune, RecipesAreReplayedToTheSameBytes) {
  const std::string m = model("m");
  write_json(folder_ / "recipe.json",
             Json{{"steps",
                   {{{"verb", "prune"}, {"options", {{"method", "heads"}, {"target", "50%"}, {"rounds", 2}}}},
                    {{"verb", "distill"},
                     {"from", "parent"},
                     {"options", {{"student", "{previous}"}, {"max_steps", 2}, {"alpha", 0.25}}}},
                    {{"verb", "prune"}, {"options", {{"method", "magnitude"}, {"target", "30%"}}}},
                    {{"verb", "quantize"}, {"options", {{"method", "dynamic"}, {"embeddings", true}}}}}}});
  const std::string recipe = "run-recipe " + m + " --recipe " + path("recipe.json") + " --data " + data() +
                             " --threads 1 --quiet --json --out ";
  const test::Outcome first = run(recipe + path("a"));
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.json()["steps"].size(), 4u);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "a.steps"));
  ASSERT_EQ(run(recipe + path("b") + " --keep-steps").code, 0);
  EXPECT_EQ(read_file(folder_ / "a/model.safetensors"), read_file(folder_ / "b/model.safetensors"));
  // From what the first attempt left.
  std::filesystem::remove_all(folder_ / "b");
  const auto before = std::filesystem::last_write_time(folder_ / "b.steps/step-2/model.safetensors");
  ASSERT_EQ(run(recipe + path("b") + " --keep-steps").code, 0);
  EXPECT_EQ(std::filesystem::last_write_time(folder_ / "b.steps/step-2/model.safetensors"), before);
  EXPECT_EQ(read_file(folder_ / "a/model.safetensors"), read_file(folder_ / "b/model.safetensors"));
  // The manifest without the first training is the same recipe.
  Json manifest = read_json(folder_ / "a/fettle.json");
  manifest["steps"].erase(0);
  write_json(folder_ / "manifest.json", manifest);
  const test::Outcome replayed = run("run-recipe " + m + " --recipe " + path("manifest.json") + " --data " + data() +
                                     " --threads 1 --quiet --out " + path("c"));
  ASSERT_EQ(replayed.code, 0) << replayed.err;
  EXPECT_EQ(read_file(folder_ / "a/model.safetensors"), read_file(folder_ / "c/model.safetensors"));
}

TEST_F(Prune, RecipesThatCannotBeRunSaySoFirst) {
  const std::string m = model("m");
  const auto refuses = [&](const Json& recipe, int code, const std::string& part) {
    write_json(folder_ / "recipe.json", recipe);
    expect_error(run("run-recipe " + m + " --recipe " + path("recipe.json") + " --out " + path("x")), code, part);
    EXPECT_FALSE(std::filesystem::exists(folder_ / "x"));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "x.steps"));
  };
  const Json good{{"verb", "quantize"}, {"options", Json::object()}};
  refuses(Json::object(), 3, "steps");
  refuses(Json{{"steps", Json::array()}}, 3, "steps");
  refuses(Json{{"steps", Json::array({Json{{"verb", "serve"}}})}}, 3, "serve");
  refuses(Json{{"steps", Json::array({good, Json{{"verb", "prune"}, {"options", {{"speed", 1}}}}})}}, 2, "speed");
  refuses(Json{{"steps", Json::array({Json{{"verb", "quantize"}, {"from", "nowhere"}}})}}, 3, "from");
}

TEST_F(Prune, InspectSaysWhatEachLayerTakes) {
  const std::string m = model("m");
  const test::Outcome outcome = run("inspect " + m + " --time --sequence 8 --json --quiet");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json json = outcome.json();
  ASSERT_EQ(json["by_layer"].size(), 4u);
  int64_t parameters = 0;
  for (const Json& layer : json["by_layer"]) {
    parameters += layer["feed_forward"]["parameters"].get<int64_t>();
    EXPECT_GT(layer["attention"]["ms"], 0.0);
  }
  EXPECT_EQ(json["parts"][2]["name"], "feed_forward");
  EXPECT_EQ(json["parts"][2]["parameters"], parameters);
  EXPECT_FALSE(run("inspect " + m + " --json").json()["parts"][0].contains("ms"));
}

}  // namespace
}  // namespace fettle
