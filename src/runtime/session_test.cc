#include "runtime/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "base/error.h"
#include "base/scratch_folder.h"
#include "kernels/dispatch.h"
#include "runtime/test_graphs.h"

namespace fettle {
namespace {

using testing::HasSubstr;

std::shared_ptr<const Model> shared(Model model) {
  return std::make_shared<const Model>(std::move(model));
}

Model small_model(Architecture architecture = Architecture::kBert) {
  return test::random_model(test::small_config(architecture, 5), 1);
}

// Every matrix but the classifier's.
Model quantized(Model model) {
  for (const std::string& name : model.parameters.names()) {
    const EncodedTensor& value = model.parameters.get(name);
    if (value.shape.size() != 2 || name.starts_with("classifier")) continue;
    model.parameters.set(name, encode(value.decode(), Encoding::int8_channel()));
  }
  return model;
}

std::vector<float> values(const Tensor& tensor) {
  return {tensor.floats().begin(), tensor.floats().end()};
}

void expect_near(const std::vector<float>& actual, const std::vector<float>& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], tolerance) << i;
}

std::string error_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

const std::vector<int64_t> kLengths = {5, 40, 1, 12, 33};

// Integers whose inputs are not quantized give what their values, rounded to bf16, give.
TEST(Session, Int8WeightsAloneLeaveTheInputsAlone) {
  Encoding weights_alone = Encoding::int8_channel();
  weights_alone.input_bits = 16;
  Model model = small_model();
  Model decoded = small_model();
  for (const std::string& name : model.parameters.names()) {
    const EncodedTensor& value = model.parameters.get(name);
    if (value.shape.size() != 2 || name.find("embeddings") != std::string::npos) continue;
    model.parameters.set(name, encode(value.decode(), weights_alone));
    decoded.parameters.set(name, EncodedTensor::dense(model.parameters.get(name).decode()));
  }
  const RaggedBatch batch = test::random_batch(kLengths, 97, 2);
  for (const KernelTable* table : supported_tables()) {
    const std::string isa(table->name);
    Session integers(shared(model), {.n_threads = 1, .isa = isa});
    Session rounded(shared(decoded), {.n_threads = 1, .isa = isa, .precision = Precision::kBF16});
    EXPECT_EQ(values(integers.classify(batch)), values(rounded.classify(batch))) << isa;
    for (const KernelReport& kernel : integers.executor().kernels()) {
      if (kernel.op.starts_with("linear")) {
        EXPECT_EQ(kernel.arithmetic, Arithmetic::kBF16) << kernel.node;
      }
    }
  }
}

TEST(Session, RaggedEqualsOneByOne) {
  for (const bool int8 : {false, true}) {
    const auto model = shared(int8 ? quantized(small_model()) : small_model());
    Session session(model, {.n_threads = 1});
    const RaggedBatch all = test::random_batch(kLengths, 97, 3);
    const std::vector<float> together = values(session.classify(all));
    std::vector<float> singly;
    for (size_t s = 0; s < kLengths.size(); ++s) {
      RaggedBatch one;
      const int32_t begin = all.offsets[s];
      one.append(all.token_ids.data() + begin, kLengths[s]);
      std::copy_n(all.type_ids.begin() + begin, kLengths[s], one.type_ids.begin());
      for (const float logit : values(session.classify(one))) singly.push_back(logit);
    }
    expect_near(together, singly, 2e-5);
  }
}

TEST(Session, PathsPrecisionsAndTablesAgree) {
  const RaggedBatch batch = test::random_batch(kLengths, 97, 3);
  for (const Architecture architecture : test::kArchitectures) {
    const auto model = shared(small_model(architecture));
    Session oracle(model, {.n_threads = 1, .fast_path = false, .reference = true});
    const std::vector<float> expected = values(oracle.classify(batch));
    for (const KernelTable* table : supported_tables()) {
      SCOPED_TRACE(std::string(table->name));
      for (const bool fast_path : {false, true}) {
        Session session(model, {.n_threads = 1, .fast_path = fast_path, .isa = std::string(table->name)});
        expect_near(values(session.classify(batch)), expected, 5e-5);
      }
      Session bf16(model, {.n_threads = 1, .isa = std::string(table->name), .precision = Precision::kBF16});
      expect_near(values(bf16.classify(batch)), expected, 0.15);
    }
  }
}

