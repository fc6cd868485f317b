#include "runtime/packed_store.h"

namespace fettle {

std::shared_ptr<const PackedLinear> PackedStore::get(const std::string& key,
                                                     FunctionRef<std::unique_ptr<PackedLinear>()> pack) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const PackedLinear>& packed = packed_[key];
  if (packed == nullptr) packed = pack();
  return packed;
}

void PackedStore::finish_cache(ThreadPool& pool) {
  const std::lock_guard lock(mutex_);
  if (cache_ != nullptr) cache_->finish(pool);
}

}  // namespace fettle
