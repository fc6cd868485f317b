// Every scheme of integers against the same numbers in f32, on every kernel table.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "base/thread_pool.h"
#include "kernels/dispatch.h"
#include "model/quantization_config.h"
#include "runtime/executor.h"
#include "runtime/kernel_report.h"
#include "runtime/kernels/pack.h"
#include "runtime/session.h"
#include "runtime/test_graphs.h"
#include "tensor/int_grid.h"

namespace fettle {
namespace {

std::vector<Encoding> all_schemes() {
  std::vector<Encoding> all;
  for (const int input_bits : {8, 16}) {
    Encoding encoding = Encoding::int8_channel();
    encoding.input_bits = input_bits;
    all.push_back(encoding);
    encoding.per_tensor = true;
    all.push_back(encoding);
    for (const int bits : {2, 3, 4, 6, 8}) {
      for (const int group : {0, 8, 32}) {
        for (const bool asymmetric : {false, true}) {
          all.push_back({.kind = EncodingKind::kIntGroup,
                         .bits = bits,
                         .group_size = group,
                         .asymmetric = asymmetric,
                         .input_bits = input_bits});
        }
      }
    }
  }
  return all;
}

std::string describe(const Encoding& encoding) {
  return fmt::format("{}, inputs of {} bits", encoding_name(encoding), encoding.input_bits);
}

enum class Which : uint8_t { kLinears, kTables };

// Linears of the layers, or all tables. Widths are such that the last groups of rows are short.
Model quantized(const Encoding& encoding, Which which, Architecture architecture = Architecture::kBert) {
  Model model = test::random_model(test::small_config(architecture, 5), 1);
  for (const std::string& name : model.parameters.names()) {
    const EncodedTensor& value = model.parameters.get(name);
    const bool is_layer = name.find("layer.") != std::string::npos || name.find("layers.") != std::string::npos;
    const bool is_meant = which == Which::kTables ? is_embedding(name) : is_layer;
    if (value.shape.size() == 2 && is_meant) model.parameters.set(name, encode(value.decode(), encoding));
  }
  return model;
}

Model decoded(const Model& model) {
  Model plain = model;
  for (const std::string& name : model.parameters.names()) {
    plain.parameters.set(name, EncodedTensor::dense(model.parameters.get(name).decode()));
  }
  return plain;
}

Tensor logits(Model model, SessionOptions options) {
  Session session(std::make_shared<const Model>(std::move(model)), options);
  return session.classify(test::random_batch({5, 1, 17, 30}, 97, 3)).clone();
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.size_bytes())) == 0;
}

class Schemes : public testing::TestWithParam<const KernelTable*> {
 protected:
  SessionOptions options(int n_threads = 1) const {
    return {.n_threads = n_threads, .isa = std::string(GetParam()->name)};
  }
};

TEST_P(Schemes, AnswerAsTheDecodedWeightsDo) {
  for (const Encoding& encoding : all_schemes()) {
    SCOPED_TRACE(describe(encoding));
    const Model model = quantized(encoding, Which::kLinears);
    const Tensor expected = logits(decoded(model), options());
    const Tensor actual = logits(model, options());
    float largest = 0;
    for (const float value : expected.floats()) largest = std::max(largest, std::fabs(value));
    for (int64_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(actual.data<float>()[i], expected.data<float>()[i], 0.08 * largest) << i;
    }
    // Two bits of a scale lose nothing in bf16.
    EXPECT_TRUE(encoding.input_bits == 16 || !same_bits(actual, expected)) << "inputs are not rounded";
  }
}

TEST_P(Schemes, SameBitsWithAnyNumberOfThreads) {
  for (const Encoding& encoding : all_schemes()) {
    SCOPED_TRACE(describe(encoding));
    const Model model = quantized(encoding, Which::kLinears);
    EXPECT_TRUE(same_bits(logits(model, options(1)), logits(model, options(3))));
  }
}

// A row is looked up in its packed bits, with the bits that the decoded table has.
TEST_P(Schemes, TablesAreTheDecodedOnes) {
  for (const Architecture architecture : {Architecture::kBert, Architecture::kRoberta, Architecture::kAlbert}) {
    for (const Encoding& encoding : all_schemes()) {
      SCOPED_TRACE(describe(encoding));
      const Model model = quantized(encoding, Which::kTables, architecture);
      const Tensor expected = logits(decoded(model), options());
      EXPECT_TRUE(same_bits(logits(model, options()), expected));
      SessionOptions slow = options(2);
      slow.fast_path = false;
      EXPECT_TRUE(same_bits(logits(model, slow), logits(decoded(model), slow)));
    }
  }
}

