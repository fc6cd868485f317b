// fettle.json: what a model was made from and how, once for each step; and what users keep beside their outputs.
#include "base/sha256.h"
#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

class Manifest : public test::CliFixture {
 protected:
  Json manifest(const std::string& model) const { return read_json(folder_ / model / "fettle.json"); }
  std::string weights_hash(const std::string& model) const {
    return sha256_file(folder_ / model / "model.safetensors");
  }

  static std::vector<std::string> verbs(const Json& manifest) {
    std::vector<std::string> names;
    for (const Json& step : manifest["steps"]) names.push_back(step["verb"]);
    return names;
  }
  static std::vector<std::string> parents(const Json& manifest) {
    std::vector<std::string> hashes;
    for (const Json& parent : manifest.value("parents", Json::array())) hashes.push_back(parent["sha256"]);
    return hashes;
  }
  std::string data_flags() const { return " --data " + path("train.jsonl") + " --eval " + path("train.jsonl"); }
};

using Names = std::vector<std::string>;

TEST_F(Manifest, EachStepIsRecordedOnceWithItsParents) {
  tiny_model("scratch");
  EXPECT_EQ(verbs(manifest("scratch")), Names{"train"});
  EXPECT_EQ(parents(manifest("scratch")), Names{});

  const std::string few = " --max-steps 2 --batch-size 4 --quiet";
  ASSERT_EQ(run("train " + path("scratch/") + data_flags() + few + " --out " + path("teacher/")).code, 0);
  EXPECT_EQ(verbs(manifest("teacher")), (Names{"train", "train"}));
  EXPECT_EQ(parents(manifest("teacher")), Names{weights_hash("scratch")});
  EXPECT_EQ(manifest("teacher")["parents"][0]["name"], "scratch");
  EXPECT_TRUE(manifest("teacher")["measurements"]["accuracy"].is_number());

  const std::string distill = "distill " + path("teacher") + " --student ";
  ASSERT_EQ(run(distill + "layers=0" + data_flags() + few + " --out " + path("student")).code, 0);
  EXPECT_EQ(verbs(manifest("student")), Names{"distill"});
  EXPECT_EQ(manifest("student")["steps"][0]["options"]["student"], "layers=0");
  EXPECT_EQ(parents(manifest("student")), Names{weights_hash("teacher")});
  ASSERT_EQ(run(distill + path("scratch") + data_flags() + few + " --out " + path("other")).code, 0);
  EXPECT_EQ(parents(manifest("other")), (Names{weights_hash("teacher"), weights_hash("scratch")}));

  ASSERT_EQ(run("quantize " + path("student") + " --quiet --out " + path("int8")).code, 0);
  EXPECT_EQ(verbs(manifest("int8")), (Names{"distill", "quantize"}));
  EXPECT_EQ(parents(manifest("int8")), (Names{weights_hash("teacher"), weights_hash("student")}));
}

TEST_F(Manifest, TheUsersOwnCheckpointFolderIsKept) {
  tiny_model("teacher");
  write_file(folder_ / "notes.txt", "mine");
  std::filesystem::create_directory(folder_ / "mine");
  std::filesystem::rename(folder_ / "notes.txt", folder_ / "mine/notes.txt");
  const test::Outcome outcome = run("distill " + path("teacher") + " --student layers=0" + data_flags() +
                                    " --max-steps 2 --quiet --out " + path("s") + " --checkpoints " + path("mine"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(std::filesystem::exists(folder_ / "mine/notes.txt"));
}

TEST_F(Manifest, CompressLeavesModelReportAndNothingElse) {
  ASSERT_EQ(run(tiny_training("--max-steps 30 --quiet --out " + path("teacher"))).code, 0);
  const std::string compress = "compress " + path("teacher") + data_flags() +
                               " --student hidden=16 --max-steps 3 --runs 3 --warmup 0 --quiet --json --out ";
  const test::Outcome outcome = run(compress + path("small/") + " --max-drop 100");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(files(), (Names{"small", "teacher"}));
  const Json json = outcome.json();
  EXPECT_EQ(json["candidates"].size(), 5u);
  EXPECT_TRUE(json["met"]);
  for (const Json& candidate : json["candidates"]) {
    for (const char* key : {"name", "recipe", "size_mb", "p50_ms", "accuracy", "latency_ratio", "remark"}) {
      EXPECT_TRUE(candidate.contains(key)) << key;
    }
  }
  const std::string report = read_file(folder_ / "small/report.html");
  EXPECT_NE(report.find("--max-drop 100"), std::string::npos) << "the command as typed";
  EXPECT_EQ(report.find("http://"), report.find("http://www.w3.org/2000/svg")) << "nothing from outside";
  EXPECT_EQ(run("inspect " + path("small")).code, 0);

  const test::Outcome none = run(compress + path("none") + " --max-mb 0.0001");
  EXPECT_EQ(none.code, 5);
  expect_error(none, 5, "nearest");
  EXPECT_FALSE(none.json()["met"]);
  EXPECT_TRUE(none.json()["best"].is_null());

  const test::Outcome hurried = run(compress + path("hurried") + " --max-drop 100 --budget 1e-9");
  ASSERT_EQ(hurried.code, 0) << hurried.err;
  EXPECT_EQ(hurried.json()["skipped"], Json::array({"hidden=16"}));
}

TEST_F(Manifest, FoldersOfOneNameAreToldApart) {
  const std::string model = tiny_model("m");
  std::filesystem::create_directory(folder_ / "other");
  std::filesystem::copy(folder_ / "m", folder_ / "other/m");
  const test::Outcome outcome =
      run("compare " + model + " " + path("other/m") + "/ --data " + path("train.jsonl") + " --runs 2 --json --quiet");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json pair = outcome.json()["pairs"][0];
  EXPECT_NE(pair["a"], pair["b"]);
  EXPECT_EQ(pair["mcnemar_p"], 1.0);
}

}  // namespace
}  // namespace fettle
