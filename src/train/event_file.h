// TensorBoard event files: scalars by step, which viewers show while the run is on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"

namespace fettle {

// One file, `folder`/events.out.tfevents.TIME.HOST: TFRecord frames (length, masked CRC-32C, data, masked CRC-32C)
// around protobuf messages `Event` of TensorFlow's event.proto. Only ever appended to. Written at least every second
// while scalars come, and by the destructor. When the disk fails later on, it is said once and nothing more is written:
// the run is worth more than its curves.
class EventFile {
 public:
  // A run that goes on after `steps_done` steps: viewers then drop what earlier files of the folder have of later ones.
  // Errors: kIo when the folder or the file cannot be made.
  EventFile(const std::filesystem::path& folder, int64_t steps_done);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  void add(int64_t step, std::initializer_list<std::pair<std::string_view, double>> scalars);
  void flush();
  const std::filesystem::path& path() const { return path_; }

 private:
  void append(std::string_view event);

  std::filesystem::path path_;
  int fd_ = -1;
  std::string buffer_;
  Stopwatch since_flush_;
};

// Castagnoli's CRC, as RFC 3720 (iSCSI) has it.
uint32_t crc32c(std::string_view bytes);

}  // namespace fettle
