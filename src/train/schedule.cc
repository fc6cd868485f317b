#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace fettle {

double schedule_factor(Schedule schedule, int64_t step, int64_t total, int64_t warmup) {
  if (step < warmup) return static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, warmup));
  const double span = static_cast<double>(std::max<int64_t>(1, total - warmup));
  const double progress = std::min(1.0, static_cast<double>(step - warmup) / span);
  switch (schedule) {
    case Schedule::kConstant:
      return 1.0;
    case Schedule::kLinear:
      return 1.0 - progress;
    case Schedule::kCosine:
      return 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  }
  return 1.0;
}

int64_t warmup_steps(int64_t total, double ratio) {
  return static_cast<int64_t>(std::ceil(static_cast<double>(total) * ratio));
}

}  // namespace fettle
