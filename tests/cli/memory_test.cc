// Resident memory after loading: at most 1.1 times the weights; no copy of the file is kept.
#include "model/model.h"
#include "tests/cli/cli_fixture.h"

namespace fettle {
namespace {

class Memory : public test::CliFixture {
 protected:
  // Of the whole program, two seconds into a benchmark.
  double resident_mb(const std::string& model) const {
    const test::Process process({FETTLE_PROGRAM, "bench", model, "--runs", "1000000000", "--threads", "1"},
                                path("process.txt"));
    EXPECT_TRUE(process.wait_for_line("benchmark ")) << process.err();
    return static_cast<double>(process.resident_kb()) / 1024;
  }
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // shadow memory is neither the program's nor the model's
#else
constexpr bool kSanitized = false;
#endif

TEST_F(Memory, AfterLoad) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's own memory counts too";
  ModelConfig config = parse_config(read_json(FETTLE_ENCODER "/config.json"), "encoder");
  config.hidden_size = 512;
  config.labels = {"a", "b"};
  for (LayerConfig& layer : config.layers) layer = {.n_heads = 8, .head_dim = 64, .intermediate_size = 2048};
  const auto tokenizer = Tokenizer::load(FETTLE_ENCODER);
  const double weights_mb =
      static_cast<double>(save_model(make_model(config, tokenizer, 1), folder_ / "m", false)) / (1024 * 1024);
  ASSERT_GT(weights_mb, 60);
  const double program_mb = resident_mb(tiny_model("tiny"));
  EXPECT_LT(program_mb, 32);
  EXPECT_LT(resident_mb(path("m")), program_mb + 1.1 * weights_mb);
  ASSERT_EQ(run("quantize " + path("m") + " --embeddings --quiet --out " + path("int8")).code, 0);
  EXPECT_LT(resident_mb(path("int8")), program_mb + 0.3 * weights_mb);
}

TEST_F(Memory, TooLittleIsSaidInOneLine) {
  if (kSanitized) GTEST_SKIP() << "sanitizers reserve more than the limit";
  const std::string model = tiny_model("m");
  // The least that the program can be loaded in: the loader itself says 127.
  test::Outcome outcome;
  for (int kb = 18000; kb < 40000 && (outcome.code == -1 || outcome.code == 127); kb += 1000) {
    outcome = run("predict " + model + " x", "ulimit -v " + std::to_string(kb) + ";");
  }
  // 4 where it is the file that cannot be mapped.
  expect_error(outcome, outcome.code == 4 ? 4 : 1);
}

}  // namespace
}  // namespace fettle
