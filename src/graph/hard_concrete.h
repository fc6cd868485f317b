// Hard-concrete gates (Louizos, Welling, Kingma: "Learning sparse neural networks through L0 regularization", 2018),
// shared by the op's reference and its kernel.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/philox.h"
#include "graph/graph.h"
#include "graph/infer.h"

namespace fettle {

// u in (0, 1), with 23 bits and so exact in f32: of element `index`.
inline float gate_noise(uint64_t seed, uint64_t stream, uint64_t index) {
  const uint32_t word = philox4x32(seed, stream, index / 4)[index % 4];
  return (static_cast<float>(word >> 9) + 0.5f) * 0x1p-23f;
}

// What hard_concrete and its gradient check alike: log α, keep (both of one shape), noise [1], and their numbers.
inline TensorType infer_gates(TypeCheck& check) {
  const TensorType log_alpha = check.floats(0);
  check.floats(1);
  check.same_shape(0, 1);
  check.scalar(2);
  check.number("beta", 1e-6, 1e6);
  check.number("gamma", -1e6, 0);
  check.number("zeta", 1, 1e6);
  check.integer("stream", 0);
  return log_alpha;
}

// Gates from log α. With noise u: s = σ((log u - log(1 - u) + log α) / β); without: s = σ(log α). Then
// z = min(1, max(0, s (ζ - γ) + γ)).
template <typename T>
struct HardConcrete {
  T inverse_beta = T(1.5);
  T gamma = T(-0.1);
  T zeta = T(1.1);

  static HardConcrete of(const Attributes& attributes) {
    return {static_cast<T>(1 / attributes.get_double("beta")), static_cast<T>(attributes.get_double("gamma")),
            static_cast<T>(attributes.get_double("zeta"))};
  }

  T noisy(T log_alpha, T u) const {
    const T odds = (1 - u) / u * std::exp(-log_alpha);
    const T power = inverse_beta == T(1.5) ? odds * std::sqrt(odds) : std::pow(odds, inverse_beta);
    return 1 / (1 + power);
  }
  T quiet(T log_alpha) const { return 1 / (1 + std::exp(-log_alpha)); }
  T gate(T s) const { return std::min(T(1), std::max(T(0), s * (zeta - gamma) + gamma)); }
  // dz / d log α for s made with noise or without: 0 where the gate is shut or wide open.
  T slope(T s, bool is_noisy) const {
    const T stretched = s * (zeta - gamma) + gamma;
    if (stretched <= 0 || stretched >= 1) return 0;
    return (zeta - gamma) * s * (1 - s) * (is_noisy ? inverse_beta : T(1));
  }
};

}  // namespace fettle
