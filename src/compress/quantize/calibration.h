// Calibration: how large the inputs of linears are on the user's texts, how much that depends on which texts these are,
// and whether they look like what the model will see.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "compress/quantize/linear_inputs.h"
#include "compress/quantize/observers.h"

namespace fettle {

struct InputStatistics {
  LinearInput input;
  int64_t n_rows = 0;
  MagnitudeHistogram magnitudes;
  std::vector<MagnitudeHistogram> folds;  // of each resample by itself
  std::vector<float> channel_absmax;      // [width]
  std::vector<double> channel_mean;       // [width]
};

// Over all texts of the run; the same bytes at any number of threads.
std::vector<InputStatistics> measure_inputs(const Model& model, const std::vector<LinearInput>& inputs,
                                            const CalibrationRun& run);

// The scale of one input's integers: x = q · scale, q in [-127, 127].
struct InputScale {
  LinearInput input;
  float scale = 1;
  double cut = 0;     // share of the values that the scale cuts
  double spread = 0;  // of the scales of the resamples: (largest - smallest) / scale; 0 with fewer than two
};

std::vector<InputScale> choose_scales(const std::vector<InputStatistics>& statistics, Observer observer,
                                      double percentile);

// What texts look like to a tokenizer.
struct TextProfile {
  int64_t n_texts = 0;
  double mean_tokens = 0;  // of a text, special ones left out
  double unknown = 0;      // share of unknown tokens
  double pieces = 0;       // tokens for each word between spaces
  double cut = 0;          // share of texts that were longer than max_length
};
TextProfile profile_texts(const Dataset& data, const Tokenizer& tokenizer, int64_t max_length);

// One line for each reason to doubt that the calibration holds: few texts, much cut off, many unknown words, and, where
// `reference` (null, or the data that the model is evaluated on) looks otherwise, its length, language or words.
std::vector<std::string> calibration_warnings(const TextProfile& texts, const TextProfile* reference);

}  // namespace fettle
