// fettle distill as a user runs it: what is matched, the cache of the teacher's outputs, refusals.
#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

using test::Outcome;

class DistillCli : public test::CliFixture {
 protected:
  void SetUp() override {
    CliFixture::SetUp();
    ASSERT_EQ(run(tiny_training("--max-steps 10 --quiet --out " + path("teacher"))).code, 0);
  }

  Outcome distill(const std::string& out, const std::string& more, const std::string& before = "") const {
    return run("distill " + path("teacher") + " --student hidden=16 --data " + path("train.jsonl") + " --eval " +
                   path("train.jsonl") + " --max-steps 3 --batch-size 4 --threads 1 --json --out " + path(out) + " " +
                   more,
               before);
  }
  std::string weights(const std::string& model) const { return read_file(folder_ / model / "model.safetensors"); }
  int64_t n_cached(const std::string& folder) const {
    std::error_code error;
    int64_t n = 0;
    for (std::filesystem::directory_iterator it(folder_ / folder, error), end; !error && it != end; ++it) ++n;
    return n;
  }

  const std::string everything_ = "--match logits,hidden,attention,values,embeddings";
};

TEST_F(DistillCli, MatchesFeaturesAndRecordsThem) {
  const Outcome outcome = distill("student", everything_ + " --hidden-weight 0.5 --augment 2 --quiet");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["steps"], 3);
  EXPECT_TRUE(outcome.json()["teacher_accuracy"].is_number());
  const Json options = read_json(folder_ / "student/fettle.json")["steps"][0]["options"];
  EXPECT_EQ(options["match"], "logits,hidden,attention,values,embeddings");
  EXPECT_EQ(options["hidden_weight"], 0.5);
  EXPECT_EQ(options["augment"], 2);
  EXPECT_EQ(options["student"], "hidden=16");
  EXPECT_EQ(weights("student").find("projection"), std::string::npos);
  EXPECT_EQ(run("eval " + path("student") + " --data " + path("train.jsonl") + " --quiet").code, 0);
}

TEST_F(DistillCli, ReportsItsCourse) {
  ASSERT_EQ(distill("student", "--quiet --report " + path("r.html")).code, 0);
  EXPECT_NE(read_file(folder_ / "r.html").find("Accuracy on validation data"), std::string::npos);
  expect_error(distill("again", "--quiet --report " + path("r.html")), 2, "exists already");
}

