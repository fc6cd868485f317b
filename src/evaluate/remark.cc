#include "evaluate/remark.h"

#include <fmt/format.h>

namespace fettle {

namespace {

constexpr double kLeastGain = 1.02;
constexpr double kSignificance = 0.05;

}  // namespace

std::string shortfall(const BenchmarkResult& made, const BenchmarkResult& from, const PairedTest& against_baseline) {
  std::string text;
  const auto say = [&](const std::string& remark) { text += (text.empty() ? "" : "; ") + remark; };
  const double speedup = from.latency.p50_ms / made.latency.p50_ms;
  if (speedup < kLeastGain) say(fmt::format("no faster than \"{}\" ({:.2f}×)", from.name, speedup));
  if (made.size_mb > from.size_mb) say(fmt::format("no smaller than \"{}\"", from.name));
  if (against_baseline.accuracy_difference < 0 && against_baseline.mcnemar_p < kSignificance) {
    const double p = against_baseline.mcnemar_p;
    say(fmt::format("{:.1f} points less accurate than the baseline (p {})", -100 * against_baseline.accuracy_difference,
                    p < 0.001 ? "< 0.001" : fmt::format("= {:.3f}", p)));
  }
  return text;
}

}  // namespace fettle
