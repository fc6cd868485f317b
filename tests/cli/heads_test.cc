// Multi-label models, models of numbers, and pairs of texts, from training to prediction.
#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

class HeadsTest : public test::CliFixture {
 protected:
  void SetUp() override {
    CliFixture::SetUp();
    write_file(folder_ / "sets.jsonl",
               "{\"text\":\"light and music\",\"labels\":[\"music\",\"light\"]}\n"
               "{\"text\":\"light\",\"labels\":[\"light\"]}\n{\"text\":\"nothing\",\"labels\":[]}\n");
    write_file(folder_ / "sets.csv", "text,labels\nlight and music,light;music\nlight,light\nnothing,\n");
    write_file(folder_ / "numbers.csv", "text,label\nbad,-1.5\nfine,2\nbetter,4\n");
    write_file(folder_ / "pairs.csv", "text,second,label\na b,c d,yes\nc d,a b,no\n");
  }
  std::string train(const std::string& data, const std::string& more) const {
    return "train --init " + tiny_config() + " --tokenizer " FETTLE_ENCODER " --data " + path(data) + " --eval " +
           path(data) + " --batch-size 4 --learning-rate 3e-3 --threads 1 --quiet --json " + more;
  }
};

TEST_F(HeadsTest, SetsOfLabels) {
  const std::string out = path("model");
  test::Outcome outcome = run(train("sets.jsonl", "--problem-type multi-label --epochs 60 --out " + out));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.json().at("metric"), "micro_f1");
  EXPECT_TRUE(outcome.json().at("accuracy").is_null());
  EXPECT_EQ(outcome.json().at("micro_f1"), 1);
  EXPECT_EQ(read_json(out + "/config.json").at("problem_type"), "multi_label_classification");

  outcome = run("predict " + out + " 'light and music' nothing --json --quiet");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json results = outcome.json().at("results");
  ASSERT_EQ(results[0].at("labels").size(), 2u);
  EXPECT_GT(results[0].at("labels")[0].at("score"), 0.5);
  EXPECT_EQ(results[1].at("labels").size(), 0u);
  EXPECT_EQ(results[1].at("top").size(), 2u);
  EXPECT_LT(results[1].at("top")[0].at("score"), 0.5);
  EXPECT_NE(run("predict " + out + " nothing --quiet").out.find("(no label)"), std::string::npos);

  for (const char* data : {"sets.jsonl", "sets.csv --label-separator ';'"}) {
    outcome = run("eval " + out + " --data " + path(data) + " --json --quiet");
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.json().at("metric"), "micro-f1");
    EXPECT_EQ(outcome.json().at("value"), 1);
    EXPECT_EQ(outcome.json().at("n"), 3);
  }
  EXPECT_EQ(run("eval " + out + " --metric subset-accuracy --data " + path("sets.jsonl") + " --json --quiet")
                .json()
                .at("value"),
            1);
  expect_error(run("eval " + out + " --metric accuracy --quiet --data " + path("sets.jsonl")), 2, "micro-f1");
  expect_error(run("bench " + out + " --quiet --runs 1 --data " + path("sets.jsonl")), 3, "multi-label");
  EXPECT_EQ(run("bench " + out + " --quiet --runs 1 --warmup 0 --json").code, 0);
  expect_error(run("compress " + out + " --quiet --data " + path("train.jsonl") + " --eval " + path("train.jsonl") +
                   " --out " + path("small")),
               3, "multi-label");
  // It goes on as what it is.
  outcome = run("train " + out + " --data " + path("sets.jsonl") + " --max-steps 1 --quiet --json --out " + path("on"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.json().at("metric"), "micro_f1");
}

TEST_F(HeadsTest, Numbers) {
  const std::string out = path("model");
  test::Outcome outcome = run(train("numbers.csv", "--problem-type regression --epochs 150 --out " + out));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_GT(outcome.json().at("r2"), 0.5);
  // One output and nothing said means regression, as in transformers.
  EXPECT_EQ(read_json(out + "/config.json").value("problem_type", "regression"), "regression");
  const Json results = run("predict " + out + " better bad --json --quiet").json().at("results");
  EXPECT_GT(results[0].at("value"), results[1].at("value").get<double>());
  EXPECT_FALSE(results[0].contains("label"));
  for (const char* metric : {"r2", "mse", "pearson", "spearman"}) {
    outcome = run("eval " + out + " --data " + path("numbers.csv") + " --metric " + metric + " --json --quiet");
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.json().at("n"), 3);
  }
  expect_error(run(train("sets.csv", "--problem-type regression --label-column labels --out " + path("no"))), 3,
               "is not a number");
}

TEST_F(HeadsTest, PairsOfTexts) {
  const std::string out = path("model");
  test::Outcome outcome = run(train("pairs.csv", "--pair-column second --epochs 80 --out " + out));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.json().at("accuracy"), 1);
  const std::string eval = "eval " + out + " --json --quiet --data " + path("pairs.csv");
  EXPECT_EQ(run(eval + " --pair-column second").json().at("value"), 1);
  const Json results = run("predict " + out + " 'a b' 'c d' --pair 'c d' --pair 'a b' --json --quiet").json();
  EXPECT_EQ(results.at("results")[0].at("label"), "yes");
  EXPECT_EQ(results.at("results")[1].at("label"), "no");
  expect_error(run("predict " + out + " a b c --pair x --pair y --quiet"), 2, "--pair");
  expect_error(run(train("pairs.csv", "--pair-column third --out " + path("no"))), 3, "third");
}

}  // namespace
}  // namespace fettle
