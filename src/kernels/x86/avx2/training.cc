#include "kernels/vector/training.inl.h"

#include "kernels/x86/avx2/kernels.h"
#include "kernels/x86/vec8.h"

namespace fettle::avx2 {

using x86::Vec8;

void install_training(KernelTable& table) {
  vector::install<Vec8>(table);
}

void activate(Activation kind, const float* x, float* y, int64_t n) {
  vector::activate<Vec8>(kind, x, y, n);
}

void add(const float* a, const float* b, float* y, int64_t n) {
  vector::add<Vec8>(a, b, y, n);
}

}  // namespace fettle::avx2
