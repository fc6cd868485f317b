#include "format/zip_archive.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "format/refuse.h"

namespace fettle {
namespace {

constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kZip64EndSignature = 0x06064b50;
constexpr uint32_t kZip64LocatorSignature = 0x07064b50;
constexpr uint32_t kEntrySignature = 0x02014b50;
constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr size_t kEndBytes = 22;
constexpr size_t kZip64EndBytes = 56;
constexpr size_t kZip64LocatorBytes = 20;
constexpr size_t kEntryBytes = 46;
constexpr size_t kLocalBytes = 30;
constexpr size_t kMaxMembers = 1'100'000;
constexpr size_t kMaxNameBytes = 4'096;
constexpr uint16_t kZip64Extra = 1;
constexpr uint16_t kEncrypted = 1;
constexpr uint16_t kStored = 0;
constexpr uint16_t kDeflated = 8;
constexpr uint16_t kUse64Short = 0xFFFF;
constexpr uint32_t kUse64 = 0xFFFFFFFF;
// A member may unpack to this many times its packed size, or to the floor; weights never pack as well.
constexpr uint64_t kMaxRatio = 100;
constexpr uint64_t kRatioFloorBytes = uint64_t{1} << 20;

// Little-endian number of `n` bytes; the caller has checked that they are there.
uint64_t number_at(std::span<const std::byte> bytes, size_t at, size_t n) {
  uint64_t value = 0;
  for (size_t i = 0; i < n; ++i) value |= std::to_integer<uint64_t>(bytes[at + i]) << (8 * i);
  return value;
}
uint16_t u16_at(std::span<const std::byte> bytes, size_t at) {
  return static_cast<uint16_t>(number_at(bytes, at, 2));
}
uint32_t u32_at(std::span<const std::byte> bytes, size_t at) {
  return static_cast<uint32_t>(number_at(bytes, at, 4));
}
uint64_t u64_at(std::span<const std::byte> bytes, size_t at) {
  return number_at(bytes, at, 8);
}

struct Zip64Fields {
  uint64_t size_bytes, packed_bytes, local_begin;
};

// Fills in, in the order the specification fixes, the fields whose short form says "see the extra field".
bool read_zip64_extra(std::span<const std::byte> extra, Zip64Fields& fields) {
  size_t at = 0;
  while (extra.size() - at >= 4) {
    const uint16_t id = u16_at(extra, at);
    const uint16_t size = u16_at(extra, at + 2);
    at += 4;
    if (size > extra.size() - at) return false;
    if (id == kZip64Extra) {
      size_t field = at;
      for (uint64_t* value : {&fields.size_bytes, &fields.packed_bytes, &fields.local_begin}) {
        if (*value != kUse64) continue;
        if (at + size - field < 8) return false;
        *value = u64_at(extra, field);
        field += 8;
      }
      return true;
    }
    at += size;
  }
  return fields.size_bytes != kUse64 && fields.packed_bytes != kUse64 && fields.local_begin != kUse64;
}

}  // namespace

ZipArchive::ZipArchive(std::span<const std::byte> bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {
  read_directory(find_directory());
  index_.reserve(members_.size());
  for (size_t i = 0; i < members_.size(); ++i) {
    if (!index_.emplace(members_[i].name, i).second)
      bad_input(where_, "zip member " + quote_name(members_[i].name) + " is there twice");
  }
}

const ZipMember* ZipArchive::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &members_[found->second];
}

ZipArchive::Directory ZipArchive::find_directory() const {
  if (bytes_.size() < kEndBytes) bad_input(where_, "too short for a zip archive");
  constexpr size_t kMaxComment = 65'535;
  const size_t last = bytes_.size() - kEndBytes;
  const size_t first = last > kMaxComment ? last - kMaxComment : 0;
  for (size_t at = last + 1; at-- > first;) {
    if (u32_at(bytes_, at) != kEndSignature || at + kEndBytes + u16_at(bytes_, at + 20) != bytes_.size()) continue;
    if (at >= kZip64LocatorBytes && u32_at(bytes_, at - kZip64LocatorBytes) == kZip64LocatorSignature) {
      return find_zip64_directory(at - kZip64LocatorBytes);
    }
    if (u16_at(bytes_, at + 4) != 0 || u16_at(bytes_, at + 6) != 0) bad_input(where_, "zip archive of several disks");
    const Directory directory{u32_at(bytes_, at + 16), u32_at(bytes_, at + 12), u16_at(bytes_, at + 10)};
    if (directory.begin > at || directory.size_bytes != at - directory.begin)
      bad_input(where_, "zip directory is not where its end record says");
    return directory;
  }
  bad_input(where_, "zip directory not found; the file is cut short or damaged");
}

ZipArchive::Directory ZipArchive::find_zip64_directory(size_t locator) const {
  const uint64_t at = u64_at(bytes_, locator + 8);
  if (at > locator || locator - at < kZip64EndBytes || u32_at(bytes_, at) != kZip64EndSignature) {
    bad_input(where_, "zip64 end record is not where its locator says");
  }
  if (u32_at(bytes_, at + 16) != 0 || u32_at(bytes_, at + 20) != 0) bad_input(where_, "zip archive of several disks");
  const Directory directory{u64_at(bytes_, at + 48), u64_at(bytes_, at + 40), u64_at(bytes_, at + 32)};
  if (directory.begin > at || directory.size_bytes != at - directory.begin)
    bad_input(where_, "zip directory is not where its end record says");
  return directory;
}

void ZipArchive::read_directory(const Directory& directory) {
  if (directory.n_entries > kMaxMembers || directory.n_entries > directory.size_bytes / kEntryBytes) {
    bad_input(where_,
              "zip directory claims " + std::to_string(directory.n_entries) + " members, more than it can hold");
  }
  std::vector<uint64_t> local_begins;
  size_t at = directory.begin;
  const size_t end = directory.begin + directory.size_bytes;
  for (uint64_t i = 0; i < directory.n_entries; ++i) at = read_entry(at, directory, local_begins);
  if (at != end) bad_input(where_, "zip directory has bytes left over");
  check_overlaps(local_begins);
}

size_t ZipArchive::read_entry(size_t at, const Directory& directory, std::vector<uint64_t>& local_begins) {
  const size_t end = directory.begin + directory.size_bytes;
  if (end - at < kEntryBytes || u32_at(bytes_, at) != kEntrySignature) bad_input(where_, "zip directory is damaged");
  const size_t n_name = u16_at(bytes_, at + 28), n_extra = u16_at(bytes_, at + 30), n_comment = u16_at(bytes_, at + 32);
  if (n_name + n_extra + n_comment > end - at - kEntryBytes) bad_input(where_, "zip directory is damaged");
  ZipMember member;
  member.name.assign(reinterpret_cast<const char*>(bytes_.data()) + at + kEntryBytes, n_name);
  const auto refuse = [&](const char* why) { bad_input(where_, "zip member " + quote_name(member.name) + " " + why); };
  if (n_name == 0 || n_name > kMaxNameBytes || member.name.find('\0') != std::string::npos)
    refuse("has a malformed name");
  if ((u16_at(bytes_, at + 8) & kEncrypted) != 0) refuse("is encrypted");
  const uint16_t method = u16_at(bytes_, at + 10);
  if (method != kStored && method != kDeflated) refuse("is packed by a method other than deflate");
  if (const uint16_t disk = u16_at(bytes_, at + 34); disk != 0 && disk != kUse64Short) refuse("is on another disk");
  Zip64Fields fields{u32_at(bytes_, at + 24), u32_at(bytes_, at + 20), u32_at(bytes_, at + 42)};
  if (!read_zip64_extra(bytes_.subspan(at + kEntryBytes + n_name, n_extra), fields))
    refuse("has a malformed extra field");

  member.deflated = method == kDeflated;
  member.crc32 = u32_at(bytes_, at + 16);
  const uint64_t limit =
      fields.packed_bytes > std::numeric_limits<uint64_t>::max() / kMaxRatio ? 0 : fields.packed_bytes * kMaxRatio;
  if (!member.deflated && fields.size_bytes != fields.packed_bytes) refuse("is stored, but with two different sizes");
  if (member.deflated && fields.size_bytes > std::max(limit, kRatioFloorBytes))
    refuse("claims to unpack to more than 100 times its size");
  read_local_header(member, fields.local_begin, fields.packed_bytes, directory.begin);
  member.size_bytes = static_cast<int64_t>(fields.size_bytes);
  local_begins.push_back(fields.local_begin);
  members_.push_back(std::move(member));
  return at + kEntryBytes + n_name + n_extra + n_comment;
}

void ZipArchive::read_local_header(ZipMember& member, uint64_t at, uint64_t packed_bytes, uint64_t end) const {
  const auto refuse = [&](const char* why) { bad_input(where_, "zip member " + quote_name(member.name) + " " + why); };
  if (at > end || end - at < kLocalBytes || u32_at(bytes_, at) != kLocalSignature)
    refuse("is not where the directory says");
  const size_t n_name = u16_at(bytes_, at + 26), n_extra = u16_at(bytes_, at + 28);
  const uint64_t n_left = end - at - kLocalBytes;
  if (n_name + n_extra > n_left || packed_bytes > n_left - n_name - n_extra) refuse("reaches past the end");
  const std::string_view name(reinterpret_cast<const char*>(bytes_.data()) + at + kLocalBytes, n_name);
  const bool deflated = u16_at(bytes_, at + 8) == kDeflated;
  if (name != member.name || deflated != member.deflated) refuse("has a local header that contradicts the directory");
  member.packed = bytes_.subspan(at + kLocalBytes + n_name + n_extra, packed_bytes);
}

void ZipArchive::check_overlaps(const std::vector<uint64_t>& local_begins) const {
  std::vector<size_t> order(members_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return local_begins[a] < local_begins[b]; });
  uint64_t free_from = 0;
  for (const size_t i : order) {
    if (local_begins[i] < free_from)
      bad_input(where_, "zip member " + quote_name(members_[i].name) + " overlaps another");
    free_from = static_cast<uint64_t>(members_[i].packed.data() - bytes_.data()) + members_[i].packed.size();
  }
}

