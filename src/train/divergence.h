// Notices a loss that has left its course for good.
#pragma once

#include <cstdint>

namespace fettle {

// Watches the loss of every step. It counts as diverging when its exponential mean (weight 0.95 on the past, bias
// corrected) has stood above the bound for kDivergencePatience steps on end, where the bound is the largest of
//   3 · the least mean so far,
//   0.9 · the mean over the first kDivergenceStart steps,
//   0.9 · the loss of a model that knows nothing.
// So a loss that never fell must treble, one that had fallen must be back where it began, and one that began low (a
// trained model that goes on) must be as bad as knowing nothing.
inline constexpr int64_t kDivergenceStart = 10;
inline constexpr int64_t kDivergencePatience = 50;

// What the watch has seen; part of a checkpoint.
struct DivergenceState {
  int64_t steps = 0;
  double mean = 0;   // exponential, not bias corrected
  double start = 0;  // over the first steps
  double best = -1;  // least corrected mean, -1 before the first
  int64_t steps_above = 0;
};

class DivergenceWatch {
 public:
  // `chance_loss` is that of a model that knows nothing, 0 where nobody can say.
  explicit DivergenceWatch(double chance_loss) : chance_loss_(chance_loss) {}

  // The next step's loss, which is finite. True when the loss diverges.
  bool add(double loss, DivergenceState& state) const;
  double bound(const DivergenceState& state) const;
  static double mean(const DivergenceState& state);
  // Above the bound, though not yet for long.
  static bool is_suspicious(const DivergenceState& state) { return state.steps_above > 0; }

 private:
  double chance_loss_;
};

}  // namespace fettle
