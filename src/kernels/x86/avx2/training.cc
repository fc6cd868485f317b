#include "kernels/x86/training.inl.h"

#include "kernels/x86/avx2/kernels.h"
#include "kernels/x86/vec8.h"

namespace fettle::avx2 {

using x86::Vec8;

void install_training(KernelTable& table) {
  x86::install<Vec8>(table);
}

void activate(Activation kind, const float* x, float* y, int64_t n) {
  x86::activate<Vec8>(kind, x, y, n);
}

void add(const float* a, const float* b, float* y, int64_t n) {
  x86::add<Vec8>(a, b, y, n);
}

}  // namespace fettle::avx2
