// Input rows of a packed linear, prepared (quantized) by the node that writes them, while they are in its cache.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

namespace fettle {

// The rows that lie between the node that wrote them last and the one that runs next. One for an executor.
struct FedRows {
  PreparedRows rows;
  const PackedLinear* ready_for = nullptr;  // set by a node that has prepared all rows of its output
};

// What a writing node holds; does nothing unless it has been connected.
class RowFeed {
 public:
  void connect(const PackedLinear* linear, FedRows* fed) {
    linear_ = linear;
    fed_ = fed;
  }
  void begin(int64_t n_rows) const {
    if (linear_ != nullptr) linear_->begin_rows(n_rows, fed_->rows);
  }
  // Rows [begin, end) of x, row stride ldx, have been written. On any thread, each row once.
  void wrote(const float* x, int64_t ldx, int64_t begin, int64_t end) const {
    if (linear_ != nullptr) linear_->prepare_rows(x, ldx, begin, end, fed_->rows);
  }
  void finish() const {
    if (linear_ != nullptr) fed_->ready_for = linear_;
  }
  bool is_connected() const { return linear_ != nullptr; }

 private:
  const PackedLinear* linear_ = nullptr;
  FedRows* fed_ = nullptr;
};

}  // namespace fettle