// Products of integers have the bits of the plain loops, however the weights are stored.
TEST_P(Schemes, LinearsHaveTheBitsOfTheirReference) {
  ThreadPool pool(2);
  Philox random(4);
  for (const int64_t n_columns : {40, 128, 200}) {
    Tensor values(DType::kF32, {37, n_columns});
    Tensor x(DType::kF32, {19, n_columns});
    for (Tensor* tensor : {&values, &x}) {
      for (int64_t i = 0; i < tensor->size(); ++i) tensor->mutable_data<float>()[i] = random.normal();
    }
    Tensor bias(DType::kF32, {37});
    for (const Encoding& encoding : all_schemes()) {
      SCOPED_TRACE(fmt::format("{}, {} columns", describe(encoding), n_columns));
      const EncodedTensor weight = with_row_scales(encode(values, encoding));
      if (multiplies_in_bf16(weight, {.pool = &pool, .table = GetParam()})) continue;
      Tensor results[2];
      const KernelTable* tables[2] = {GetParam(), &table_named("reference")};
      for (int i = 0; i < 2; ++i) {
        results[i] = Tensor(DType::kF32, {19, 37});
        const auto linear = pack_weights(weight, bias, {.pool = &pool, .table = tables[i]});
        linear->run(x.data<float>(), n_columns, 19, results[i].mutable_data<float>(), 37, Activation::kNone, nullptr,
                    pool);
      }
      EXPECT_TRUE(same_bits(results[0], results[1]));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, Schemes, testing::ValuesIn(supported_tables().begin(), supported_tables().end()),
                         [](const auto& table) { return std::string(table.param->name); });

TEST(SchemeReport, SaysWhatRunsOtherwiseThanItIsStored) {
  const auto report_of = [](const Encoding& encoding) {
    Session session(std::make_shared<const Model>(quantized(encoding, Which::kLinears)), {.n_threads = 1});
    for (const KernelReport& report : session.executor().kernels()) {
      if (report.op.starts_with("linear")) return report.kernel + ": " + report.reason;
    }
    return std::string("no linear");
  };
  using testing::HasSubstr;
  Encoding encoding = Encoding::int4_group(32, 8);
  EXPECT_THAT(report_of(encoding), testing::Not(HasSubstr("runs as")));
  encoding.bits = 3;
  EXPECT_THAT(report_of(encoding), testing::Not(HasSubstr("runs as")));
  encoding.asymmetric = true;
  EXPECT_THAT(report_of(encoding), HasSubstr("stored as int3-group32-zp, runs as int8"));
  encoding.input_bits = 16;
  EXPECT_THAT(report_of(encoding), HasSubstr("stored as int3-group32-zp, runs as bf16"));
  encoding = Encoding::int4_group(0, 8);
  encoding.bits = 8;
  EXPECT_THAT(report_of(encoding), HasSubstr("stored as int8-channel-packed, runs as bf16"));
}

TEST(SchemeErrors, ScalesThatAreNoneAreNamed) {
  const auto error_of = [](float scale, Which which) {
    Model model = quantized(Encoding::int4_group(8, 16), which);
    const std::string name = which == Which::kTables ? "bert.embeddings.position_embeddings.weight"
                                                     : "bert.encoder.layer.1.intermediate.dense.weight";
    EncodedTensor& value = model.parameters.get_mutable(name);
    value.scales = value.scales.to(DType::kF32).clone();
    value.scales.mutable_data<float>()[7] = scale;
    try {
      logits(std::move(model), {.n_threads = 1});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadInput);
      EXPECT_THAT(error.what(), testing::HasSubstr(name));
      return std::string(error.what());
    }
    return std::string("ran");
  };
  for (const Which which : {Which::kLinears, Which::kTables}) {
    EXPECT_THAT(error_of(NAN, which), testing::HasSubstr("scale 7 is not a finite number"));
    EXPECT_THAT(error_of(INFINITY, which), testing::HasSubstr("scale 7 is not a finite number"));
    EXPECT_THAT(error_of(-0.5f, which), testing::HasSubstr("scale 7 is negative"));
    EXPECT_EQ(error_of(0, which), "ran");
  }
}

}  // namespace
}  // namespace fettle
