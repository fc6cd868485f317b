// Options from the command line, the environment and --config; standard output and standard error.
#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

class Options : public test::CliFixture {};

size_t n_top(const test::Outcome& outcome) {
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return outcome.json()["results"][0]["top"].size();
}

TEST_F(Options, CommandLineBeforeEnvironmentBeforeConfig) {
  const std::string predict = "predict " + tiny_model("m") + " song --json ";
  write_file(folder_ / "c.json", R"({"top": 1})");
  const std::string config = "--config " + path("c.json");
  EXPECT_EQ(n_top(run(predict)), 2u);
  EXPECT_EQ(n_top(run(predict + config)), 1u);
  EXPECT_EQ(n_top(run(predict, "FETTLE_CONFIG=" + path("c.json"))), 1u);
  EXPECT_EQ(n_top(run(predict + config, "FETTLE_TOP=2")), 2u);
  EXPECT_EQ(n_top(run(predict + config + " --top 1", "FETTLE_TOP=2")), 1u);
  EXPECT_EQ(n_top(run(predict + config + " --top=2")), 2u);
}

TEST_F(Options, ConfigHoldsFlagsListsAndUnderscores) {
  const std::string model = tiny_model("m");
  write_file(folder_ / "c.json", R"({"json": true, "quiet": false, "label_order": "sorted", "threads": 1})");
  EXPECT_EQ(n_top(run("predict " + model + " --config " + path("c.json") + " song")), 2u);
  write_json(folder_ / "vocabulary.json", Json{{"vocab_size", 60}, {"min-frequency", 1}, {"out", path("v")}});
  EXPECT_EQ(run("tokenizer train " + path("train.jsonl") + " --config " + path("vocabulary.json")).code, 0);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "v/vocab.txt"));
  write_json(folder_ / "mlm.json", Json{{"data", {path("train.jsonl"), path("train.jsonl")}}, {"objective", "mlm"}});
  const test::Outcome outcome =
      run("train --init " + tiny_config() + " --tokenizer " FETTLE_ENCODER " --max-steps 1 --quiet --out " +
          path("pre") + " --config " + path("mlm.json"));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
}

TEST_F(Options, BadConfigs) {
  const std::string predict = "predict " FETTLE_ENCODER " x --config " + path("c.json");
  expect_error(run(predict), 4);
  for (const auto& [text, code] : std::vector<std::pair<std::string, int>>{{R"({"frob": 1})", 2},
                                                                           {R"({"model": "m"})", 2},
                                                                           {R"({"top": "many"})", 2},
                                                                           {R"({"top": {"a": 1}})", 3},
                                                                           {R"({"top": null})", 3},
                                                                           {R"({"top": 1)", 3},
                                                                           {"[1]", 3}}) {
    write_file(folder_ / "c.json", text);
    SCOPED_TRACE(text);
    expect_error(run(predict), code);
  }
}

TEST_F(Options, UsageErrors) {
  expect_error(run(""), 2, "no verb");
  expect_error(run("frobnicate"), 2, "frobnicate: is no verb");
  expect_error(run("tokenizer frobnicate"), 2, "frobnicate: is no verb");
  expect_error(run("predict"), 2, "model is required");
  expect_error(run("predict m x --frob"), 2, "--frob");
  expect_error(run("train m --data x --out y --epochs minus"), 2, "--epochs");
  expect_error(run("cpu --isa z80"), 2, "z80");
  expect_error(run("cpu --seed -1"), 2, "--seed");
  expect_error(run("cpu", "FETTLE_THREADS=two"), 2, "--threads");
  expect_error(run("predict m x --data " + path("train.jsonl")), 2, "not both");
  const std::string train = "train " FETTLE_ENCODER " --data " + path("train.jsonl") + " --out " + path("m");
  expect_error(run(train + " --objective mlm --eval " + path("train.jsonl")), 2, "--eval");
  expect_error(run(train + " --fit-threshold"), 2, "--fit-threshold");
  expect_error(run(train + " --tokenizer " FETTLE_ENCODER), 2, "--tokenizer");
  const std::string quantize = "quantize " FETTLE_ENCODER " --out " + path("q");
  expect_error(run(quantize + " --bits 5"), 2, "--bits");
  expect_error(run(quantize + " --method bf16 --bits 4"), 2, "--bits");
  expect_error(run(quantize + " --bits 4 --group 40"), 2, "--group");
  const std::string profile = "profile " FETTLE_ENCODER " ";
  expect_error(run(profile + "--sequence 8 --text a"), 2, "one of --text");
  expect_error(run(profile + "--padded"), 2, "--fast-path");
  expect_error(run(profile + "--sequence 100000"), 2, "positions");
  expect_error(run(profile + "--by layer"), 2, "--by");
  EXPECT_EQ(files(), std::vector<std::string>{});
}

TEST_F(Options, HelpAndVersionGoToStandardOutput) {
  for (const char* verb :
       {"", "demo", "compress", "train", "distill", "prune", "quantize", "run-recipe", "bench", "compare", "eval",
        "predict", "inspect", "tokenize", "tokenizer", "tokenizer train", "cpu", "profile"}) {
    const test::Outcome outcome = run(std::string(verb) + " --help");
    EXPECT_EQ(outcome.code, 0) << verb;
    EXPECT_EQ(outcome.err, "") << verb;
    EXPECT_NE(outcome.out.find("Usage: "), std::string::npos) << verb;
  }
  EXPECT_EQ(run("--version").out.rfind("fettle ", 0), 0u);
}

TEST_F(Options, OutputsCannotBeWritten) {
  const std::string model = tiny_model("m");
  for (const std::string& verb : {"inspect " + model, "predict " + model + " x --json", std::string("--help")}) {
    expect_error(run(verb + " > /dev/full"), 4, "standard output");
  }
  expect_error(run("quantize " + model + " --out " + path("no/such/q")), 4);
  expect_error(run(tiny_training("--max-steps 1 --out " + path("no/such/m"))), 4);
  expect_error(run("quantize " + model + " --out " + path("train.jsonl") + " --force"), 2, "not a folder");
  expect_error(run("bench " + model + " --report " + path("train.jsonl")), 2, "exists already");
}

TEST_F(Options, SilentUnlessAskedAndNothingMixedIntoJson) {
  const std::string model = tiny_model("m");
  const test::Outcome loud = run("predict " + model + " x --json");
  EXPECT_EQ(loud.out.front(), '{');
  for (const char* verb : {"predict", "inspect", "bench", "profile"}) {
    const test::Outcome quiet =
        run(std::string(verb) + " " + model + (std::string(verb) == "predict" ? " x" : "") + " --quiet");
    EXPECT_EQ(quiet.err, "") << verb;
    EXPECT_EQ(quiet.out.find('\033'), std::string::npos) << verb;
  }
}

}  // namespace
}  // namespace fettle
