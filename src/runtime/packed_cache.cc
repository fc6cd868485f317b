#include "runtime/packed_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/checksum.h"
#include "base/error.h"
#include "base/log.h"
#include "kernels/packing.h"

namespace fettle {
namespace {

constexpr double kMiB = 1 << 20;

}  // namespace

std::string packed_cache_name(std::string_view table, std::string_view precision) {
  return fmt::format("fettle-packed-{}{}{}.bin", table, precision.empty() ? "" : "-", precision);
}

PackedCache::PackedCache(std::filesystem::path file, const KernelTable& table)
    : path_(std::move(file)), table_(table.name), packing_(packing_fingerprint(table)) {
  open();
}

void PackedCache::open() {
  std::error_code ignored;
  if (!std::filesystem::exists(path_, ignored)) return;
  try {
    file_ = PackedFile::open(path_);
  } catch (const Error& error) {
    return reject(error.detail());
  }
  if (file_->table() != table_) {
    reject(fmt::format("they are for the kernel table \"{}\"", file_->table()));
  } else if (file_->packing() != packing_) {
    reject("another version packed them in another way");
  }
  if (!why_anew_.empty()) file_.reset();
}

void PackedCache::reject(std::string_view reason) {
  if (why_anew_.empty()) why_anew_ = reason;
}

std::optional<PackedImage> PackedCache::find(const PackedSource& source, ThreadPool& pool) {
  if (!file_.has_value()) return std::nullopt;
  const PackedEntry* const entry = file_->find(source.name);
  if (entry == nullptr || entry->source != source) {
    reject("the model's weights are others than those that were packed");
    return std::nullopt;
  }
  if (checksum64(entry->bytes, pool) != entry->checksum) {
    reject("they are damaged");
    return std::nullopt;
  }
  return PackedImage{entry->bytes, file_->owner()};
}

void PackedCache::add(PackedSource source, const PackedLinear& packed) {
  if (!is_finished_) added_.emplace_back(std::move(source), &packed);
}

bool PackedCache::is_complete() const {
  return file_.has_value() && why_anew_.empty() && file_->entries().size() == added_.size();
}

void PackedCache::finish(ThreadPool& pool) {
  if (is_finished_) return;
  is_finished_ = true;
  if (!is_complete() && !added_.empty()) {
    if (file_.has_value()) reject("the model has not all that was packed");
    if (!why_anew_.empty()) log_info(fmt::format("{}: packed anew: {}", path_.string(), why_anew_));
    std::vector<PackedEntry> entries;
    int64_t size_bytes = 0;
    for (auto& [source, packed] : added_) {
      const std::span<const std::byte> image = packed->image();
      entries.push_back({std::move(source), image, checksum64(image, pool)});
      size_bytes += std::ssize(image);
    }
    try {
      write_packed_file(path_, table_, packing_, entries);
      log_info(fmt::format("{}: {:.1f} MiB of packed weights are kept", path_.string(),
                           static_cast<double>(size_bytes) / kMiB));
    } catch (const Error& error) {
      log_warning(fmt::format("{}: packed weights are not kept: {}", path_.string(), error.detail()));
    }
  }
  added_.clear();
  file_.reset();
}

}  // namespace fettle
