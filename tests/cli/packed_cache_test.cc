// --packed-cache: what stays in a model's folder, and what does not go along.
#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

class PackedCache : public test::CliFixture {
 protected:
  // Names in a model's folder that begin with "fettle-packed".
  std::vector<std::string> kept(const std::string& model) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(model)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("fettle-packed")) names.push_back(name);
    }
    return names;
  }
};

TEST_F(PackedCache, AnswersAreTheSameAndTheFileStays) {
  const std::string model = tiny_model("m");
  const test::Outcome plain = run("predict " + model + " 'lamp on' --json");
  EXPECT_TRUE(kept(model).empty());
  const test::Outcome first = run("predict " + model + " 'lamp on' --json --packed-cache --isa reference");
  EXPECT_NE(first.err.find("fettle-packed-reference.bin: "), std::string::npos) << first.err;
  EXPECT_EQ(kept(model), std::vector<std::string>{"fettle-packed-reference.bin"});
  const test::Outcome second = run("predict " + model + " 'lamp on' --json --packed-cache --isa reference");
  EXPECT_EQ(second.out, first.out);
  EXPECT_EQ(second.err, "");
  for (const char* verb : {"bench ", "eval --data ", "profile "}) {
    const bool is_eval = std::string(verb).starts_with("eval");
    const std::string more = is_eval ? path("train.jsonl") + " " : "";
    const std::string runs = is_eval ? "" : " --runs 2 --warmup 0";
    const test::Outcome outcome = run(verb + more + model + " --packed-cache --isa reference --quiet" + runs);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "") << verb;
  }
  EXPECT_EQ(run("predict " + model + " 'lamp on' --json", "FETTLE_PACKED_CACHE=1").out, plain.out);
  EXPECT_EQ(kept(model).size(), run("cpu --json").json()["active"] == "reference" ? 1u : 2u);
}

TEST_F(PackedCache, StaysBehindWhenAModelIsMadeFromAnother) {
  const std::string model = tiny_model("m");
  ASSERT_EQ(run("predict " + model + " x --quiet --packed-cache").code, 0);
  ASSERT_EQ(kept(model).size(), 1u);
  ASSERT_EQ(run("quantize " + model + " --quiet --out " + path("q")).code, 0);
  EXPECT_TRUE(kept(path("q")).empty());
  ASSERT_EQ(run("predict " + path("q") + " x --quiet --packed-cache").code, 0);
  ASSERT_EQ(run("quantize " + model + " --bits 4 --quiet --force --out " + path("q")).code, 0);
  EXPECT_TRUE(kept(path("q")).empty()) << "the folder is replaced as a whole";
  const std::string before = run("bench " + model + " --runs 2 --json").json()["size_mb"].dump();
  std::filesystem::remove(std::filesystem::path(model) / kept(model)[0]);
  EXPECT_EQ(run("bench " + model + " --runs 2 --json").json()["size_mb"].dump(), before)
      << "it is not the model's size";
}

}  // namespace
}  // namespace fettle
