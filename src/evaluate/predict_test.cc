// Predictions over a data set: order, pairs of texts, Ctrl-C; and the remarks on what did not help.
#include <gtest/gtest.h>

#include "base/cancel.h"
#include "base/error.h"
#include "evaluate/metrics.h"
#include "evaluate/remark.h"

namespace fettle {
namespace {

Session toy_session() {
  const auto tokenizer = Tokenizer::from_vocab({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "one"});
  ModelConfig config = make_encoder_config(1, 32, tokenizer->vocab_size());
  for (LayerConfig& layer : config.layers) layer = {.n_heads = 2, .head_dim = 16, .intermediate_size = 64};
  config.max_positions = 8;
  config.labels = {"a", "b", "c"};
  return Session(std::make_shared<const Model>(make_model(config, tokenizer, 1)), {.n_threads = 1});
}

Dataset texts(const std::vector<std::string>& list) {
  Dataset data;
  for (const std::string& text : list) data.examples.push_back({text, "", kUnlabelled});
  return data;
}

TEST(Predict, EachTextGetsTheAnswerThatItGetsAlone) {
  Session session = toy_session();
  const std::vector<std::string> list = {"red blue one one one one one one one", "", "one", "red blue", "blue"};
  const Predictions together = predict(session, texts(list), 2);
  for (size_t i = 0; i < list.size(); ++i) {
    const Predictions alone = predict(session, texts({list[i]}));
    EXPECT_EQ(together.labels[i], alone.labels[0]) << list[i];
    for (int64_t c = 0; c < together.n_labels; ++c) {
      EXPECT_NEAR(together.logits[i * 3 + static_cast<size_t>(c)], alone.logits[static_cast<size_t>(c)], 1e-5)
          << list[i];
    }
  }
}

TEST(Predict, CtrlCEndsIt) {
  Session session = toy_session();
  request_cancel();
  try {
    predict(session, texts({"red"}));
    ADD_FAILURE() << "went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInterrupted);
  }
  clear_cancel();
}

BenchmarkResult measured(const std::string& name, double p50_ms, double size_mb) {
  BenchmarkResult result;
  result.name = name;
  result.latency.p50_ms = p50_ms;
  result.size_mb = size_mb;
  return result;
}

TEST(Shortfall, SaysOnlyWhatDidNotHelp) {
  const BenchmarkResult from = measured("teacher", 1.0, 10);
  PairedTest same;
  EXPECT_EQ(shortfall(measured("x", 0.5, 3), from, same), "");
  EXPECT_EQ(shortfall(measured("x", 0.5, 10), from, same), "");
  EXPECT_EQ(shortfall(measured("x", 1.25, 10), from, same), "no faster than \"teacher\" (0.80×)");
  EXPECT_EQ(shortfall(measured("x", 0.99, 12), from, same),
            "no faster than \"teacher\" (1.01×); no smaller than \"teacher\"");
  PairedTest worse;
  worse.accuracy_difference = -0.034;
  worse.mcnemar_p = 0.2;
  EXPECT_EQ(shortfall(measured("x", 0.5, 3), from, worse), "");
  worse.mcnemar_p = 0.004;
  EXPECT_EQ(shortfall(measured("x", 0.5, 3), from, worse), "3.4 points less accurate than the baseline (p = 0.004)");
  worse.accuracy_difference = 0.034;
  EXPECT_EQ(shortfall(measured("x", 0.5, 3), from, worse), "");
}

}  // namespace
}  // namespace fettle
