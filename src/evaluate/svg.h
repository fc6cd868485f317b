// Small pieces for drawing SVG plots.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fettle {

std::string escape_xml(std::string_view text);

// Maps values to pixels, linearly or by logarithm.
class Axis {
 public:
  // Values [low, high] to pixels [from, to].
  Axis(double low, double high, double from, double to, bool logarithmic);

  double operator()(double value) const;
  // Round numbers inside the range: multiples of 1, 2 or 5 times a power of ten, about `n` of them.
  std::vector<double> ticks(int n) const;
  double low() const { return low_; }
  double high() const { return high_; }

 private:
  double low_;
  double high_;
  double from_;
  double to_;
  bool logarithmic_;
};

// "0.25", "1", "20": as few digits as tell neighbouring ticks apart.
std::string tick_label(double value);

}  // namespace fettle
