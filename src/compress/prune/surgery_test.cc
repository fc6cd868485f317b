#include "compress/prune/surgery.h"

#include <fettle/error.h>
#include <gtest/gtest.h>

#include "base/scratch_folder.h"
#include "compress/prune/select.h"
#include "compress/prune/test_encoders.h"
#include "compress/quantize/dynamic.h"
#include "runtime/session.h"
#include "tensor/sparse.h"

namespace fettle {
namespace {

using test::EncoderCase;

constexpr double kTolerance = 1e-5;

// Whole and cut model differ by rounding only, on every table, on the fast and the slow path, reloaded from disk too.
void expect_logits(const Model& model, const RaggedBatch& batch, const Tensor& wanted) {
  const ScratchFolder folder;
  save_model(model, folder.path() / "cut", false);
  const auto made = std::make_shared<const Model>(model);
  const auto read = std::make_shared<const Model>(load_model(folder.path() / "cut"));
  EXPECT_EQ(read->config.layers, model.config.layers);
  for (const KernelTable* table : supported_tables()) {
    SCOPED_TRACE(std::string(table->name));
    for (const bool fast : {false, true}) {
      for (const auto& each : {made, read}) {
        Session session(each, {.n_threads = 1, .fast_path = fast, .isa = std::string(table->name)});
        EXPECT_LT(test::largest_difference(session.classify(batch), wanted), kTolerance)
            << (fast ? "fast" : "slow") << (each == read ? ", reloaded" : "");
      }
    }
  }
}

bool stays(const std::vector<int64_t>& list, int64_t i) {
  return std::ranges::count(list, i) > 0;
}

// Different in every unit, alike in the layers of one.
KeptParts some_heads_and_neurons(const ModelConfig& config, bool heads, bool neurons) {
  KeptParts kept = everything(config);
  for (size_t i = 0; i < kept.in_layers.size(); ++i) {
    const int64_t unit = unit_of_layer(config, static_cast<int64_t>(i));
    if (heads) std::erase_if(kept.in_layers[i].heads, [&](int64_t h) { return (h + unit) % 3 == 0; });
    if (neurons) std::erase_if(kept.in_layers[i].neurons, [&](int64_t n) { return (n * n + unit) % 5 < 2; });
  }
  return kept;
}

class Surgery : public testing::TestWithParam<EncoderCase> {};

TEST_P(Surgery, OfHeadsIsMaskingThem) {
  const Model model = test::random_encoder(GetParam());
  const RaggedBatch batch = test::random_batch(model.config);
  const KeptParts kept = some_heads_and_neurons(model.config, true, false);
  const auto mask = [&](const GateInput& gate, int64_t head) {
    return stays(kept.in_layers[static_cast<size_t>(gate.layer)].heads, head) ? 1.0f : 0.0f;
  };
  const Tensor masked = test::gated_logits(model, PartKind::kHeads, batch, mask);
  const Tensor whole =
      test::gated_logits(model, PartKind::kHeads, batch, [](const GateInput&, int64_t) { return 1.0f; });
  EXPECT_GT(test::largest_difference(whole, masked), 0.01) << "the masks change nothing";
  expect_logits(cut(model, kept), batch, masked);
}

TEST_P(Surgery, OfNeuronsIsMaskingThem) {
  const Model model = test::random_encoder(GetParam());
  const RaggedBatch batch = test::random_batch(model.config);
  const KeptParts kept = some_heads_and_neurons(model.config, false, true);
  const auto mask = [&](const GateInput& gate, int64_t neuron) {
    return stays(kept.in_layers[static_cast<size_t>(gate.layer)].neurons, neuron) ? 1.0f : 0.0f;
  };
  expect_logits(cut(model, kept), batch, test::gated_logits(model, PartKind::kNeurons, batch, mask));
}

TEST_P(Surgery, OfLayersIsPassingThemBy) {
  const Model model = test::random_encoder(GetParam());
  const RaggedBatch batch = test::random_batch(model.config);
  KeptParts kept = everything(model.config);
  kept.layers = {0, 3};
  const auto mask = [&](const GateInput& gate, int64_t) { return stays(kept.layers, gate.layer) ? 1.0f : 0.0f; };
  expect_logits(cut(model, kept), batch, test::gated_logits(model, PartKind::kLayers, batch, mask));
}

TEST_P(Surgery, OfNothingChangesNothing) {
  const Model model = test::random_encoder(GetParam());
  const Model same = cut(model, everything(model.config));
  EXPECT_EQ(same.parameters.names(), model.parameters.names());
  EXPECT_EQ(test::weight_bytes(same), test::weight_bytes(model));
}

INSTANTIATE_TEST_SUITE_P(Families, Surgery, testing::ValuesIn(test::encoder_cases()), [](const auto& info) {
  std::string name = info.param.name;
  std::ranges::replace_if(
      name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

// Every hidden dimension twice, its double unread: norms see the same mean and variance, so the doubled model computes
// what the single one does, and cutting the doubles out must give the single one back.
Model doubled(const Model& model) {
  Model big = model;
  const int64_t n = model.config.hidden_size;
  big.config.hidden_size = 2 * n;
  for (const auto& [name, shape] : parameter_shapes(big.config, {.head = GraphOptions::Head::kClassifier})) {
    const Tensor small = model.parameters.get(name).decode();
    if (small.shape() == shape) continue;
    const bool is_table = name.find("embeddings.") != std::string::npos;
    Tensor wide(DType::kF32, shape);
    const int64_t columns = shape.size() == 2 ? shape[1] : 1;
    const int64_t small_columns = small.rank() == 2 ? small.dim(1) : 1;
    for (int64_t r = 0; r < shape[0]; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        const int64_t from_r = shape[0] == small.dim(0) ? r : r / 2;
        const bool reads = small_columns != columns && !is_table;
        const bool is_double = reads && c % 2 == 1;
        const int64_t from_c = small_columns == columns ? c : c / 2;
        const float value = small.data<float>()[from_r * small_columns + from_c];
        wide.mutable_data<float>()[r * columns + c] = is_double ? 0 : value;
      }
    }
    big.parameters.set(name, EncodedTensor::dense(std::move(wide)));
  }
  return big;
}

TEST(SurgeryOfHidden, LeavesTheDimensionsOutOfEverySum) {
  for (const EncoderCase& of : test::encoder_cases()) {
    if (of.architecture == Architecture::kAlbert) continue;
    SCOPED_TRACE(of.name);
    const Model single = test::random_encoder(of);
    const Model big = doubled(single);
    const RaggedBatch batch = test::random_batch(single.config);
    Session small_session(std::make_shared<const Model>(single), {.n_threads = 1, .reference = true});
    const Tensor wanted = small_session.classify(batch).clone();
    Session big_session(std::make_shared<const Model>(big), {.n_threads = 1, .reference = true});
    EXPECT_LT(test::largest_difference(big_session.classify(batch), wanted), kTolerance);
    KeptParts kept = everything(big.config);
    std::erase_if(kept.hidden, [](int64_t i) { return i % 2 == 1; });
    kept.pooled = kept.hidden;
    const Model back = cut(big, kept);
    EXPECT_EQ(test::weight_bytes(back), test::weight_bytes(single));
    expect_logits(back, batch, wanted);
  }
}

TEST(SurgeryOfHidden, OfAlbertKeepsItsNarrowTables) {
  const Model model = test::random_encoder({"albert", Architecture::kAlbert, 2, 1});
  KeptParts kept = everything(model.config);
  kept.hidden = {1, 2, 3, 5, 8, 13, 21, 34};
  kept.pooled = {0, 2, 4, 6, 8, 10, 12, 63};
  const Model narrow = cut(model, kept);
  EXPECT_EQ(narrow.config.embedding_size, 24);
  const ScratchFolder folder;
  save_model(narrow, folder.path() / "m", false);
  EXPECT_EQ(load_model(folder.path() / "m").config.hidden_size, 8);
}

TEST(SurgeryOfQuantized, KeepsTheStoredNumbers) {
  for (const int bits : {8, 4}) {
    SCOPED_TRACE(bits);
    Model model = test::random_encoder({"bert", Architecture::kBert});
    quantize_dynamic(model, {.embeddings = true, .bits = bits, .group_size = 32});
    KeptParts kept = some_heads_and_neurons(model.config, true, true);
    const Model small = cut(model, kept);
    const std::string value = "bert.encoder.layer.1.attention.self.value.weight";
    EXPECT_EQ(small.parameters.get(value).encoding, model.parameters.get(value).encoding);
    // Rows move as they are: a head is 16 of them.
    const Tensor rows = model.parameters.get(value).decode();
    const Tensor left = small.parameters.get(value).decode();
    const std::vector<int64_t>& heads = kept.in_layers[1].heads;
    for (size_t h = 0; h < heads.size(); ++h) {
      const auto to = static_cast<int64_t>(h);
      EXPECT_EQ(
          test::largest_difference(left.rows(16 * to, 16 * to + 16), rows.rows(16 * heads[h], 16 * heads[h] + 16)), 0);
    }
    const ScratchFolder folder;
    save_model(small, folder.path() / "m", false);
    const RaggedBatch batch = test::random_batch(model.config);
    Session made(std::make_shared<const Model>(small), {.n_threads = 1});
    Session read(std::make_shared<const Model>(load_model(folder.path() / "m")), {.n_threads = 1});
    EXPECT_EQ(test::largest_difference(made.classify(batch), read.classify(batch)), 0);
  }
}

// What is picked out of every kind of integers are the same values, but for columns that are cut out of groups.
TEST(SelectIntegers, KeepsValuesScalesAndZeroPoints) {
  Tensor values(DType::kF32, {24, 96});
  Philox random(6);
  for (int64_t i = 0; i < values.size(); ++i) values.mutable_data<float>()[i] = random.normal() + 0.5f;
  std::vector<Encoding> all = {Encoding::int8_channel(), Encoding::int8_channel()};
  all[1].per_tensor = true;
  all[1].static_input = true;
  for (const int bits : {2, 3, 4, 6, 8}) {
    for (const int group : {0, 32}) {
      for (const bool asymmetric : {false, true}) {
        Encoding encoding = Encoding::int4_group(group, 8);
        encoding.bits = bits;
        encoding.asymmetric = asymmetric;
        all.push_back(encoding);
      }
    }
  }
  const std::vector<int64_t> rows = {1, 2, 7, 23};
  const std::vector<int64_t> split = {0, 3, 4, 40, 95};
  std::vector<int64_t> groups;
  for (int64_t c = 0; c < 96; ++c) {
    if (c / 32 != 1) groups.push_back(c);
  }
  for (const Encoding& encoding : all) {
    SCOPED_TRACE(encoding_name(encoding));
    EncodedTensor stored = encode(values, encoding);
    stored.input_scale = encoding.static_input ? 0.5f : 0.0f;
    const EncodedTensor decoded = EncodedTensor::dense(stored.decode());
    EncodedTensor picked = select_rows(stored, rows);
    EXPECT_EQ(test::largest_difference(picked.decode(), select_rows(decoded, rows).decode()), 0);
    EXPECT_EQ(picked.input_scale, stored.input_scale);
    picked = select_columns(stored, groups);
    EXPECT_EQ(picked.encoding, encoding);
    EXPECT_EQ(test::largest_difference(picked.decode(), select_columns(decoded, groups).decode()), 0);
    picked = select_columns(stored, split);
    EXPECT_EQ(picked.input_scale, stored.input_scale);
    const double difference = test::largest_difference(picked.decode(), select_columns(decoded, split).decode());
    EXPECT_LE(difference, encoding.group_size > 0 ? 4.0 / (encoding.bits - 1) : 0.0);
  }
}

TEST(SurgeryOfSparse, KeepsTheNumbersAndWherePossibleThePattern) {
  Tensor values(DType::kF32, {64, 32});
  Philox random(5);
  for (int64_t r = 0; r < 64; ++r) {
    for (int64_t c = 0; c < 32; ++c) {
      if (c % 4 < 2) values.mutable_data<float>()[r * 32 + c] = random.normal();
    }
  }
  const std::vector<int64_t> quads = {0, 1, 2, 3, 8, 9, 10, 11};
  const std::vector<int64_t> split = {0, 1, 4, 5};  // four of four
  for (const Encoding& numbers : {Encoding::dense(DType::kF32), Encoding::int8_channel()}) {
    const EncodedTensor dense = encode(values, numbers);
    const EncodedTensor sparse = to_sparse(dense, SparsePattern::kTwoOfFour);
    for (const auto& indices : {quads, split}) {
      const EncodedTensor rows = select_rows(sparse, indices);
      EXPECT_EQ(rows.encoding.pattern, SparsePattern::kTwoOfFour);
      EXPECT_EQ(test::largest_difference(rows.decode(), select_rows(dense, indices).decode()), 0);
      const EncodedTensor columns = select_columns(sparse, indices);
      EXPECT_EQ(columns.encoding.pattern == SparsePattern::kTwoOfFour, indices == quads);
      EXPECT_EQ(test::largest_difference(columns.decode(), select_columns(dense, indices).decode()), 0);
    }
  }
}

TEST(SurgeryRefuses, WhatDoesNotFit) {
  const Model model = test::random_encoder({"albert", Architecture::kAlbert, 2, 1});
  const auto refuses = [&](const std::function<void(KeptParts&)>& change) {
    KeptParts kept = everything(model.config);
    change(kept);
    EXPECT_THROW(cut(model, kept), Error);
  };
  refuses([](KeptParts& k) { k.layers.clear(); });
  refuses([](KeptParts& k) { k.layers = {1, 0}; });
  refuses([](KeptParts& k) { k.layers = {0, 4}; });
  refuses([](KeptParts& k) { k.in_layers[0].heads.clear(); });
  refuses([](KeptParts& k) { k.in_layers[0].heads = {0, 1}; });  // the other layer of its group keeps all
  refuses([](KeptParts& k) { k.layers = {0, 2, 3}; });           // three layers of two groups are two and one
  refuses([](KeptParts& k) { k.in_layers[3].neurons = {96}; });
  refuses([](KeptParts& k) { k.in_layers.pop_back(); });
  refuses([](KeptParts& k) { k.pooled.pop_back(); });
}

}  // namespace
}  // namespace fettle
