#include "runtime/node_kernel.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace fettle {

void for_row_ranges(const RunContext& context, int64_t rows, int64_t width, int64_t grain,
                    FunctionRef<void(int64_t begin, int64_t end)> fn) {
  const int64_t rows_per_task = std::max<int64_t>(1, grain / std::max<int64_t>(1, width));
  if (rows <= rows_per_task) {
    if (rows > 0) fn(0, rows);
    return;
  }
  context.pool->parallel_ranges(rows, rows_per_task, [&](int64_t begin, int64_t end, int) { fn(begin, end); });
}

Activation parse_activation(std::string_view kind) {
  if (kind == "none") return Activation::kNone;
  if (kind == "relu") return Activation::kRelu;
  if (kind == "tanh") return Activation::kTanh;
  if (kind == "gelu") return Activation::kGelu;
  if (kind == "gelu_tanh") return Activation::kGeluTanh;
  failed("activation", "\"" + std::string(kind) + "\" is not known");
}

}  // namespace fettle
