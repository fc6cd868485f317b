// What is done with a product when it is complete, for tables whose product does not do it on the way.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/scratch.h"
#include "kernels/x86/activation.inl.h"
#include "kernels/x86/elementwise.inl.h"

namespace fettle::x86 {
namespace {

template <typename V>
double finish_rows(const Matmul& p, int64_t begin, int64_t end) {
  double squares = 0;
  for (int64_t row = begin; row < end; ++row) {
    float* c = p.c + row * p.ldc;
    if (p.argument != nullptr)
      for_each_vector<V>(
          p.n, [&](int64_t i, auto lanes) { V::store(p.argument + row * p.ldc + i, V::load(c + i, lanes), lanes); });
    if (p.slope_at != nullptr) {
      activate_grad<V>(p.activation, p.slope_at + row * p.ldc, c, c, p.n);
    } else if (p.activation != Activation::kNone) {
      activate<V>(p.activation, c, c, p.n);
    }
    if (p.sum_of_squares != nullptr) squares += sum_of_squares<V>(c, p.n);
  }
  return squares;
}

template <typename V>
void finish_matmul(const Matmul& p, ThreadPool& pool) {
  constexpr int64_t kRows = 16;
  const int64_t n_tasks = p.m < 0 ? 0 : (p.m + kRows - 1) / kRows;
  auto* squares = thread_scratch_of<double>(ScratchUse::kPartialSums, static_cast<size_t>(n_tasks));
  pool.parallel_for(n_tasks, [&](int64_t task, int) {
    const int64_t begin = task * kRows;
    squares[task] = finish_rows<V>(p, begin, begin + kRows < p.m ? begin + kRows : p.m);
  });
  if (p.sum_of_squares == nullptr) return;
  *p.sum_of_squares = 0;
  for (int64_t task = 0; task < n_tasks; ++task) *p.sum_of_squares += squares[task];
}

}  // namespace
}  // namespace fettle::x86
