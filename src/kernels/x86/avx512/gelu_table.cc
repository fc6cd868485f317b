#include "kernels/x86/avx512/gelu_table.h"

#include <cmath>

namespace fettle::avx512 {
namespace {

constexpr int kNodes = 4;

double half_of_erf(double a) {
  return 0.5 * std::erf(a * std::sqrt(0.5));
}
double half_of_tanh(double a) {
  return 0.5 * std::tanh(std::sqrt(2 / 3.14159265358979323846) * (a + 0.044715 * a * a * a));
}

// The cubic through a segment's four Chebyshev nodes, by divided differences.
void fit(double (*function)(double), int segment, GeluTable& table) {
  double node[kNodes];
  double difference[kNodes];
  for (int i = 0; i < kNodes; ++i) {
    node[i] = 0.5 * std::cos(3.14159265358979323846 * (2 * i + 1) / (2 * kNodes));
    difference[i] = function(std::fabs(segment + node[i]) / GeluTable::kPerUnit);
    // The function is odd: the first segment reaches below zero.
    if (segment + node[i] < 0) difference[i] = -difference[i];
  }
  for (int order = 1; order < kNodes; ++order) {
    for (int i = kNodes - 1; i >= order; --i) {
      difference[i] = (difference[i] - difference[i - 1]) / (node[i] - node[i - order]);
    }
  }
  double c[kNodes] = {difference[kNodes - 1]};
  for (int i = kNodes - 2; i >= 0; --i) {
    for (int power = kNodes - 1; power > 0; --power) c[power] = c[power - 1] - node[i] * c[power];
    c[0] = difference[i] - node[i] * c[0];
  }
  for (int i = 0; i < kNodes; ++i) table.c[i][segment] = static_cast<float>(c[i]);
}

GeluTable make_table(double (*function)(double)) {
  GeluTable table;
  for (int segment = 0; segment < GeluTable::kSegments; ++segment) fit(function, segment, table);
  constexpr int kLast = GeluTable::kSegments - 1;
  table.c[0][kLast] = 0.5f;
  for (int i = 1; i < kNodes; ++i) table.c[i][kLast] = 0;
  return table;
}

}  // namespace

const GeluTable& gelu_table(Activation kind) {
  static const GeluTable by_erf = make_table(half_of_erf);
  static const GeluTable by_tanh = make_table(half_of_tanh);
  return kind == Activation::kGeluTanh ? by_tanh : by_erf;
}

}  // namespace fettle::avx512
