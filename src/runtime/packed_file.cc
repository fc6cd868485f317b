#include "runtime/packed_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <set>

#include "base/checked.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace fettle {
namespace {

constexpr std::string_view kMagic = "FETTLEPK";
constexpr int64_t kFormat = 1;
constexpr int64_t kPage = 4096;
constexpr int64_t kPrefixBytes = 24;
constexpr int64_t kMaxDirectoryBytes = int64_t{64} << 20;
constexpr int64_t kMaxDim = int64_t{1} << 40;
constexpr int64_t kMaxBytes = std::numeric_limits<int64_t>::max() / 2;

int64_t next_page(int64_t offset) {
  return (offset + kPage - 1) / kPage * kPage;
}

std::string hex(uint64_t value) {
  return fmt::format("{:016x}", value);
}

uint64_t json_hex(const Json& object, std::string_view key, std::string_view where) {
  const std::string text = json_string(object, key, where);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.size() != 16 || error != std::errc() || end != text.data() + text.size()) {
    bad_input(std::string(where), fmt::format("\"{}\" has not 16 hexadecimal digits", key));
  }
  return value;
}

uint64_t word_at(std::span<const std::byte> bytes, size_t offset) {
  uint64_t word;
  std::memcpy(&word, bytes.data() + offset, sizeof word);
  return word;
}

// The directory's text, its checksum compared.
std::string_view directory_of(std::span<const std::byte> bytes, std::string_view where) {
  const std::string name(where);
  if (std::ssize(bytes) < kPrefixBytes || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    bad_input(name, "is no file of packed weights");
  }
  const uint64_t size = word_at(bytes, 8);
  if (size > static_cast<uint64_t>(kMaxDirectoryBytes) || size > bytes.size() - kPrefixBytes) {
    bad_input(name, "the directory is longer than the file or the limit");
  }
  const auto text = bytes.subspan(kPrefixBytes, static_cast<size_t>(size));
  if (checksum64(text) != word_at(bytes, 16)) bad_input(name, "the directory is damaged");
  return {reinterpret_cast<const char*>(text.data()), text.size()};
}

Shape read_shape(const Json& entry, std::string_view where) {
  const auto shape = entry.find("shape");
  if (shape == entry.end() || !shape->is_array() || shape->size() != 2) {
    bad_input(std::string(where), "\"shape\" has not two sizes");
  }
  Shape sizes;
  for (const Json& size : *shape) {
    sizes.push_back(json_int(Json{{"size", size}}, "size", 0, kMaxDim, where));
  }
  return sizes;
}

PackedEntry read_entry(const Json& entry, std::span<const std::byte> bytes, int64_t begin, std::string_view where) {
  if (!entry.is_object()) bad_input(std::string(where), "has an entry that is not an object");
  PackedEntry read;
  read.source = {.name = json_string(entry, "name", where),
                 .shape = read_shape(entry, where),
                 .encoding = json_string(entry, "encoding", where),
                 .checksum = json_hex(entry, "source", where)};
  read.checksum = json_hex(entry, "checksum", where);
  const int64_t offset = json_int(entry, "offset", 0, kMaxBytes, where);
  const int64_t size = json_int(entry, "size_bytes", 0, kMaxBytes, where);
  if (offset != begin) bad_input(std::string(where), fmt::format("an image begins at {}, not at {}", offset, begin));
  if (offset > std::ssize(bytes) || size > std::ssize(bytes) - offset) {
    bad_input(std::string(where), "an image reaches beyond the end of the file");
  }
  read.bytes = bytes.subspan(static_cast<size_t>(offset), static_cast<size_t>(size));
  return read;
}

Json directory_json(std::string_view table, uint64_t packing, std::span<const PackedEntry> entries) {
  Json list = Json::array();
  for (const PackedEntry& entry : entries) {
    list.push_back(Json{{"name", entry.source.name},
                        {"shape", entry.source.shape},
                        {"encoding", entry.source.encoding},
                        {"source", hex(entry.source.checksum)},
                        {"offset", 0},
                        {"size_bytes", std::ssize(entry.bytes)},
                        {"checksum", hex(entry.checksum)}});
  }
  return Json{{"format", kFormat}, {"table", table}, {"packing", hex(packing)}, {"size_bytes", 0}, {"entries", list}};
}

