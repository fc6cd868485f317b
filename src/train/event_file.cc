#include "train/event_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>

#include "base/error.h"
#include "base/log.h"
#include "base/os.h"

namespace fettle {
namespace {

constexpr double kFlushSeconds = 1;
constexpr uint32_t kCastagnoli = 0x82f63b78;  // bits reversed

// Fields of Event, Summary, Summary.Value and SessionLog in TensorFlow's event.proto and summary.proto.
enum EventField { kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7 };
enum SummaryField { kValue = 1 };
enum ValueField { kTag = 1, kSimpleValue = 2 };
enum SessionLogField { kStatus = 1 };
constexpr uint64_t kSessionStart = 1;

enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1) * kCastagnoli;
    table[i] = crc;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kCrcTable = make_crc_table();

// As TFRecord stores it: a CRC of bytes that hold their own CRC would be a weak one.
uint32_t masked_crc(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8;
}

template <typename T>
void put_little_endian(T number, std::string& out) {
  for (size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>(number >> 8 * i & 0xff);
}

void put_varint(uint64_t number, std::string& out) {
  for (; number >= 0x80; number >>= 7) out += static_cast<char>(number | 0x80);
  out += static_cast<char>(number);
}

void put_key(int field, WireType type, std::string& out) {
  put_varint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(type), out);
}

void put_bytes(int field, std::string_view bytes, std::string& out) {
  put_key(field, kBytes, out);
  put_varint(bytes.size(), out);
  out += bytes;
}

// An Event with its time and step; the step 0 is the default of the format and left out.
std::string begin_event(int64_t step) {
  const auto now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch());
  std::string event;
  put_key(kWallTime, kFixed64, event);
  put_little_endian(std::bit_cast<uint64_t>(now.count()), event);
  if (step == 0) return event;
  put_key(kStep, kVarint, event);
  put_varint(static_cast<uint64_t>(step), event);
  return event;
}

std::string scalar_value(std::string_view tag, double number) {
  std::string value;
  put_bytes(kTag, tag, value);
  put_key(kSimpleValue, kFixed32, value);
  put_little_endian(std::bit_cast<uint32_t>(static_cast<float>(number)), value);
  return value;
}

std::string host_name() {
  char name[256] = "";
  if (::gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0') return "localhost";
  return name;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~uint32_t{0};
  for (const char byte : bytes) crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<uint8_t>(byte)) & 0xff];
  return ~crc;
}

EventFile::EventFile(const std::filesystem::path& folder, int64_t steps_done) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) io_error(folder.string(), "cannot make the folder for event files: " + error.message());
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  const std::string name = fmt::format("events.out.tfevents.{:010}.{}", seconds, host_name());
  for (int64_t n = 0; fd_ < 0; ++n) {
    path_ = folder / (n == 0 ? name : fmt::format("{}.{}", name, n));
    fd_ = os().open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    if (fd_ < 0 && errno != EEXIST) io_error_from(path_.string(), "cannot make the file", errno);
  }
  std::string event = begin_event(0);
  put_bytes(kFileVersion, "brain.Event:2", event);
  append(event);
  if (steps_done > 0) {
    std::string log;
    put_key(kStatus, kVarint, log);
    put_varint(kSessionStart, log);
    event = begin_event(steps_done + 1);
    put_bytes(kSessionLog, log, event);
    append(event);
  }
  flush();
}

EventFile::~EventFile() {
  flush();
  if (fd_ >= 0) os().close(fd_);
}

void EventFile::append(std::string_view event) {
  std::string length;
  put_little_endian(static_cast<uint64_t>(event.size()), length);
  buffer_ += length;
  put_little_endian(masked_crc(length), buffer_);
  buffer_ += event;
  put_little_endian(masked_crc(event), buffer_);
}

void EventFile::add(int64_t step, std::initializer_list<std::pair<std::string_view, double>> scalars) {
  if (fd_ < 0) return;
  std::string summary;
  for (const auto& [tag, number] : scalars) put_bytes(kValue, scalar_value(tag, number), summary);
  std::string event = begin_event(step);
  put_bytes(kSummary, summary, event);
  append(event);
  if (since_flush_.seconds() >= kFlushSeconds) flush();
}

void EventFile::flush() {
  since_flush_.restart();
  for (size_t written = 0; fd_ >= 0 && written < buffer_.size();) {
    const ssize_t n = os().write(fd_, buffer_.data() + written, buffer_.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      log_warning(fmt::format("{}: cannot write: {}; the run goes on without it", path_.string(),
                              std::generic_category().message(errno)));
      os().close(fd_);
      fd_ = -1;
      break;
    }
    written += static_cast<size_t>(n);
  }
  buffer_.clear();
}

}  // namespace fettle
