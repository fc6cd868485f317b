// fettle quantize's schemes as a user asks for them: what is stored, recorded and refused.
#include <set>

#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

using test::Outcome;

// 32 wide, inner layers of 64.
class QuantizeSchemesCli : public test::CliFixture {
 protected:
  void SetUp() override {
    CliFixture::SetUp();
    tiny_model("model");
  }
  Outcome quantize(const std::string& out, const std::string& more) const {
    return run("quantize " + path("model") + " --json --quiet --threads 1 --out " + path(out) + " " + more);
  }
};

// Encodings and bits of the inputs of the encoder's linears, the head's and the tables.
std::string encodings(const Json& json) {
  std::set<std::string> names[3];
  for (const Json& layer : json["layers"]) {
    const std::string name = layer["name"];
    const bool is_table = name.find("embeddings") != std::string::npos;
    const bool is_encoder = name.find("encoder.") != std::string::npos;
    names[is_encoder ? 0
          : is_table ? 2
                     : 1]
        .insert(layer["encoding"].get<std::string>() + "/" + std::to_string(layer["input_bits"].get<int>()));
  }
  std::string text;
  for (const auto& of_part : names) {
    for (const std::string& name : of_part) text += (text.empty() ? "" : " ") + name;
  }
  return text;
}

TEST_F(QuantizeSchemesCli, EveryFlagHasItsEncoding) {
  const std::pair<const char*, const char*> expected[] = {
      {"", "int8-channel/8 int8-channel/8"},
      {"--activations 16", "int8-channel/16 int8-channel/8"},
      {"--granularity tensor --embeddings", "int8-tensor/8 int8-channel/8 int8-channel/0"},
      {"--group 32", "int8-group32/8 int8-channel/8"},
      {"--asymmetric", "int8-channel-zp/8 int8-channel/8"},
      {"--bits 6", "int6-group32/8 int8-channel/8"},
      {"--bits 4 --embeddings=4 --head-bits 4", "int4-group32/8 int4-group32/8 int4-group32/0"},
      {"--bits 3 --group channel", "int3-channel/8 int8-channel/8"},
      {"--bits 4 --granularity channel --head-bits 32", "int4-channel/8"},
      {"--method rtn", "int4-group32/16 int8-channel/8"},
      {"--method rtn --bits 8", "int8-channel/16 int8-channel/8"},
      {"--method rtn --bits 2 --asymmetric --embeddings=6", "int2-group32-zp/16 int8-channel/8 int6-group32-zp/0"}};
  for (const auto& [flags, encoding] : expected) {
    SCOPED_TRACE(flags);
    const Outcome outcome = quantize("q", std::string(flags) + " --force");
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(encodings(outcome.json()), encoding);
    EXPECT_LT(outcome.json()["size_mb"].get<double>(), outcome.json()["size_mb_before"].get<double>());
    const Outcome answer = run("predict " + path("q") + " 'play a song' --json --quiet");
    EXPECT_EQ(answer.code, 0) << answer.err;
    for (const Json& layer : outcome.json()["layers"]) {
      EXPECT_GT(layer["bits_per_weight"].get<double>(), 2.0);
      EXPECT_GE(layer["outlier_ratio"].get<double>(), 0.0);
    }
  }
}

TEST_F(QuantizeSchemesCli, TheManifestSaysTheFlags) {
  ASSERT_EQ(quantize("q", "--bits 3 --group channel --asymmetric --embeddings=4").code, 0);
  const Json options = read_json(folder_ / "q/fettle.json")["steps"].back()["options"];
  EXPECT_EQ(options["bits"], 3);
  EXPECT_EQ(options["group"], "channel");
  EXPECT_EQ(options["asymmetric"], true);
  EXPECT_EQ(options["embeddings"], 4);
  EXPECT_EQ(options["activations"], 8);
}

TEST_F(QuantizeSchemesCli, WhatDoesNotGoTogetherIsRefused) {
  const std::pair<const char*, const char*> wrong[] = {
      {"--bits 5", "--bits"},
      {"--group 40", "--group"},
      {"--activations 4", "--activations"},
      {"--embeddings=5", "--embeddings"},
      {"--head-bits 5", "--head-bits"},
      {"--granularity tensor --bits 4", "tensor needs 8 bits"},
      {"--granularity tensor --asymmetric", "does not go with --asymmetric"},
      {"--granularity channel --group 32", "does not go with --group"},
      {"--method bf16 --asymmetric", "does not go with --method bf16"}};
  for (const auto& [flags, part] : wrong) {
    SCOPED_TRACE(flags);
    const Outcome outcome = quantize("q", flags);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
  }
  const Outcome outcome = quantize("q", "--bits 4 --group 128");
  EXPECT_EQ(outcome.code, 3);
  EXPECT_NE(outcome.err.find("dense.weight: groups of 128 do not divide its"), std::string::npos) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "q"));
}

TEST_F(QuantizeSchemesCli, OptionsFromFiles) {
  write_file(folder_ / "flags.json", R"({"bits": 4, "group": 32, "embeddings": true, "asymmetric": true})");
  const Outcome outcome = quantize("q", "--config " + path("flags.json"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(encodings(outcome.json()), "int4-group32-zp/8 int8-channel/8 int8-channel/0");
}

TEST_F(QuantizeSchemesCli, PageOfTheLayers) {
  const Outcome outcome = quantize("q", "--bits 4 --report " + path("report.html"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::string html = read_file(folder_ / "report.html");
  EXPECT_NE(html.find("<svg class=\"histogram\""), std::string::npos);
  EXPECT_NE(html.find("int4-group32"), std::string::npos);
}

}  // namespace
}  // namespace fettle
