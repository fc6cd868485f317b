// Who works on a trial: a process, told apart from a later one with the same number.
#pragma once

#include <cstdint>
#include <string>

namespace fettle {

struct Worker {
  std::string host;  // name, boot and process namespace, so that process numbers mean the same
  int64_t pid = 0;
  int64_t started = 0;  // clock ticks since boot
  int64_t serial = 0;   // tells workers of one process apart

  bool operator==(const Worker&) const = default;
};

// A worker of this process; `serial` is the caller's, unique in the study.
Worker this_worker(int64_t serial);

// kUnknown: it runs elsewhere, where its process cannot be looked at.
enum class Liveness : uint8_t { kAlive, kDead, kUnknown };
Liveness liveness(const Worker& worker, const Worker& me);

}  // namespace fettle
