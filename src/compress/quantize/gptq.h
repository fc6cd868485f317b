// GPTQ (Frantar et al. 2022; techniques D4) for one linear: columns are rounded one after the other, and what a
// column's rounding does to the outputs the columns behind it take back.
#pragma once

#include "compress/quantize/rounding_problem.h"

namespace fettle {

struct GptqOptions {
  double damping = 0.01;   // of the moment's mean diagonal, added to it; ten times as much where it cannot be factored
  int64_t block = 128;     // columns whose effect on those behind them is applied at once
  bool act_order = false;  // columns with large inputs first
};

// The better of GPTQ and nearest, row by row. Columns whose inputs are always zero are rounded to nearest. The same
// bytes at any number of threads. kFailed when no damping makes the moment one that can be factored.
RoundedWeight round_by_gptq(const RoundingProblem& problem, const GptqOptions& options, const RoundingMachine& machine);

struct GptqIntegers {
  Tensor values;       // i32 [rows, cols]
  double damping = 0;  // that was needed
};
// GPTQ as it stands in the paper, without that choice.
GptqIntegers gptq_integers(const RoundingProblem& problem, const GptqOptions& options, ThreadPool& pool);

}  // namespace fettle
