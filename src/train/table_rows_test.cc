// Tables that are updated row by row, against updates of the whole.
#include "train/table_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "base/philox.h"
#include "kernels/dispatch.h"

namespace fettle {
namespace {

constexpr int64_t kRows = 40;
constexpr int64_t kWidth = 24;

ParameterSlot make_slot(uint64_t seed) {
  ParameterSlot slot;
  slot.weight = Tensor(DType::kF32, {kRows, kWidth});
  slot.m = Tensor(DType::kF32, {kRows, kWidth});
  slot.v = Tensor(DType::kF32, {kRows, kWidth});
  slot.decay = true;
  Philox random(seed);
  for (int64_t i = 0; i < slot.size(); ++i) slot.weight.mutable_data<float>()[i] = random.normal();
  return slot;
}

AdamwStep numbers_of(int64_t step) {
  AdamwStep numbers;
  numbers.lr = 0.01f / static_cast<float>(step + 1);
  numbers.weight_decay = 0.1f;
  numbers.grad_scale = 0.7f;
  numbers.bias1 = static_cast<float>(1 - std::pow(0.9, step + 1));
  numbers.bias2 = static_cast<float>(1 - std::pow(0.999, step + 1));
  return numbers;
}

bool same(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.size_bytes())) == 0;
}

// The reference works in double between the roundings that both have; it is compared too.
TEST(TableRows, GiveTheBytesOfADenseGradient) {
  for (const KernelTable* table : supported_tables()) {
    for (const int n_threads : {1, 2}) {
      SCOPED_TRACE(std::string(table->name));
      ThreadPool pool(n_threads);
      ParameterSlot dense = make_slot(1);
      ParameterSlot sparse = make_slot(1);
      TableRows rows(sparse, *table, pool);
      Philox random(2);
      for (int64_t step = 0; step < 30; ++step) {
        std::map<int32_t, std::vector<float>> gradient;
        for (int i = 0; i < 5; ++i) {
          std::vector<float>& row = gradient[static_cast<int32_t>(random.below(kRows / 2))];
          for (int64_t c = 0; c < kWidth; ++c) row.push_back(random.normal());
          row.resize(kWidth);
        }
        Tensor full(DType::kF32, {kRows, kWidth});
        std::vector<float> values;
        std::vector<int32_t> ids;
        for (const auto& [id, row] : gradient) {
          std::copy(row.begin(), row.end(), full.mutable_data<float>() + id * kWidth);
          values.insert(values.end(), row.begin(), row.end());
          ids.push_back(id);
        }
        // What the forward pass reads is what a dense table would hold.
        rows.catch_up(ids);
        for (const int32_t id : ids) {
          EXPECT_EQ(0, std::memcmp(sparse.weight.data<float>() + id * kWidth, dense.weight.data<float>() + id * kWidth,
                                   kWidth * sizeof(float)));
        }
        AdamwStep update = numbers_of(step);
        update.weight = dense.weight.mutable_data<float>();
        update.grad = full.data<float>();
        update.m = dense.m.mutable_data<float>();
        update.v = dense.v.mutable_data<float>();
        table->adamw(update, 0, dense.size());

        ids.push_back(-1);
        values.resize(values.size() + kWidth);
        rows.step(numbers_of(step), {.rows = values.data(), .row_ids = ids});
        if (step == 11) rows.catch_up_all();
      }
      rows.catch_up_all();
      EXPECT_TRUE(same(sparse.weight, dense.weight));
      EXPECT_TRUE(same(sparse.m, dense.m));
      EXPECT_TRUE(same(sparse.v, dense.v));
    }
  }
}

}  // namespace
}  // namespace fettle
