#include "evaluate/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace fettle {

std::string escape_xml(std::string_view text) {
  std::string result;
  for (char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

Axis::Axis(double low, double high, double from, double to, bool logarithmic)
    : low_(low), high_(high > low ? high : low + 1), from_(from), to_(to), logarithmic_(logarithmic && low > 0) {}

double Axis::operator()(double value) const {
  const double place = logarithmic_ ? std::log(std::max(value, low_ * 1e-3) / low_) / std::log(high_ / low_)
                                    : (value - low_) / (high_ - low_);
  return from_ + place * (to_ - from_);
}

std::vector<double> Axis::ticks(int n) const {
  std::vector<double> result;
  if (logarithmic_) {
    const bool wide = high_ / low_ > 300;
    for (double decade = std::pow(10, std::floor(std::log10(low_))); decade <= high_; decade *= 10) {
      for (double factor : {1.0, 2.0, 5.0}) {
        if (wide && factor != 1.0) continue;
        const double value = decade * factor;
        if (value >= low_ * 0.999 && value <= high_ * 1.001) result.push_back(value);
      }
    }
    return result;
  }
  const double raw = (high_ - low_) / std::max(1, n);
  const double decade = std::pow(10, std::floor(std::log10(raw)));
  double step = decade * 10;
  for (double factor : {1.0, 2.0, 5.0}) {
    if (decade * factor >= raw) {
      step = decade * factor;
      break;
    }
  }
  for (double i = std::ceil(low_ / step - 1e-9); i * step <= high_ + step * 1e-9; ++i) result.push_back(i * step);
  return result;
}

std::string tick_label(double value) {
  return fmt::format("{:.4g}", std::abs(value) < 1e-12 ? 0.0 : value);
}

}  // namespace fettle
