// Learning-rate schedules.
#pragma once

#include <cstdint>

#include "train/trainer.h"

namespace fettle {

// Factor on the learning rate for step `step` (from 0) of `total`, with the formulas of Hugging Face's
// get_*_schedule_with_warmup: step / warmup first, then constant, linear to zero, or half a cosine to zero.
double schedule_factor(Schedule schedule, int64_t step, int64_t total, int64_t warmup);

// ceil(total · ratio)
int64_t warmup_steps(int64_t total, double ratio);

}  // namespace fettle
