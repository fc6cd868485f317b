// Progress on standard error: a bar with rate and time left on a terminal, plain lines elsewhere.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace fettle {

enum class ProgressStyle { kAuto, kBar, kLines, kNone };
// Set once from the command line (--quiet gives kNone).
void set_progress_style(ProgressStyle style);

// Shows nothing before two seconds have passed. Cheap to update; draws at most ten times a second (a line every ten
// seconds).
class Progress {
 public:
  // `unit` names what is counted ("samples", "tokens", "runs").
  Progress(std::string title, int64_t total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(int64_t n = 1);
  void set(int64_t done);
  // Shown behind the bar ("loss 0.413").
  void note(std::string text);
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// "1 h 02 min", "3 min 10 s", "4.2 s"
std::string format_duration(double seconds);

}  // namespace fettle
