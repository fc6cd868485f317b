#include "train/distill/teacher_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>
#include <system_error>
#include <vector>

#include "base/checked.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/log.h"
#include "base/sha256.h"

namespace fettle {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic = "FETTLETO";
constexpr const char* kEnding = ".teacher";
constexpr int64_t kFormat = 1;
constexpr int64_t kPrefixBytes = 16;
constexpr int64_t kTrailerBytes = 8;
constexpr int64_t kAlignment = 64;
constexpr size_t kBlockBytes = size_t{4} << 20;
constexpr int64_t kMaxHeaderBytes = int64_t{1} << 20;

std::string header_of(const TeacherEntry& entry) {
  const Json json{{"format", kFormat},
                  {"key", entry.key},
                  {"type", dtype_name(entry.dtype)},
                  {"rows", entry.rows},
                  {"width", entry.width}};
  std::string header = json.dump();
  while ((kPrefixBytes + std::ssize(header)) % kAlignment != 0) header += ' ';
  return header;
}

template <typename T>
void append_bytes(std::string& to, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  to.append(bytes, sizeof(T));
}

uint64_t number_at(std::span<const std::byte> bytes, size_t place) {
  uint64_t number;
  std::memcpy(&number, bytes.data() + place, sizeof number);
  return number;
}

uint64_t checksum_of(std::span<const std::byte> bytes, ThreadPool& pool) {
  std::string sums;
  for (size_t begin = 0; begin < bytes.size(); begin += kBlockBytes) {
    append_bytes(sums, checksum64(bytes.subspan(begin, std::min(kBlockBytes, bytes.size() - begin)), pool));
  }
  return checksum64(sums);
}

struct CachedFile {
  std::filesystem::path path;
  int64_t size_bytes = 0;
  std::filesystem::file_time_type used;
};

std::vector<CachedFile> files_in(const std::filesystem::path& folder) {
  std::vector<CachedFile> files;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->path().extension() != kEnding || !it->is_regular_file(ignored)) continue;
    const auto size = it->file_size(ignored);
    if (ignored) continue;
    files.push_back({it->path(), static_cast<int64_t>(size), it->last_write_time(ignored)});
  }
  std::ranges::sort(files, [](const CachedFile& a, const CachedFile& b) {
    return a.used != b.used ? a.used < b.used : a.path < b.path;
  });
  return files;
}

}  // namespace

int64_t TeacherEntry::data_bytes() const {
  return checked_mul(checked_mul(rows, width, "teacher cache"), dtype_size(dtype), "teacher cache");
}

TeacherEntryWriter::TeacherEntryWriter(const std::filesystem::path& path, const TeacherEntry& entry)
    : file_(path), path_(path.string()) {
  const std::string header = header_of(entry);
  std::string prefix(kMagic);
  append_bytes(prefix, static_cast<uint64_t>(header.size()));
  prefix += header;
  left_bytes_ = std::ssize(prefix) + entry.data_bytes();
  write(prefix.data(), std::ssize(prefix));
}

void TeacherEntryWriter::write(const void* rows, int64_t size_bytes) {
  left_bytes_ -= size_bytes;
  const char* from = static_cast<const char*>(rows);
  while (size_bytes > 0) {
    const size_t count = std::min(static_cast<size_t>(size_bytes), kBlockBytes - block_.size());
    block_.append(from, count);
    from += count;
    size_bytes -= static_cast<int64_t>(count);
    if (block_.size() == kBlockBytes) flush();
  }
}

void TeacherEntryWriter::flush() {
  if (block_.empty()) return;
  append_bytes(sums_, checksum64(block_));
  file_.write(block_);
  block_.clear();
}

void TeacherEntryWriter::commit() {
  if (left_bytes_ != 0) failed(path_, "not as many rows as were announced");
  flush();
  std::string trailer;
  append_bytes(trailer, checksum64(sums_));
  file_.write(trailer);
  file_.commit();
}

TeacherCache::TeacherCache(const TeacherCacheOptions& options, ThreadPool& pool) : options_(options), pool_(pool) {
  if (!is_on()) return;
  std::error_code error;
  std::filesystem::create_directories(options_.folder, error);
  if (!error) return;
  log_warning(fmt::format("{}: what the teacher gives is not kept: {}", options_.folder.string(), error.message()));
  options_.folder.clear();
}

std::filesystem::path TeacherCache::path_of(const TeacherEntry& entry) const {
  const std::string key = entry.key.dump();
  return options_.folder / (sha256_hex(std::as_bytes(std::span(key))).substr(0, 32) + kEnding);
}

Tensor TeacherCache::read(const TeacherEntry& entry, const std::filesystem::path& path) const {
  const auto file = MappedFile::open(path);
  const std::span<const std::byte> bytes = file->bytes();
  const std::string where = path.string();
  const std::string expected = header_of(entry);
  const int64_t data_at = kPrefixBytes + std::ssize(expected);
  const int64_t size_bytes = checked_add(checked_add(data_at, entry.data_bytes(), where), kTrailerBytes, where);
  if (std::ssize(bytes) < kPrefixBytes || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0 ||
      number_at(bytes, kMagic.size()) > static_cast<uint64_t>(kMaxHeaderBytes)) {
    bad_input(where, "is no file of fettle's teacher cache");
  }
  if (number_at(bytes, kMagic.size()) != expected.size() || std::ssize(bytes) != size_bytes ||
      std::memcmp(bytes.data() + kPrefixBytes, expected.data(), expected.size()) != 0) {
    bad_input(where, "is not of this teacher and data, or was cut");
  }
  const auto body = bytes.first(static_cast<size_t>(size_bytes - kTrailerBytes));
  if (checksum_of(body, pool_) != number_at(bytes, body.size())) bad_input(where, "is damaged");
  return Tensor::view(entry.dtype, {entry.rows, entry.width}, bytes.data() + data_at, file);
}

std::optional<Tensor> TeacherCache::find(const TeacherEntry& entry) {
  if (!is_on()) return std::nullopt;
  const std::filesystem::path path = path_of(entry);
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  try {
    Tensor rows = read(entry, path);
    std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now(), ignored);
    return rows;
  } catch (const Error& error) {
    log_info(fmt::format("{}: {}; computed anew", path.string(), error.detail()));
    return std::nullopt;
  }
}

bool TeacherCache::make_room(int64_t size_bytes) {
  if (!is_on() || size_bytes > options_.limit_bytes) return false;
  std::vector<CachedFile> files = files_in(options_.folder);
  int64_t used_bytes = 0;
  for (const CachedFile& file : files) used_bytes += file.size_bytes;
  for (const CachedFile& file : files) {
    if (used_bytes <= options_.limit_bytes - size_bytes) break;
    std::error_code ignored;
    std::filesystem::remove(file.path, ignored);
    used_bytes -= file.size_bytes;
  }
  return true;
}

std::unique_ptr<TeacherEntryWriter> TeacherCache::write(const TeacherEntry& entry) {
  if (!is_on()) return nullptr;
  try {
    return std::make_unique<TeacherEntryWriter>(path_of(entry), entry);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInterrupted) throw;
    log_warning(fmt::format("{}: what the teacher gives is not kept: {}", options_.folder.string(), error.detail()));
    options_.folder.clear();
    return nullptr;
  }
}

}  // namespace fettle
