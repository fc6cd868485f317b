// Profiles add up, say what was done, and fit their lines; padding and limits are what they are said to be.
#include "evaluate/profile.h"

#include <gtest/gtest.h>

#include <numeric>
#include <sstream>

#include "base/error.h"
#include "evaluate/columns.h"
#include "evaluate/profile_report.h"
#include "kernels/dispatch.h"

namespace fettle {
namespace {

const Roofline kLimits{.bandwidth_gb_s = 10, .peak_f32_gflops = 100, .peak_bf16_gflops = 1000, .peak_int8_gops = 2000};

std::shared_ptr<const Model> toy_model(bool with_head = true) {
  const auto tokenizer = Tokenizer::from_vocab({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue"});
  ModelConfig config = make_encoder_config(2, 32, tokenizer->vocab_size());
  for (LayerConfig& layer : config.layers) layer = {.n_heads = 2, .head_dim = 16, .intermediate_size = 64};
  config.max_positions = 8;
  if (with_head) config.labels = {"a", "b"};
  return std::make_shared<const Model>(make_model(config, tokenizer, 1));
}

const std::vector<std::string> kTexts = {"red", "blue red red blue", ""};

ProfileOptions options_for(bool slow, bool fast) {
  return {.warmup = 1, .runs = 8, .session = {.n_threads = 1}, .slow_path = slow, .fast_path = fast, .limits = kLimits};
}

TEST(Profile, TimesOfAllRowsAddUpToTheTotal) {
  const auto model = toy_model();
  const ProfileInput input = profile_texts(*model, kTexts);
  EXPECT_EQ(input.batch.n_tokens(), 3 + 6 + 2);
  const std::vector<PathProfile> paths = profile_model(model, input, options_for(true, true));
  ASSERT_EQ(paths.size(), 2u);
  EXPECT_FALSE(paths[0].fast_path);
  EXPECT_TRUE(paths[1].fast_path);
  EXPECT_GT(paths[0].nodes.size(), paths[1].nodes.size());
  for (const PathProfile& path : paths) {
    EXPECT_EQ(path.n_runs, 4);
    EXPECT_EQ(path.n_tokens, 11);
    EXPECT_GT(path.tokenize_ms, 0);
    EXPECT_LT(path.nodes_ms(), path.run_ms);
    for (const ProfileGroup group : {ProfileGroup::kOp, ProfileGroup::kNode}) {
      const std::vector<ProfileRow> rows = profile_rows(path, group);
      double self_ms = 0;
      int64_t calls = 0;
      for (const ProfileRow& row : rows) {
        self_ms += row.self_ms;
        calls += row.calls;
        EXPECT_GE(row.self_ms, 0) << row.name;
      }
      EXPECT_NEAR(self_ms, path.total_ms(), 1e-9 * path.total_ms());
      EXPECT_EQ(calls, static_cast<int64_t>(path.nodes.size()) + 2);
      EXPECT_EQ(rows[0].name, "answer");
      EXPECT_EQ(rows[0].total_ms, path.total_ms());
    }
  }
  EXPECT_TRUE(paths[0].fusions.empty());
  EXPECT_FALSE(paths[1].fusions.empty());
}

TEST(Profile, WorkIsThatOfTheShapes) {
  const auto model = toy_model();
  const ProfileInput input = profile_random(*model, 2, 5, 1);
  const std::vector<PathProfile> paths = profile_model(model, input, options_for(true, false));
  EXPECT_EQ(paths[0].tokenize_ms, 0);
  for (const NodeTime& node : paths[0].nodes) {
    if (node.node != "bert.encoder.layer.0.intermediate.dense") continue;
    EXPECT_EQ(node.op, "linear");
    EXPECT_EQ(node.flops, 2.0 * 10 * 32 * 64);
    EXPECT_EQ(node.weight_bytes, 4.0 * (32 * 64 + 64));
    EXPECT_EQ(node.bytes, node.weight_bytes + 4.0 * 10 * (32 + 64));
    EXPECT_NEAR(node.least_ms, std::max(node.weight_bytes / 10, node.flops / 100) / 1e6, 1e-12);
    return;
  }
  FAIL() << "the node is not there";
}

TEST(Profile, TablesCountTheRowsThatAreReadAsStored) {
  Model small = *toy_model();
  const std::string table = "bert.embeddings.word_embeddings.weight";
  small.parameters.set(table, encode(small.parameters.get(table).decode(), Encoding::int8_channel()));
  const auto model = std::make_shared<const Model>(small);
  const ProfileInput input = profile_random(*model, 2, 5, 1);
  const auto paths = profile_model(model, input, options_for(true, true));
  for (const NodeTime& node : paths[0].nodes) {
    if (node.op != "gather_rows" || node.weight_bytes == 0) continue;
    const bool is_int8 = node.node == "bert.embeddings.word_embeddings";
    EXPECT_EQ(node.weight_bytes, is_int8 ? 10.0 * (32 + 4) : 10.0 * 32 * 4) << node.node;
    EXPECT_EQ(node.bytes, node.weight_bytes + 10 * 4 + 10 * 32 * 4) << node.node;
  }
  const NodeTime& fused = paths[1].nodes[0];
  ASSERT_EQ(fused.op, "embed_layer_norm");
  EXPECT_EQ(fused.weight_bytes, 10.0 * (32 + 4 + 2 * 32 * 4) + 2 * 32 * 4);
  EXPECT_EQ(fused.bytes, fused.weight_bytes + 3 * 10 * 4 + 10 * 32 * 4);
}

TEST(Profile, PaddingFillsSequencesUpAndIsNotAttendedTo) {
  const auto model = toy_model();
  const ProfileInput input = profile_texts(*model, kTexts);
  const RaggedBatch padded = padded_batch(input.batch, 0);
  EXPECT_EQ(padded.n_tokens(), 3 * 6);
  EXPECT_EQ(padded.offsets, (std::vector<int32_t>{0, 3, 6, 12, 14, 18}));
  Session session(model, {.n_threads = 1});
  const Tensor ragged = session.classify(input.batch).clone();
  const Tensor with_padding = session.classify(padded);
  const int64_t rows[] = {0, 2, 3};
  for (int64_t s = 0; s < 3; ++s) {
    for (int64_t c = 0; c < 2; ++c) {
      EXPECT_NEAR(with_padding.floats()[static_cast<size_t>(2 * rows[s] + c)],
                  ragged.floats()[static_cast<size_t>(2 * s + c)], 1e-5);
    }
  }
  ProfileOptions options = options_for(true, true);
  options.padded = true;
  const auto paths = profile_model(model, input, options);
  EXPECT_TRUE(paths[0].padded);
  EXPECT_EQ(paths[0].n_computed_tokens, 18);
  EXPECT_FALSE(paths[1].padded);
  EXPECT_EQ(paths[1].n_computed_tokens, 11);
}

TEST(Profile, TheLimitIsReadingOrArithmetic) {
  EXPECT_DOUBLE_EQ(least_time(1e6, 1e6, Arithmetic::kF32, kLimits).ms(), 0.1);
  EXPECT_DOUBLE_EQ(least_time(1e6, 1e9, Arithmetic::kF32, kLimits).ms(), 10);
  EXPECT_DOUBLE_EQ(least_time(1e6, 1e9, Arithmetic::kBF16, kLimits).ms(), 1);
  EXPECT_DOUBLE_EQ(least_time(1e6, 1e9, Arithmetic::kInt8, kLimits).ms(), 0.5);
  EXPECT_EQ(least_time(1e6, 1e9, Arithmetic::kInt8, {}).ms(), 0);
}

TEST(Profile, WhatCannotBeRunIsRefused) {
  const auto model = toy_model();
  EXPECT_THROW(profile_random(*model, 1, 9, 1), Error);
  EXPECT_THROW(profile_model(model, {}, options_for(true, true)), Error);
  ProfileOptions none = options_for(true, true);
  none.runs = 0;
  EXPECT_THROW(profile_model(model, profile_random(*model, 1, 2, 1), none), Error);
}

void expect_lines_within(const std::string& text, size_t columns) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(display_width(line), columns) << line;
}

TEST(ProfileReport, TablesFitTheirLines) {
  const auto model = toy_model();
  const auto paths = profile_model(model, profile_texts(*model, kTexts), options_for(true, true));
  for (const int columns : {80, 120}) {
    for (const ProfileGroup group : {ProfileGroup::kOp, ProfileGroup::kNode}) {
      const std::string table = format_profile(paths[1], group, kLimits, columns);
      expect_lines_within(table, static_cast<size_t>(columns));
      EXPECT_NE(table.find("tokenize"), std::string::npos);
      EXPECT_EQ(table.find("FLOPs") != std::string::npos, columns == 120);
    }
    const std::string both = format_comparison(paths[0], paths[1], columns);
    expect_lines_within(both, static_cast<size_t>(columns));
    EXPECT_NE(both.find("fast path is"), std::string::npos);
    expect_lines_within(explain(paths[1], columns), static_cast<size_t>(columns));
  }
}

TEST(ProfileReport, ExplainsFusionsAndKernels) {
  const auto model = toy_model();
  const auto paths = profile_model(model, profile_texts(*model, kTexts), options_for(true, true));
  const std::string slow = explain(paths[0], 120);
  EXPECT_NE(slow.find("none is tried on the slow path"), std::string::npos);
  const std::string fast = explain(paths[1], 120);
  // Every table but the reference packs panels, whose rows the norms prepare.
  if (supported_tables().size() > 1) {
    EXPECT_NE(fast.find("prepares (quantizes) the input rows"), std::string::npos) << fast;
  }
  for (const char* text :
       {"fuse_embeddings", "bert.embeddings.LayerNorm (3 tables)", "bert.encoder.layer.0–1.attention",
        "read_first_tokens_early", "down to the queries of an attention", "linear f32", "weights are f32"}) {
    EXPECT_NE(fast.find(text), std::string::npos) << text << "\n" << fast;
  }
  const auto hidden = toy_model(false);
  const auto embedded = profile_model(hidden, profile_random(*hidden, 1, 4, 1), options_for(false, true));
  EXPECT_NE(explain(embedded[0], 120).find("refused  the head reads every token"), std::string::npos)
      << explain(embedded[0], 120);
}

TEST(ProfileReport, JsonSaysTheSame) {
  const auto model = toy_model();
  const auto paths = profile_model(model, profile_texts(*model, kTexts), options_for(false, true));
  const Json json = profile_json(paths[0]);
  double self_ms = 0;
  for (const Json& op : json["ops"]) self_ms += op["self_ms"].get<double>();
  EXPECT_NEAR(self_ms, json["total_ms"].get<double>(), 1e-9);
  EXPECT_EQ(json["nodes"].size(), paths[0].nodes.size());
  EXPECT_EQ(fusions_json(paths[0]).size(), paths[0].fusions.size());
  EXPECT_EQ(kernels_json(paths[0]).size(), paths[0].nodes.size());
}

TEST(Columns, KeepTheEndsOfLongNames) {
  EXPECT_EQ(keep_end("größer", 6), "größer");
  EXPECT_EQ(keep_end("größer", 5), "…ößer");
  EXPECT_EQ(keep_end("größer", 4), "…ßer");
  const std::string text = format_columns({{"name", "n"}, {"a.rather.long.name", "12"}, {"b", "3"}}, 18);
  EXPECT_EQ(text,
            "name             n\n"
            "──────────────────\n"
            "…her.long.name  12\n"
            "b                3\n");
}

TEST(Columns, WrapAtBlanks) {
  EXPECT_EQ(wrap("one two three", 7, 2), "one two\n  three\n");
  EXPECT_EQ(wrap("unbreakable word", 5, 0), "unbreakable\nword\n");
  EXPECT_EQ(wrap("", 5, 0), "\n");
}

}  // namespace
}  // namespace fettle