TEST(Session, Int8IsCloseToWhatItEncodes) {
  const RaggedBatch batch = test::random_batch(kLengths, 97, 3);
  const auto model = shared(quantized(small_model()));
  Session oracle(model, {.n_threads = 1, .reference = true});  // decodes the weights, keeps activations in f32
  const std::vector<float> expected = values(oracle.classify(batch));
  for (const KernelTable* table : supported_tables()) {
    SCOPED_TRACE(std::string(table->name));
    Session fast(model, {.n_threads = 1, .isa = std::string(table->name)});
    Session slow(model, {.n_threads = 1, .fast_path = false, .isa = std::string(table->name)});
    expect_near(values(fast.classify(batch)), expected, 0.15);
    expect_near(values(fast.classify(batch)), values(slow.classify(batch)), 2e-2);
  }
}

TEST(Session, HalfPrecisionWeightsAreReadAsTheyAre) {
  const RaggedBatch batch = test::random_batch(kLengths, 97, 3);
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    Model half = small_model();
    Model same = small_model();
    for (const std::string& name : half.parameters.names()) {
      const Tensor rounded = half.parameters.get(name).data.to(dtype);
      half.parameters.set(name, EncodedTensor::dense(rounded));
      same.parameters.set(name, EncodedTensor::dense(rounded.to(DType::kF32)));
    }
    Session session(shared(std::move(half)), {.n_threads = 1});
    // bf16 weights are multiplied as such; f16 ones are widened.
    const Precision precision = dtype == DType::kBF16 ? Precision::kBF16 : Precision::kF32;
    Session expected(shared(std::move(same)), {.n_threads = 1, .precision = precision});
    EXPECT_EQ(values(session.classify(batch)), values(expected.classify(batch)));
  }
}

TEST(Session, ThreadsDoNotChangeABit) {
  const RaggedBatch batch = test::random_batch({40, 3, 17, 40, 29, 8, 1, 40}, 97, 6);
  for (const bool int8 : {false, true}) {
    const auto model = shared(int8 ? quantized(small_model()) : small_model());
    Session one(model, {.n_threads = 1});
    Session three(model, {.n_threads = 3});
    EXPECT_EQ(values(one.classify(batch)), values(three.classify(batch)));
    EXPECT_EQ(values(one.hidden(batch)), values(three.hidden(batch)));
  }
}

TEST(Session, BatchesOfAnySizeFollowEachOther) {
  Session session(shared(small_model()), {.n_threads = 1});
  const auto single = [&] { return values(session.classify(test::random_batch({12}, 97, 9))); };
  const std::vector<float> first = single();
  int64_t arena_bytes = session.executor().arena_bytes();
  for (const int64_t n : {1, 40, 2, 7, 40}) {
    const RaggedBatch batch = test::random_batch(std::vector<int64_t>(static_cast<size_t>(n), 13), 97, 10);
    EXPECT_EQ(session.classify(batch).shape(), (Shape{n, 5}));
    EXPECT_GE(session.executor().arena_bytes(), arena_bytes);
    arena_bytes = session.executor().arena_bytes();
  }
  EXPECT_EQ(single(), first);
  EXPECT_EQ(session.classify(RaggedBatch()).shape(), (Shape{0, 5}));
}

