// Packed weights that several executors share: packed once, never changed, kept while anyone uses them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/function_ref.h"
#include "kernels/kernel_table.h"
#include "runtime/packed_cache.h"

namespace fettle {

// For executors of one model, kernel table and precision. Thread safe.
class PackedStore {
 public:
  // `cache` (may be null) is asked before anything is packed.
  explicit PackedStore(std::unique_ptr<PackedCache> cache = nullptr) : cache_(std::move(cache)) {}

  // What stands under `key`, or what `pack` makes, which stands there from then on.
  std::shared_ptr<const PackedLinear> get(const std::string& key, FunctionRef<std::unique_ptr<PackedLinear>()> pack);
  // Null when there is none or it is finished. Only for `pack`.
  PackedCache* cache() const { return cache_ != nullptr && !cache_->is_finished() ? cache_.get() : nullptr; }
  // When the first executor has all that it needs: the cache's file is brought up to date.
  void finish_cache(ThreadPool& pool);

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const PackedLinear>> packed_;
  std::unique_ptr<PackedCache> cache_;
};

}  // namespace fettle
