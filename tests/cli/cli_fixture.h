// Running the program as a user does: exit codes, what it prints, signals, limits.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/json.h"

namespace fettle::test {

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
  Json json() const { return parse_json(out, "stdout"); }
};

// A program that runs beside the test; its standard error goes to a file.
class Process {
 public:
  Process(const std::vector<std::string>& args, const std::filesystem::path& err) : err_(err) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    std::vector<char*> argv;
    for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
    argv.push_back(nullptr);
    const int err_fd = ::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[0], STDIN_FILENO);
      ::dup2(err_fd, STDERR_FILENO);
      ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(err_fd);
    ::close(ends[0]);
    stdin_ = ends[1];
  }
  ~Process() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(stdin_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // False when that has not come about after a minute, or the program has ended.
  bool wait_until(const std::function<bool()>& reached) const {
    for (int i = 0; i < 30000; ++i) {
      if (reached()) return true;
      siginfo_t info{};
      ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
      if (info.si_pid != 0) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }
  bool wait_for_line(const std::string& text) const {
    return wait_until([&] { return err().find(text) != std::string::npos; });
  }
  void interrupt() const { ::kill(pid_, SIGINT); }
  // The exit code, or -1 when a signal ended it.
  int wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string err() const { return read_file(err_); }
  // "S" while it sleeps, as in a read that waits.
  std::string state() const { return proc("stat", ") ", 1); }
  int64_t resident_kb() const { return std::atoll(proc("status", "VmRSS:", 16).c_str()); }

 private:
  std::string proc(const std::string& file, const std::string& before, size_t size) const {
    std::ifstream stream("/proc/" + std::to_string(pid_) + "/" + file);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    const size_t place = text.find(before);
    return place == std::string::npos ? "" : text.substr(place + before.size(), size);
  }

  std::filesystem::path err_;
  pid_t pid_ = -1;
  int stdin_ = -1;
};

class CliFixture : public ::testing::Test {
 protected:
  // The program and its arguments, cut at spaces: for a Process.
  static std::vector<std::string> words(const std::string& line) {
    std::vector<std::string> list{FETTLE_PROGRAM};
    for (size_t begin = 0; begin < line.size();) {
      const size_t end = std::min(line.find(' ', begin), line.size());
      if (end > begin) list.push_back(line.substr(begin, end - begin));
      begin = end + 1;
    }
    return list;
  }

  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "fettle-cli-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    ::setenv("XDG_CACHE_HOME", (folder_ / kCache).c_str(), 1);
    write_file(
        folder_ / "train.jsonl",
        "{\"text\":\"turn on the light\",\"label\":\"light\"}\n{\"text\":\"lamp on please\",\"label\":\"light\"}\n"
        "{\"text\":\"play some music\",\"label\":\"music\"}\n{\"text\":\"put on a song\",\"label\":\"music\"}\n");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  // `before` is shell text in front of the program: "ulimit -f 100;", "FETTLE_SEED=3".
  Outcome run(const std::string& arguments, const std::string& before = "") const {
    const std::string err_file = path("stderr.txt");
    const std::string command = "(" + before + " " + FETTLE_PROGRAM + " " + arguments + ") 2> " + err_file;
    Outcome outcome;
    FILE* pipe = popen(command.c_str(), "r");
    std::array<char, 4096> buffer;
    for (size_t n = 0; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) outcome.out.append(buffer.data(), n);
    outcome.code = WEXITSTATUS(pclose(pipe));
    outcome.err = read_file(err_file);
    return outcome;
  }

  // An error is one line that begins with the program's name.
  static void expect_error(const Outcome& outcome, int code, const std::string& part = "") {
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_EQ(outcome.err.rfind("fettle: ", 0), 0u) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
  }

  // A model that takes no time: one layer of width 32, nothing learned.
  std::string tiny_config() const {
    Json config = read_json(FETTLE_ENCODER "/config.json");
    config["hidden_size"] = 32;
    config["num_hidden_layers"] = 1;
    config["num_attention_heads"] = 2;
    config["intermediate_size"] = 64;
    write_json(folder_ / "tiny.json", config);
    return path("tiny.json");
  }
  std::string tiny_training(const std::string& more) const {
    return "train --init " + tiny_config() + " --tokenizer " FETTLE_ENCODER " --data " + path("train.jsonl") +
           " --batch-size 4 --learning-rate 1e-3 --threads 1 " + more;
  }
  std::string tiny_model(const std::string& name) const {
    const Outcome outcome = run(tiny_training("--max-steps 2 --quiet --out " + path(name)));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return path(name);
  }

  // What stands in the test's folder, hidden files included, but for what every test puts there.
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      const std::string name = entry.path().filename().string();
      const auto always = {"train.jsonl", "stderr.txt", "tiny.json", kCache};
      if (std::ranges::find(always, name) == always.end()) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  static constexpr const char* kCache = ".cache";  // the user's, for the program
  std::filesystem::path folder_;
};

}  // namespace fettle::test
