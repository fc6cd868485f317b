// Input rows that somebody else prepares for a product.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "kernels/dispatch.h"
#include "tensor/dtype.h"

namespace fettle {
namespace {

std::vector<float> normal(int64_t n, uint64_t stream) {
  Philox random(5, stream);
  std::vector<float> values;
  for (int64_t i = 0; i < n; ++i) values.push_back(random.normal());
  return values;
}

struct Case {
  int64_t rows, in, out;
};

// In f32, bf16 and int8.
std::vector<std::unique_ptr<PackedLinear>> linears(const KernelTable& table, const Case& c) {
  const std::vector<float> weight = normal(c.out * c.in, 1);
  const std::vector<float> bias = normal(c.out, 2);
  std::vector<uint16_t> bf16;
  std::vector<int8_t> int8;
  for (const float value : weight) {
    bf16.push_back(f32_to_bf16(value));
    int8.push_back(static_cast<int8_t>(std::lround(20 * value)));
  }
  const std::vector<float> scales(static_cast<size_t>(c.out), 0.05f);
  LinearWeights weights{.out_features = c.out, .in_features = c.in, .weight = weight.data(), .bias = bias.data()};
  std::vector<std::unique_ptr<PackedLinear>> all;
  all.push_back(table.pack_f32(weights));
  weights.weight = bf16.data();
  all.push_back(table.pack_bf16(weights));
  weights.weight = int8.data();
  weights.scales = scales.data();
  all.push_back(table.pack_int8(weights));
  return all;
}

TEST(PreparedRows, GiveTheBitsOfAProductThatPreparesThem) {
  ThreadPool one(1);
  ThreadPool two(2);
  PreparedRows prepared;  // kept from case to case, as in a run
  for (const Case& c : std::vector<Case>{{70, 96, 130}, {1, 7, 3}, {12, 64, 96}, {33, 131, 40}, {2000, 768, 5}}) {
    const int64_t ldx = c.in + 2;
    const std::vector<float> x = normal(c.rows * ldx, 3);
    for (const KernelTable* table : supported_tables()) {
      for (const auto& linear : linears(*table, c)) {
        if (!linear->prepares_rows()) continue;
        std::vector<float> expected(static_cast<size_t>(c.rows * c.out));
        linear->run(x.data(), ldx, c.rows, expected.data(), c.out, Activation::kGelu, nullptr, one);
        linear->begin_rows(c.rows, prepared);
        // In pieces that neither begin nor end with blocks, the last one first.
        for (int64_t end = c.rows; end > 0; end -= 5) {
          linear->prepare_rows(x.data(), ldx, std::max<int64_t>(end - 5, 0), end, prepared);
        }
        for (ThreadPool* pool : {&one, &two}) {
          std::vector<float> y(expected.size(), NAN);
          linear->run_prepared(prepared, {.rows = c.rows, .y = y.data(), .ldy = c.out, .activation = Activation::kGelu},
                               *pool);
          EXPECT_EQ(y, expected) << table->name << " " << c.rows << " rows";
        }
      }
    }
  }
}

TEST(PreparedRows, AreRefusedByKernelsThatPrepareThemselves) {
  const KernelTable& reference = table_named("reference");
  for (const auto& linear : linears(reference, {4, 8, 8})) {
    ASSERT_FALSE(linear->prepares_rows());
    PreparedRows prepared;
    ThreadPool pool(1);
    EXPECT_THROW(linear->begin_rows(4, prepared), Error);
    EXPECT_THROW(linear->run_rows({}, pool), Error);
  }
}

}  // namespace
}  // namespace fettle
