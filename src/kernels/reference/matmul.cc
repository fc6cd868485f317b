#include <cstdint>

#include "kernels/reference/kernels.h"
#include "tensor/dtype.h"

namespace fettle::reference {
namespace {

constexpr int64_t kRowsPerTask = 4;

float as_is(float value) {
  return value;
}
float rounded_to_bf16(float value) {
  return bf16_to_f32(f32_to_bf16(value));
}

template <float (*round)(float)>
void matmul(const Matmul& p, ThreadPool& pool) {
  const int64_t a_row = p.transpose_a ? 1 : p.lda;
  const int64_t a_column = p.transpose_a ? p.lda : 1;
  const int64_t b_row = p.transpose_b ? 1 : p.ldb;
  const int64_t b_column = p.transpose_b ? p.ldb : 1;
  pool.parallel_ranges(p.m, kRowsPerTask, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = 0; j < p.n; ++j) {
        double sum = p.bias != nullptr ? p.bias[j] : 0;
        if (p.accumulate) sum += p.c[i * p.ldc + j];
        for (int64_t l = 0; l < p.k; ++l) {
          sum += static_cast<double>(round(p.a[i * a_row + l * a_column])) * round(p.b[l * b_row + j * b_column]);
        }
        p.c[i * p.ldc + j] = static_cast<float>(sum);
      }
    }
  });
}

void add_squares(const Matmul& p) {
  if (p.sum_of_squares == nullptr) return;
  *p.sum_of_squares = 0;
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      const double value = p.c[i * p.ldc + j];
      *p.sum_of_squares += value * value;
    }
  }
}

}  // namespace

void matmul_f32(const Matmul& product, ThreadPool& pool) {
  matmul<as_is>(product, pool);
  add_squares(product);
}
void matmul_bf16(const Matmul& product, ThreadPool& pool) {
  matmul<rounded_to_bf16>(product, pool);
  add_squares(product);
}

}  // namespace fettle::reference