TEST(Session, TextsAreCutIntoRunsThatChangeNothing) {
  std::vector<std::string> pieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  for (char c = 'a'; c <= 'z'; ++c) pieces.emplace_back(1, c);
  Model model = small_model();
  model.tokenizer = Tokenizer::from_vocab(pieces);
  Session session(shared(std::move(model)), {.n_threads = 1});
  std::vector<std::string> texts;
  Philox random(4);
  for (int i = 0; i < 700; ++i) {
    std::string text;
    for (uint64_t n = random.below(60); n > 0; --n)
      text += std::string(1, static_cast<char>('a' + random.below(26))) + " ";
    texts.push_back(text);
  }
  const std::vector<float> together = values(session.classify_texts(texts));
  ASSERT_EQ(together.size(), texts.size() * 5);
  for (const size_t i : {size_t{0}, size_t{350}, size_t{699}}) {
    const std::vector<float> alone = values(session.classify_texts(std::span(texts).subspan(i, 1)));
    expect_near({together.begin() + static_cast<long>(5 * i), together.begin() + static_cast<long>(5 * i + 5)}, alone,
                2e-5);
  }
  EXPECT_EQ(session.classify_texts({}).dim(0), 0);
}

TEST(Session, BadBatchesAreRefused) {
  Session session(shared(small_model()), {.n_threads = 1});
  const auto refusal = [&](const std::function<void(RaggedBatch&)>& change) {
    RaggedBatch batch = test::random_batch({3, 4}, 97, 1);
    change(batch);
    return error_of([&] { session.classify(batch); });
  };
  EXPECT_THAT(refusal([](RaggedBatch& batch) { batch.token_ids[2] = 97; }), HasSubstr("id 97 at row 2"));
  EXPECT_THAT(refusal([](RaggedBatch& batch) { batch.token_ids[2] = -1; }), HasSubstr("id -1"));
  EXPECT_THAT(refusal([](RaggedBatch& batch) { batch.position_ids[1] = 40; }), HasSubstr("position_embeddings"));
  EXPECT_THAT(refusal([](RaggedBatch& batch) { batch.offsets[1] = 9; }), HasSubstr("no tokens"));
  EXPECT_THAT(refusal([](RaggedBatch& batch) { batch.offsets[2] = 6; }), HasSubstr("offsets"));
  EXPECT_THAT(refusal([](RaggedBatch& batch) { batch.offsets[0] = 1; }), HasSubstr("offsets"));
  EXPECT_THAT(refusal([](RaggedBatch& batch) { batch.offsets = {0, 0, 7}; }), HasSubstr("sequence 0 has no tokens"));
  EXPECT_THAT(refusal([](RaggedBatch& batch) { batch.type_ids.pop_back(); }), HasSubstr("differ in number"));
  EXPECT_EQ(refusal([](RaggedBatch&) {}), "no error");
}

TEST(Session, WeightsThatAreNotFiniteAreNamed) {
  const auto refusal = [](const std::string& name, const std::function<void(EncodedTensor&)>& change) {
    Model model = small_model();
    EncodedTensor& value = model.parameters.get_mutable(name);
    change(value);
    return error_of([&] {
      Session session(shared(std::move(model)), {.n_threads = 1});
      session.classify(test::random_batch({3}, 97, 1));
    });
  };
  const auto put = [](float bad) { return [bad](EncodedTensor& value) { value.data.mutable_data<float>()[1] = bad; }; };
  const float infinity = std::numeric_limits<float>::infinity();
  for (const char* name : {"bert.encoder.layer.1.output.dense.weight", "bert.encoder.layer.0.output.LayerNorm.bias",
                           "bert.encoder.layer.0.attention.self.key.bias", "classifier.weight"}) {
    EXPECT_THAT(refusal(name, put(std::nanf(""))), testing::AllOf(HasSubstr(name), HasSubstr("not a finite number")));
    EXPECT_THAT(refusal(name, put(-infinity)), HasSubstr(name));
  }
  const auto spoil_scale = [&](EncodedTensor& value) {
    value = encode(value.decode(), Encoding::int8_channel());
    value.scales.mutable_data<float>()[3] = infinity;
  };
  EXPECT_THAT(refusal("bert.encoder.layer.1.output.dense.weight", spoil_scale), HasSubstr("scale 3"));
  const auto spoil_integer = [&](EncodedTensor& value) {
    value = encode(value.decode(), Encoding::int8_channel());
    value.data.mutable_data<int8_t>()[7] = -128;
  };
  EXPECT_THAT(refusal("bert.encoder.layer.1.output.dense.weight", spoil_integer), HasSubstr("-128"));
  // Rows of tables are read one by one; what they spoil is caught at the end.
  const auto spoil_all = [](EncodedTensor& value) {
    for (int64_t i = 0; i < value.data.size(); ++i) value.data.mutable_data<float>()[i] = std::nanf("");
  };
  EXPECT_THAT(refusal("bert.embeddings.word_embeddings.weight", spoil_all), HasSubstr("not a finite number"));
}

