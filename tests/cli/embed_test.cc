// fettle embed as a user runs it: plain folders with each pooling, and sentence-transformers folders, against PyTorch.
#include <cmath>

#include "base/python_oracle.h"
#include "model/model.h"
#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

using test::Outcome;

const std::vector<std::string> kTexts = {"turn on the light", "put on a song, please!", "", "lamp"};

class EmbedTest : public test::CliFixture {
 protected:
  // Two layers of width 64 with random weights and the tokenizer of fettle's own encoder.
  static Model random_model(Architecture architecture) {
    const auto tokenizer = Tokenizer::load(FETTLE_ENCODER);
    ModelConfig config = make_encoder_config(2, 64, tokenizer->vocab_size());
    config.architecture = architecture;
    if (architecture == Architecture::kAlbert) config.embedding_size = 24;
    config.max_positions = 40;
    config.initializer_range = 0.3;
    return make_model(config, tokenizer, 7);
  }

  static std::string quoted_texts() {
    std::string out;
    for (const std::string& text : kTexts) out += " '" + text + "'";
    return out;
  }

  // What PyTorch gives for kTexts by the folder's pipeline; token ids are those that `fettle tokenize` prints.
  Json embeddings_of_torch(const std::string& folder) const {
    const Outcome tokenized = run("tokenize " + folder + quoted_texts() + " --json");
    EXPECT_EQ(tokenized.code, 0) << tokenized.err;
    Json ids = Json::array(), types = Json::array();
    const Json tokens = tokenized.json();
    for (const Json& result : tokens["results"]) {
      ids.push_back(result["ids"]);
      types.push_back(std::vector<int>(result["ids"].size(), 0));
    }
    write_json(folder + "/batch.json", {{"token_ids", ids}, {"type_ids", types}});
    const PythonResult result = run_oracle("bert_forward.py", "'" + folder + "'");
    EXPECT_EQ(result.status, 0) << result.output;
    return read_json(folder + "/embeddings.json");
  }

  static void expect_close(const Outcome& outcome, const Json& expected, double tolerance) {
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const Json results = outcome.json()["results"];
    ASSERT_EQ(results.size(), expected.size());
    for (size_t i = 0; i < results.size(); ++i) {
      const Json& row = results[i]["embedding"];
      ASSERT_EQ(row.size(), expected[i].size());
      for (size_t c = 0; c < row.size(); ++c) {
        ASSERT_NEAR(row[c].get<double>(), expected[i][c].get<double>(), tolerance) << kTexts[i] << ", number " << c;
      }
    }
  }
};

TEST_F(EmbedTest, EachPoolingGivesPyTorchsNumbers) {
  if (!python_has("torch")) GTEST_SKIP() << "python3-torch is not installed";
  for (const Architecture architecture : {Architecture::kBert, Architecture::kAlbert}) {
    Model model = random_model(architecture);
    const std::string plain = path("plain");
    save_model(model, plain, true);
    for (const std::string pooling : {"cls", "mean", "max", "mean_sqrt_len"}) {
      for (const std::string normalize : {"on", "off"}) {
        SCOPED_TRACE(pooling + ", normalize " + normalize);
        SentencePipeline pipeline{.pooling = {parse_pooling(pooling)}};
        if (normalize == "on") pipeline.steps.emplace_back();
        model.sentence = pipeline;
        save_model(model, path("sentence"), true);
        const Json expected = embeddings_of_torch(path("sentence"));
        expect_close(run("embed " + path("sentence") + quoted_texts() + " --json --quiet"), expected, 1e-5);
        const std::string flags = " --json --quiet --pooling " + pooling + " --normalize " + normalize;
        expect_close(run("embed " + plain + quoted_texts() + flags), expected, 1e-5);
        model.sentence.reset();
      }
    }
    // Without a word of the user or the folder: the mean, not normalized.
    model.sentence = SentencePipeline{};
    save_model(model, path("sentence"), true);
    const Json mean = embeddings_of_torch(path("sentence"));
    expect_close(run("embed " + plain + quoted_texts() + " --json --quiet"), mean, 1e-5);

    // Through int8, by the verbs themselves: close, the cosine near 1.
    ASSERT_EQ(run("quantize " + path("sentence") + " --quiet --out " + path("int8") + " --force").code, 0);
    const Outcome small = run("embed " + path("int8") + quoted_texts() + " --json --quiet --normalize on");
    ASSERT_EQ(small.code, 0) << small.err;
    for (size_t i = 0; i < kTexts.size(); ++i) {
      double product = 0, squares = 0;
      for (size_t c = 0; c < mean[i].size(); ++c) {
        product += small.json()["results"][i]["embedding"][c].get<double>() * mean[i][c].get<double>();
        squares += mean[i][c].get<double>() * mean[i][c].get<double>();
      }
      EXPECT_GT(product / std::sqrt(squares), 0.99) << kTexts[i];
    }
  }
}

TEST_F(EmbedTest, TextsComeFromArgumentsFilesAndStandardInput) {
  save_model(random_model(Architecture::kBert), path("m"), false);
  const Json expected = run("embed " + path("m") + " 'turn on the light' lamp --json --quiet").json();
  ASSERT_EQ(expected["results"].size(), 2u);
  write_file(folder_ / "texts.jsonl", "{\"text\":\"turn on the light\",\"label\":\"x\"}\n{\"text\":\"lamp\"}\n");
  EXPECT_EQ(run("embed " + path("m") + " --data " + path("texts.jsonl") + " --json --quiet").json(), expected);
  const Outcome piped = run("embed " + path("m") + " --json --quiet", "printf 'turn on the light\\nlamp\\n' |");
  EXPECT_EQ(piped.json(), expected);
  // One line a text without --json.
  const Outcome lines = run("embed " + path("m") + " 'turn on the light' lamp --quiet");
  EXPECT_EQ(std::count(lines.out.begin(), lines.out.end(), '\n'), 2);
  EXPECT_NEAR(std::stod(lines.out), expected["results"][0]["embedding"][0].get<double>(), 1e-6);
}

TEST_F(EmbedTest, RefusesInOneLine) {
  save_model(random_model(Architecture::kBert), path("m"), false);
  expect_error(run("embed " + path("nowhere") + " text"), 4);
  expect_error(run("embed " + path("m") + " text --pooling median"), 2, "--pooling");
  expect_error(run("embed " + path("m") + " text --data " + path("train.jsonl")), 2, "not both");
  expect_error(run("embed " + path("m") + " \"$(printf '\\377')\""), 3, "UTF-8");
  write_file(folder_ / "m/modules.json", "[]");
  expect_error(run("embed " + path("m") + " text"), 3, "modules");
}

}  // namespace
}  // namespace fettle
