#include "kernels/vector/training.inl.h"

#include "kernels/arm/neon/kernels.h"
#include "kernels/arm/vec4.h"

namespace fettle::neon {

void install_training(KernelTable& table) {
  vector::install<arm::Vec4>(table);
}

}  // namespace fettle::neon