std::span<const std::byte> ZipArchive::read(const ZipMember& member, int64_t limit_bytes,
                                            std::vector<std::byte>& storage) const {
  if (member.size_bytes > limit_bytes) {
    bad_input(where_, "zip member " + quote_name(member.name) + " is over the limit of " + std::to_string(limit_bytes) +
                          " bytes");
  }
  if (!member.deflated) return member.packed;
  storage.resize(static_cast<size_t>(member.size_bytes));
  inflate(member, storage.data());
  return storage;
}

void ZipArchive::inflate(const ZipMember& member, std::byte* out) const {
  constexpr size_t kChunk = size_t{1} << 30;
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) failed(where_, "zlib could not start");
  size_t n_in = member.packed.size(), n_out = static_cast<size_t>(member.size_bytes);
  std::byte no_room{};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(member.packed.data()));
  stream.next_out = reinterpret_cast<Bytef*>(n_out > 0 ? out : &no_room);
  int status = Z_OK;
  while (status == Z_OK) {
    const uInt offered_in = static_cast<uInt>(std::min(n_in, kChunk)),
               offered_out = static_cast<uInt>(std::min(n_out, kChunk));
    stream.avail_in = offered_in;
    stream.avail_out = offered_out;
    status = ::inflate(&stream, Z_NO_FLUSH);
    n_in -= offered_in - stream.avail_in;
    n_out -= offered_out - stream.avail_out;
  }
  inflateEnd(&stream);
  if (status != Z_STREAM_END || n_in != 0 || n_out != 0) {
    bad_input(where_, "zip member " + quote_name(member.name) + " does not unpack to its declared size");
  }
  const uLong sum =
      crc32_z(crc32_z(0, nullptr, 0), reinterpret_cast<const Bytef*>(out), static_cast<size_t>(member.size_bytes));
  if (sum != member.crc32) bad_input(where_, "zip member " + quote_name(member.name) + " fails its checksum");
}

}  // namespace fettle
