// For tests: a door to the operating system that fails on demand.
#pragma once

#include <algorithm>
#include <cerrno>

#include "base/os.h"

namespace fettle {

// Takes the place of the real system while it lives. Counters say which call of a kind fails: 0 the next, 1 the one
// after …
class FaultyOs : public Os {
 public:
  static constexpr int kNever = -1;

  FaultyOs() : former_(set_os(this)) {}
  ~FaultyOs() override { set_os(former_); }
  FaultyOs(const FaultyOs&) = delete;
  FaultyOs& operator=(const FaultyOs&) = delete;

  struct Fault {
    int after = kNever;
    int error = EIO;
    int times = 1;

    // Whether this call fails; sets errno.
    bool strikes() {
      if (after == kNever || after-- > 0) return false;
      after = --times > 0 ? 0 : kNever;
      errno = error;
      return true;
    }
  };
  Fault open_fault, write_fault, fsync_fault, close_fault, rename_fault, exchange_fault;
  size_t max_write_bytes = SIZE_MAX;  // longer writes are cut short
  int n_writes = 0;
  int n_fsyncs = 0;

  int open(const char* path, int flags, int mode) override {
    return open_fault.strikes() ? -1 : Os::open(path, flags, mode);
  }
  ssize_t write(int fd, const void* data, size_t size_bytes) override {
    ++n_writes;
    if (write_fault.strikes()) return -1;
    return Os::write(fd, data, std::min(size_bytes, max_write_bytes));
  }
  int fsync(int fd) override {
    ++n_fsyncs;
    return fsync_fault.strikes() ? -1 : Os::fsync(fd);
  }
  int close(int fd) override {
    const int result = Os::close(fd);  // as on Linux, closed even when it fails
    return close_fault.strikes() ? -1 : result;
  }
  int rename(const char* from, const char* to) override { return rename_fault.strikes() ? -1 : Os::rename(from, to); }
  int exchange(const char* a, const char* b) override { return exchange_fault.strikes() ? -1 : Os::exchange(a, b); }

 private:
  Os* former_;
};

// Without the wait for the disk, so that a test that kills writers meets every step and not only the wait.
class UnsyncedOs : public Os {
 public:
  int fsync(int) override { return 0; }
};

}  // namespace fettle