TEST(Session, SaysWhatIsMissing) {
  ModelConfig config = test::small_config(Architecture::kBert, 0);
  Session headless(shared(test::random_model(config, 1)), {.n_threads = 1});
  const RaggedBatch batch = test::random_batch({3}, 97, 1);
  EXPECT_THAT(error_of([&] { headless.classify(batch); }), HasSubstr("no classification head"));
  EXPECT_EQ(headless.hidden(batch).shape(), (Shape{3, 48}));
  Session session(shared(small_model()), {.n_threads = 1});
  const std::vector<std::string> texts = {"a"};
  EXPECT_THAT(error_of([&] { session.classify_texts(texts); }), HasSubstr("tokenizer"));
  EXPECT_THAT(error_of([] { Session(shared(small_model()), {.isa = "abacus"}); }), HasSubstr("abacus"));
}

TEST(Session, ReportsWhatPassesDid) {
  Session fast(shared(small_model()), {.n_threads = 1});
  int64_t rewrites = 0;
  for (const Session::PassReport& report : fast.passes()) rewrites += report.rewrites;
  EXPECT_GT(rewrites, 0);
  EXPECT_TRUE(Session(shared(small_model()), {.n_threads = 1, .fast_path = false}).passes().empty());

  fast.executor().set_profiling(true);
  fast.classify(test::random_batch({3, 4}, 97, 1));
  fast.classify(test::random_batch({3, 4}, 97, 1));
  double flops = 0;
  for (const NodeProfile& node : fast.executor().profile()) {
    EXPECT_EQ(node.calls, 2) << node.name;
    EXPECT_GT(node.bytes, 0) << node.name;
    flops += node.flops;
  }
  EXPECT_GT(flops, 2.0 * 2 * 7 * 48 * 80);
}

[[maybe_unused]] int64_t resident_bytes() {
  std::ifstream file("/proc/self/smaps_rollup");
  std::string word;
  while (file >> word) {
    if (word != "Rss:") continue;
    int64_t kilobytes = 0;
    file >> kilobytes;
    return kilobytes * 1024;
  }
  return -1;
}

TEST(Session, ResidentMemoryAfterLoadIsTheWeights) {
#ifdef FETTLE_SANITIZED
  GTEST_SKIP() << "sanitizers keep memory of their own";
#else
  if (resident_bytes() < 0) GTEST_SKIP() << "the system does not say";
  const ScratchFolder scratch;
  int64_t weights_bytes = 0;
  {
    ModelConfig config = make_encoder_config(4, 512, 2000);
    config.labels = {"a", "b"};
    Model model = make_model(config, nullptr, 1);
    weights_bytes = model.parameters.size_bytes();
    save_model(model, scratch / "model", false);
  }
  ASSERT_GT(weights_bytes, int64_t{50} << 20);
  const RaggedBatch batch = test::random_batch({12}, 2000, 3);
  best_table();
  const int64_t before = resident_bytes();
  Session session(shared(load_model(scratch / "model")), {.n_threads = 1});
  session.classify(batch);
  const double ratio = static_cast<double>(resident_bytes() - before) / static_cast<double>(weights_bytes);
  EXPECT_LE(ratio, 1.1);
  EXPECT_GT(ratio, 0.5) << "nothing was loaded";
#endif
}

}  // namespace
}  // namespace fettle
