// The arithmetic of fake_quantize, shared by its reference and its kernels: floats that only have the values that
// integers on a grid would have.
#pragma once

#include <algorithm>

#include "graph/mask_blocks.h"
#include "tensor/dtype.h"

namespace fettle {

// To nearest, ties to even, for magnitudes below 2^22: the sum has no bits left for a fraction.
inline float round_even(float x) {
  constexpr float kShift = 12582912.0f;  // 1.5 · 2^23
  return (x + kShift) - kShift;
}
inline double round_even(double x) {
  constexpr double kShift = 6755399441055744.0;  // 1.5 · 2^52
  return (x + kShift) - kShift;
}

// What the attributes of a node say.
struct FakeQuantize {
  int64_t block_rows = 1;  // elements that share a step; 0: all rows, however many there are
  int64_t block_columns = 1;
  double lowest = -127;  // integers, the zero point included
  double highest = 127;
  double gradient_scale = 1;  // of the steps (LSQ: 1 / √(elements of a step · highest))
  bool bf16_steps = false;    // steps count as rounded to bf16, as they will be stored

  static FakeQuantize of(const Attributes& attributes) {
    return {.block_rows = attributes.get_int("block_rows", 1),
            .block_columns = attributes.get_int("block_columns", 1),
            .lowest = static_cast<double>(attributes.get_int("lowest")),
            .highest = static_cast<double>(attributes.get_int("highest")),
            .gradient_scale = attributes.get_double("gradient_scale", 1),
            .bf16_steps = attributes.get_bool("bf16_steps", false)};
  }
  MaskBlocks blocks(int64_t rows, int64_t columns) const {
    return {.rows = rows,
            .columns = columns,
            .block_rows = block_rows > 0 ? block_rows : std::max<int64_t>(rows, 1),
            .block_columns = block_columns};
  }
  template <typename T>
  T stored(T step) const {
    return bf16_steps ? static_cast<T>(bf16_to_f32(f32_to_bf16(static_cast<float>(step)))) : step;
  }
};

// Integers of one step without the zero point.
template <typename T>
struct FakeRange {
  T step;
  T lowest;
  T highest;

  T value(T x) const { return round_even(std::clamp(x / step, lowest, highest)) * step; }
  // Straight through the rounding: the step's derivative is n - x / step inside the range, the bound outside. Inside
  // says whether x gets the gradient.
  struct Slopes {
    bool inside;
    T of_step;
  };
  Slopes slopes(T x) const {
    const T v = x / step;
    if (v < lowest) return {false, lowest};
    if (v > highest) return {false, highest};
    return {true, round_even(v) - v};
  }
};

// Checks block sizes, the range and that `steps` has one element for each block of `x`.
inline void check_fake_quantize(const TypeCheck& check, const TensorType& x, const TensorType& steps) {
  const int64_t lowest = check.integer("lowest", -128);
  if (check.integer("highest", 1) <= lowest) check.fail("the range of integers is empty");
  check.number_or("gradient_scale", 1, 0, 1e30);
  check.flag("bf16_steps", false);
  const int64_t sizes[] = {check.integer_or("block_rows", 1, 0), check.integer_or("block_columns", 1, 1)};
  for (size_t axis = 0; axis < 2; ++axis) {
    const bool all = sizes[axis] == 0;
    if (!all && !x.shape[axis].is_constant()) check.fail("what has blocks has a size that is not constant");
    const int64_t wanted = all ? 1 : (x.shape[axis].value + sizes[axis] - 1) / sizes[axis];
    check.same_dim(steps.shape[axis], Graph::constant_dim(wanted), "steps");
  }
}

}  // namespace fettle
