// Packed weights that several executors share: packed once, never changed, kept while anyone uses them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/function_ref.h"
#include "kernels/kernel_table.h"

namespace fettle {

// For executors of one model, kernel table and precision. Thread safe.
class PackedStore {
 public:
  // What stands under `key`, or what `pack` makes, which stands there from then on.
  std::shared_ptr<const PackedLinear> get(const std::string& key, FunctionRef<std::unique_ptr<PackedLinear>()> pack);

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const PackedLinear>> packed_;
};

}  // namespace fettle
