#include "base/progress.h"

#include <atomic>
#include <mutex>
#include <utility>

#include "base/clock.h"
#include "base/progress_line.h"
#include "base/terminal.h"

namespace fettle {
namespace {

constexpr double kFirstShownSeconds = 2;
constexpr double kBarSeconds = 0.1;
constexpr double kLineSeconds = 10;

std::atomic<ProgressStyle> chosen_style{ProgressStyle::kAuto};

ProgressStyle resolve_style() {
  const ProgressStyle style = chosen_style.load();
  if (style != ProgressStyle::kAuto) return style;
  return stderr_is_terminal() ? ProgressStyle::kBar : ProgressStyle::kLines;
}

}  // namespace

struct Progress::State {
  std::string title;
  int64_t total = 0;
  std::string unit;
  ProgressStyle style = ProgressStyle::kNone;
  bool utf8 = false;
  Stopwatch watch;
  std::atomic<int64_t> done{0};
  std::atomic<double> next_draw_seconds{kFirstShownSeconds};

  std::mutex mutex;  // guards what follows, and drawing
  std::string note;
  bool drawn = false;
  bool finished = false;

  double interval() const { return style == ProgressStyle::kBar ? kBarSeconds : kLineSeconds; }

  ProgressView view() const {
    return {title, unit, note, done.load(std::memory_order_relaxed), total, watch.seconds()};
  }

  void draw(bool last) {
    TerminalLine line;
    if (style == ProgressStyle::kLines) {
      line.write(progress_line(view()) + "\n");
    } else if (last) {
      line.write(progress_bar_line(view(), terminal_columns(), utf8) + "\n");
    } else {
      line.write_bar(progress_bar_line(view(), terminal_columns(), utf8));
    }
    drawn = true;
  }

  void maybe_draw() {
    if (style == ProgressStyle::kNone) return;
    const double now = watch.seconds();
    if (now < next_draw_seconds.load(std::memory_order_relaxed)) return;
    const std::unique_lock lock(mutex, std::try_to_lock);
    if (!lock.owns_lock() || finished || now < next_draw_seconds.load(std::memory_order_relaxed)) return;
    draw(false);
    next_draw_seconds.store(now + interval(), std::memory_order_relaxed);
  }
};

void set_progress_style(ProgressStyle style) {
  chosen_style.store(style);
}

Progress::Progress(std::string title, int64_t total, std::string unit) : state_(std::make_unique<State>()) {
  state_->title = std::move(title);
  state_->total = total;
  state_->unit = std::move(unit);
  state_->style = resolve_style();
  state_->utf8 = terminal_takes_utf8();
}

Progress::~Progress() {
  finish();
}

void Progress::advance(int64_t n) {
  state_->done.fetch_add(n, std::memory_order_relaxed);
  state_->maybe_draw();
}

void Progress::set(int64_t done) {
  state_->done.store(done, std::memory_order_relaxed);
  state_->maybe_draw();
}

void Progress::note(std::string text) {
  const std::lock_guard lock(state_->mutex);
  state_->note = std::move(text);
}

void Progress::finish() {
  const std::lock_guard lock(state_->mutex);
  if (std::exchange(state_->finished, true) || state_->style == ProgressStyle::kNone) return;
  // A job that ran past the first line also gets its last one, with the final count.
  if (state_->drawn || state_->watch.seconds() >= kFirstShownSeconds) state_->draw(true);
}

}  // namespace fettle
