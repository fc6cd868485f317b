// fettle cpu: its keys, and what it remembers.
#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

class Cpu : public test::CliFixture {};

TEST_F(Cpu, RemembersItsMeasurements) {
  const Json first = run("cpu --threads 2 --json").json();
  for (const char* key : {"isa", "active", "bandwidth_gb_s", "peak_int8_gops", "peak_bf16_gflops", "peak_f32_gflops"}) {
    EXPECT_TRUE(first.contains(key)) << key;
  }
  ASSERT_EQ(first["by_threads"].size(), 2u);
  EXPECT_EQ(first["by_threads"][0]["threads"], 1);
  EXPECT_EQ(first["by_threads"][1]["threads"], 2);
  EXPECT_EQ(first["by_threads"][1]["from_cache"], false);
  EXPECT_EQ(first["cache"], (folder_ / kCache / "fettle/machine.json").string());
  const Json second = run("cpu --threads 2 --json").json();
  EXPECT_EQ(second["by_threads"][1]["from_cache"], true);
  EXPECT_EQ(second["bandwidth_gb_s"], first["bandwidth_gb_s"]);
  EXPECT_EQ(run("cpu --threads 2 --measure --json").json()["by_threads"][1]["from_cache"], false);
  EXPECT_EQ(run("cpu --threads 1 --json").json()["by_threads"].size(), 1u);
  EXPECT_NE(run("cpu --threads 1").out.find("--measure"), std::string::npos);
}

TEST_F(Cpu, WithoutAPlaceOrWithAForeignFileItMeasures) {
  const test::Outcome homeless = run("cpu --threads 1 --json", "unset HOME; XDG_CACHE_HOME=relative");
  EXPECT_EQ(homeless.code, 0) << homeless.err;
  EXPECT_TRUE(homeless.json()["cache"].is_null());
  std::filesystem::create_directories(folder_ / kCache / "fettle");
  write_file(folder_ / kCache / "fettle/machine.json", "not ours");
  const test::Outcome again = run("cpu --threads 1 --json");
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(again.json()["by_threads"][0]["from_cache"], false);
  EXPECT_EQ(run("cpu --threads 1 --json").json()["by_threads"][0]["from_cache"], true);
}

TEST_F(Cpu, BenchAndCompareUseIt) {
  const std::string model = tiny_model("m");
  const Json json = run("bench " + model + " --runs 3 --threads 1 --json --quiet").json();
  EXPECT_GT(json["roofline_ratio"].get<double>(), 0);
  EXPECT_TRUE(std::filesystem::exists(folder_ / kCache / "fettle/machine.json"));
  const Json both = run("compare " + model + " " + model + " --runs 3 --threads 1 --json --quiet").json();
  for (const Json& one : both["models"]) EXPECT_GT(one["roofline_ratio"].get<double>(), 0);
}

}  // namespace
}  // namespace fettle
