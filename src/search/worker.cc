#include "search/worker.h"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace fettle {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream stream(path);
  std::string line;
  std::getline(stream, line);
  return line;
}

struct Process {
  char state = 0;
  int64_t started = -1;
};

// proc(5): "PID (NAME) STATE …", the start time is the 22nd field. The name may hold anything.
Process look_at(int64_t pid) {
  std::ifstream stream("/proc/" + std::to_string(pid) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  const size_t end = text.rfind(')');
  Process process;
  if (end == std::string::npos) return process;
  std::istringstream fields(text.substr(end + 1));
  std::string field;
  for (int i = 3; i <= 22 && fields >> field; ++i) {
    if (i == 3) process.state = field[0];
    if (i == 22) process.started = std::atoll(field.c_str());
  }
  return process;
}

std::string this_host() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  std::error_code ignored;
  return std::string(name.data()) + "/" + first_line("/proc/sys/kernel/random/boot_id") + "/" +
         std::filesystem::read_symlink("/proc/self/ns/pid", ignored).string();
}

}  // namespace

Worker this_worker(int64_t serial) {
  Worker worker;
  worker.host = this_host();
  worker.pid = getpid();
  worker.started = look_at(worker.pid).started;
  worker.serial = serial;
  return worker;
}

Liveness liveness(const Worker& worker, const Worker& me) {
  if (worker.host != me.host || me.started < 0) return Liveness::kUnknown;
  const Process process = look_at(worker.pid);
  const bool is_gone = process.started != worker.started || process.state == 'Z' || process.state == 'X';
  return is_gone ? Liveness::kDead : Liveness::kAlive;
}

}  // namespace fettle
