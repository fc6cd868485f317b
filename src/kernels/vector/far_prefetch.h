// Fetching the next panels of packed weights while the present ones are worked on.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed_panels.h"
#include "kernels/vector/prefetch.h"

namespace fettle {

// Lines of up to six panels, a few of each at every step. User is a type of the kernel that uses it, so that each
// instruction set has its own copy of the code.
template <typename User>
struct FarPrefetch {
  const std::byte* panels[kGroupPanels] = {};
  int64_t n_panels = 0;
  int64_t lines_left = 0;      // of each panel
  int64_t lines_per_step = 0;  // of the present panels; they are walked n_passes times
  int64_t n_passes = 1;
  int64_t credit = 0;

  void step() {
    for (credit += lines_per_step; credit >= n_passes && lines_left > 0; credit -= n_passes) {
      for (int64_t i = 0; i < n_panels; ++i) {
        prefetch_far(panels[i]);
        panels[i] += kLineBytes;
      }
      --lines_left;
    }
  }
};

}  // namespace fettle
