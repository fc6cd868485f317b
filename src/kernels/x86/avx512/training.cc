#include "kernels/vector/training.inl.h"

#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/vec16.h"

namespace fettle::avx512 {

using x86::Vec16;

void install_training(KernelTable& table) {
  vector::install<Vec16>(table);
}

void activate(Activation kind, const float* x, float* y, int64_t n) {
  vector::activate<Vec16>(kind, x, y, n);
}

void add(const float* a, const float* b, float* y, int64_t n) {
  vector::add<Vec16>(a, b, y, n);
}

}  // namespace fettle::avx512