// The offsets depend on the directory's length and that on the offsets' digits: there is room for the longest.
constexpr int64_t kRoomForDigits = 20;

std::string laid_out(Json directory) {
  const auto n_entries = static_cast<int64_t>(directory["entries"].size());
  const int64_t text_bytes = std::ssize(directory.dump()) + kRoomForDigits * (n_entries + 1);
  const int64_t directory_bytes = next_page(kPrefixBytes + text_bytes) - kPrefixBytes;
  if (directory_bytes > kMaxDirectoryBytes) failed("packed weights", "are too many for one file");
  int64_t end = kPrefixBytes + directory_bytes;
  for (Json& entry : directory["entries"]) {
    const int64_t begin = next_page(end);
    entry["offset"] = begin;
    end = checked_add(begin, entry["size_bytes"].get<int64_t>(), "packed weights");
  }
  directory["size_bytes"] = end;
  std::string text = directory.dump();
  text.resize(static_cast<size_t>(directory_bytes), ' ');
  return text;
}

void write_word(AtomicFile& file, uint64_t word) {
  file.write(&word, sizeof word);
}

}  // namespace

PackedFile PackedFile::open(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  return from_bytes(file->bytes(), file, path.string());
}

PackedFile PackedFile::from_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                                  std::string_view where) {
  const std::string_view text = directory_of(bytes, where);
  const Json directory = parse_json(text, where, {.size_bytes = kMaxDirectoryBytes, .depth = 8});
  if (!directory.is_object()) bad_input(std::string(where), "the directory is not a JSON object");
  const int64_t format = json_int(directory, "format", 0, INT32_MAX, where);
  if (format != kFormat) bad_input(std::string(where), fmt::format("is of format {}, not {}", format, kFormat));
  const auto entries = directory.find("entries");
  if (entries == directory.end() || !entries->is_array()) bad_input(std::string(where), "has no \"entries\"");

  PackedFile file;
  file.owner_ = std::move(owner);
  file.table_ = json_string(directory, "table", where);
  file.packing_ = json_hex(directory, "packing", where);
  int64_t end = kPrefixBytes + std::ssize(text);
  std::set<std::string, std::less<>> names;
  for (const Json& entry : *entries) {
    const int64_t begin = next_page(end);
    file.entries_.push_back(read_entry(entry, bytes, begin, where));
    end = begin + std::ssize(file.entries_.back().bytes);
    if (names.insert(file.entries_.back().source.name).second) continue;
    bad_input(std::string(where), "has two images of the same parameters");
  }
  if (json_int(directory, "size_bytes", 0, kMaxBytes, where) != end || std::ssize(bytes) != end) {
    bad_input(std::string(where), fmt::format("has {} bytes, its images end at {}", bytes.size(), end));
  }
  return file;
}

const PackedEntry* PackedFile::find(std::string_view name) const {
  const auto found = std::ranges::find_if(entries_, [&](const PackedEntry& e) { return e.source.name == name; });
  return found == entries_.end() ? nullptr : &*found;
}

void write_packed_file(const std::filesystem::path& path, std::string_view table, uint64_t packing,
                       std::span<const PackedEntry> entries) {
  const std::string directory = laid_out(directory_json(table, packing, entries));
  AtomicFile file(path);
  file.write(kMagic);
  write_word(file, directory.size());
  write_word(file, checksum64(directory));
  file.write(directory);
  int64_t end = kPrefixBytes + std::ssize(directory);
  for (const PackedEntry& entry : entries) {
    const int64_t begin = next_page(end);
    file.write(std::string(static_cast<size_t>(begin - end), '\0'));
    file.write(entry.bytes.data(), entry.bytes.size());
    end = begin + std::ssize(entry.bytes);
  }
  file.commit();
}

}  // namespace fettle