TEST_F(DistillCli, CompressMatchesFeaturesToo) {
  const Outcome outcome =
      run("compress " + path("teacher") + " --data " + path("train.jsonl") + " --eval " + path("train.jsonl") +
          " --student hidden=16 --match logits,hidden --hidden-weight 2 --max-steps 3 --runs 3 --warmup 0"
          " --max-drop 100 --quiet --json --out " +
          path("small"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.json()["candidates"][3]["recipe"].get<std::string>().find("--match logits,hidden"),
            std::string::npos);
  EXPECT_GT(n_cached(std::string(kCache) + "/fettle/teachers"), 1);
}

TEST_F(DistillCli, TheCacheGivesTheSameBytes) {
  ASSERT_EQ(distill("one", everything_ + " --no-teacher-cache --quiet").code, 0);
  EXPECT_EQ(n_cached(std::string(kCache) + "/fettle/teachers"), 0);
  ASSERT_EQ(distill("two", everything_ + " --quiet").code, 0);
  // Logits, hidden state, embeddings, query, key, value.
  EXPECT_EQ(n_cached(std::string(kCache) + "/fettle/teachers"), 6);
  ASSERT_EQ(distill("three", everything_ + " --teacher-cache " + path("mine") + " --quiet").code, 0);
  EXPECT_EQ(n_cached("mine"), 6);
  for (const auto& file : std::filesystem::directory_iterator(folder_ / "mine")) {
    std::filesystem::resize_file(file.path(), 100);
  }
  const Outcome again = distill("four", everything_ + " --teacher-cache " + path("mine"));
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_NE(again.err.find("computed anew"), std::string::npos) << again.err;
  const Outcome live = distill("five", everything_ + " --teacher-cache-gib 0");
  ASSERT_EQ(live.code, 0) << live.err;
  EXPECT_EQ(weights("one"), weights("two"));
  EXPECT_EQ(weights("one"), weights("three"));
  EXPECT_EQ(weights("one"), weights("four"));
}

TEST_F(DistillCli, ResumesOnlyWhatWasBegunAlike) {
  const std::string kept = " --checkpoints " + path("kept") + " --quiet";
  ASSERT_EQ(distill("one", everything_ + kept).code, 0);
  ASSERT_EQ(distill("again", everything_ + kept + " --resume").code, 0);
  EXPECT_EQ(weights("one"), weights("again"));
  expect_error(distill("other", "--match logits,hidden --resume" + kept), 3, "another match");
}

TEST_F(DistillCli, SeveralTeachersAndUnlabelledTexts) {
  ASSERT_EQ(run(tiny_training("--max-steps 4 --seed 2 --quiet --out " + path("second"))).code, 0);
  write_file(folder_ / "more.txt", "play it again\nlight please\n\nplay it again\n");
  const Outcome outcome =
      run("distill " + path("teacher") + " " + path("second") + " --student layers=0 --data " + path("train.jsonl") +
          " --unlabelled " + path("more.txt") + " --match logits,hidden --layer-map 0:0 --max-steps 2 --json --quiet" +
          " --out " + path("s"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(read_json(folder_ / "s/fettle.json")["parents"].size(), 2u);
}

TEST_F(DistillCli, PretrainingWithATeacher) {
  write_file(folder_ / "texts.txt", "turn on the light\nlamp on please\n\nplay some music\nput on a song\n");
  const std::string pretrain = "train --init " + tiny_config() +
                               " --tokenizer " FETTLE_ENCODER " --objective mlm --data " + path("texts.txt") +
                               " --max-steps 2 --quiet --out ";
  ASSERT_EQ(run(pretrain + path("encoder")).code, 0);
  const std::string data = " --student hidden=16 --objective mlm --max-steps 2 --quiet --data " + path("texts.txt") +
                           " --data " + path("texts.txt") + " --out ";
  const Outcome outcome = run("distill " + path("encoder") + data + path("small") + " --json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["steps"], 2);
  EXPECT_EQ(
      run("train " + path("small") + " --data " + path("train.jsonl") + " --max-steps 1 --quiet --out " + path("tuned"))
          .code,
      0);
  expect_error(run("distill " + path("teacher") + data + path("x")), 3, "no masked-word head");
  expect_error(run("distill " + path("encoder") + data + path("x") + " --match hidden"), 2, "--match");
  expect_error(run("distill " + path("encoder") + data + path("x") + " --eval " + path("train.jsonl")), 2, "--eval");
}

TEST_F(DistillCli, RefusesWhatDoesNotFit) {
  expect_error(distill("s", "--match logits,heads --quiet"), 2, "does not know 'heads'");
  expect_error(distill("s", "--match hidden --layer-map 0:7 --quiet"), 2, "layer 7 does not exist");
  expect_error(distill("s", "--match values --relation-heads 5 --quiet"), 2, "do not divide");
  expect_error(distill("s", "--match hidden --allow-other-vocabulary --quiet"), 2, "vocabulary");
  expect_error(distill("s", "--teacher-cache x --no-teacher-cache --quiet"), 2, "contradicts");
  write_file(folder_ / "other.jsonl",
             "{\"text\":\"hello\",\"label\":\"greeting\"}\n{\"text\":\"lamp on\",\"label\":\"light\"}\n");
  const Outcome made = run("train --init " + tiny_config() + " --tokenizer " FETTLE_ENCODER " --data " +
                           path("other.jsonl") + " --max-steps 1 --quiet --out " + path("greeter"));
  ASSERT_EQ(made.code, 0) << made.err;
  expect_error(run("distill " + path("teacher") + " " + path("greeter") + " --student layers=0 --data " +
                   path("train.jsonl") + " --quiet --out " + path("s")),
               3, "1 only in the teacher ('greeting'), 1 only in the student ('music')");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "s"));
}

}  // namespace
}  // namespace fettle
