#include "compress/quantize/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/thread_pool.h"

namespace fettle {
namespace {

constexpr float kLevels = 127;
// Scales that can be divided by; what is smaller is all zeros to the eye.
constexpr double kSmallestLimit = 1e-30;

void add_rows(const Tensor& x, int fold, InputStatistics& to) {
  const int64_t rows = x.dim(0);
  const int64_t width = x.dim(1);
  to.n_rows += rows;
  to.folds[static_cast<size_t>(fold)].add(x.floats());
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x.data<float>() + r * width;
    for (int64_t c = 0; c < width; ++c) {
      const auto at = static_cast<size_t>(c);
      to.channel_absmax[at] = std::max(to.channel_absmax[at], std::fabs(row[c]));
      to.channel_mean[at] += static_cast<double>(row[c]);
    }
  }
}

double share_above(const MagnitudeHistogram& values, double limit) {
  int64_t above = 0;
  for (int64_t i = 0; i < MagnitudeHistogram::kBins; ++i) {
    if (static_cast<double>(i) * values.bin_width() >= limit) above += values.bins()[static_cast<size_t>(i)];
  }
  return values.count() == 0 ? 0 : static_cast<double>(above) / static_cast<double>(values.count());
}

double limit_of(const MagnitudeHistogram& values, Observer observer, double percentile) {
  return std::max(observed_limit(values, observer, percentile), kSmallestLimit);
}

// Largest of a / b and b / a.
double ratio(double a, double b) {
  return a <= 0 || b <= 0 ? 1 : std::max(a / b, b / a);
}

}  // namespace

std::vector<InputStatistics> measure_inputs(const Model& model, const std::vector<LinearInput>& inputs,
                                            const CalibrationRun& run) {
  std::vector<InputStatistics> all;
  for (const LinearInput& input : inputs) {
    const auto width = static_cast<size_t>(input.width);
    all.push_back({.input = input,
                   .magnitudes = {},
                   .folds = std::vector<MagnitudeHistogram>(static_cast<size_t>(run.n_folds())),
                   .channel_absmax = std::vector<float>(width),
                   .channel_mean = std::vector<double>(width)});
  }
  run.run(model, inputs, [&](size_t input, int fold, const Tensor& x) { add_rows(x, fold, all[input]); });
  for (InputStatistics& statistics : all) {
    for (const MagnitudeHistogram& fold : statistics.folds) statistics.magnitudes.add(fold);
    const auto n = static_cast<double>(std::max<int64_t>(statistics.n_rows, 1));
    for (double& mean : statistics.channel_mean) mean /= n;
  }
  return all;
}

std::vector<InputScale> choose_scales(const std::vector<InputStatistics>& statistics, Observer observer,
                                      double percentile) {
  std::vector<InputScale> scales;
  for (const InputStatistics& one : statistics) {
    const double limit = limit_of(one.magnitudes, observer, percentile);
    InputScale scale{.input = one.input,
                     .scale = static_cast<float>(limit) / kLevels,
                     .cut = limit < one.magnitudes.largest() ? share_above(one.magnitudes, limit) : 0};
    if (one.folds.size() > 1) {
      double largest = 0;
      double smallest = std::numeric_limits<double>::infinity();
      for (const MagnitudeHistogram& fold : one.folds) {
        const double of_fold = limit_of(fold, observer, percentile);
        largest = std::max(largest, of_fold);
        smallest = std::min(smallest, of_fold);
      }
      scale.spread = (largest - smallest) / limit;
    }
    scales.push_back(std::move(scale));
  }
  return scales;
}

TextProfile profile_texts(const Dataset& data, const Tokenizer& tokenizer, int64_t max_length) {
  TextProfile profile{.n_texts = std::ssize(data.examples)};
  int64_t n_tokens = 0;
  int64_t n_unknown = 0;
  int64_t n_words = 0;
  int64_t n_cut = 0;
  std::vector<int32_t> ids;
  for (const Example& example : data.examples) {
    int64_t length = 0;
    for (const std::string* text : {&example.text, &example.text_pair}) {
      ids.clear();
      tokenizer.encode(*text, {.add_special_tokens = false}, ids);
      length += std::ssize(ids);
      n_unknown += std::ranges::count(ids, tokenizer.unk_id());
      bool in_word = false;
      for (const char c : *text) {
        const bool is_space = c == ' ' || (c >= '\t' && c <= '\r');
        if (!is_space && !in_word) ++n_words;
        in_word = !is_space;
      }
    }
    n_tokens += length;
    const int n_special = example.text_pair.empty() ? tokenizer.n_special_single() : tokenizer.n_special_pair();
    if (length + n_special > max_length) ++n_cut;
  }
  const auto share = [](int64_t a, int64_t b) {
    return b == 0 ? 0.0 : static_cast<double>(a) / static_cast<double>(b);
  };
  profile.mean_tokens = share(n_tokens, profile.n_texts);
  profile.unknown = share(n_unknown, n_tokens);
  profile.pieces = share(n_tokens, n_words);
  profile.cut = share(n_cut, profile.n_texts);
  return profile;
}

std::vector<std::string> calibration_warnings(const TextProfile& texts, const TextProfile* reference) {
  constexpr int64_t kFewTexts = 32;
  constexpr double kManyUnknown = 0.05;
  constexpr double kMuchCut = 0.1;
  constexpr double kOtherLength = 1.6;
  constexpr double kOtherPieces = 1.5;
  std::vector<std::string> warnings;
  if (texts.n_texts < kFewTexts) {
    warnings.push_back(
        fmt::format("{} texts are few: what they do not show is cut off; give {} at least", texts.n_texts, kFewTexts));
  }
  if (texts.cut > kMuchCut) {
    warnings.push_back(fmt::format("{:.0f} % of the texts are cut to the longest that is taken", 100 * texts.cut));
  }
  const double expected_unknown = reference == nullptr ? 0 : 2 * reference->unknown;
  if (texts.unknown > std::max(kManyUnknown, expected_unknown)) {
    warnings.push_back(
        fmt::format("{:.1f} % of the tokens are unknown to the tokenizer: another language?", 100 * texts.unknown));
  }
  if (reference == nullptr) return warnings;
  if (ratio(texts.mean_tokens, reference->mean_tokens) > kOtherLength) {
    warnings.push_back(fmt::format("the texts have {:.1f} tokens on average, those of --eval {:.1f}", texts.mean_tokens,
                                   reference->mean_tokens));
  }
  if (ratio(texts.pieces, reference->pieces) > kOtherPieces) {
    warnings.push_back(fmt::format("a word of the texts has {:.2f} pieces, one of --eval {:.2f}: another language?",
                                   texts.pieces, reference->pieces));
  }
  return warnings;
}

}  // namespace fettle
