#include "train/divergence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/philox.h"

namespace fettle {
namespace {

// The step at which `loss` is said to diverge, -1 when it never is.
int64_t first_alarm(double chance_loss, int64_t n_steps, const std::function<double(int64_t)>& loss) {
  const DivergenceWatch watch(chance_loss);
  DivergenceState state;
  for (int64_t step = 0; step < n_steps; ++step) {
    if (watch.add(loss(step), state)) return step;
  }
  return -1;
}

TEST(Divergence, AFallingNoisyLossIsNoAlarm) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Philox random(seed);
    const auto loss = [&](int64_t step) {
      const double course = 5 * std::exp(-static_cast<double>(step) / 150) + 0.02;
      return course * std::exp(static_cast<double>(random.normal()));
    };
    EXPECT_EQ(first_alarm(5, 3000, loss), -1) << seed;
  }
}

TEST(Divergence, NeitherIsOneThatStaysOrBeginsLow) {
  EXPECT_EQ(first_alarm(0.69, 2000, [](int64_t) { return 0.69; }), -1);
  EXPECT_EQ(first_alarm(0, 2000, [](int64_t step) { return step % 100 == 0 ? 10.0 : 0.7; }), -1);
  // A trained model that begins at 0.01 and forgets a little at a high rate.
  EXPECT_EQ(first_alarm(5, 2000, [](int64_t step) { return step < 30 ? 0.01 : 0.5; }), -1);
}

// Without the wait this would be one: a spell of forty bad steps.
TEST(Divergence, ASpellPasses) {
  EXPECT_EQ(first_alarm(5, 2000, [](int64_t step) { return step >= 500 && step < 540 ? 6.0 : 0.2; }), -1);
}

TEST(Divergence, BackToKnowingNothing) {
  const int64_t step = first_alarm(5, 2000, [](int64_t s) { return s < 300 ? 5 - 0.016 * static_cast<double>(s) : 5; });
  EXPECT_GT(step, 300 + kDivergencePatience);
  EXPECT_LT(step, 300 + kDivergencePatience + 100);
}

TEST(Divergence, AnExplosionFromTheStart) {
  const int64_t step = first_alarm(0.7, 2000, [](int64_t s) { return 0.7 * std::exp(0.05 * static_cast<double>(s)); });
  EXPECT_GT(step, 20);
  EXPECT_LT(step, 150);
}

TEST(Divergence, TheStateIsAllThatItRemembers) {
  const DivergenceWatch watch(1);
  DivergenceState state;
  for (int64_t step = 0; step < 40; ++step) watch.add(1, state);
  DivergenceState copy = state;
  const DivergenceWatch other(1);
  for (int64_t step = 0; step < 80; ++step) EXPECT_EQ(watch.add(9, state), other.add(9, copy));
  EXPECT_TRUE(DivergenceWatch::is_suspicious(state));
  EXPECT_GE(state.steps_above, kDivergencePatience);
}

}  // namespace
}  // namespace fettle
