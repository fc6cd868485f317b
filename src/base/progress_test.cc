#include "base/progress.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <locale>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/progress_line.h"

namespace fettle {
namespace {

TEST(FormatDuration, Steps) {
  EXPECT_EQ(format_duration(0), "0.0 s");
  EXPECT_EQ(format_duration(4.2), "4.2 s");
  EXPECT_EQ(format_duration(9.949), "9.9 s");
  EXPECT_EQ(format_duration(9.96), "10 s");
  EXPECT_EQ(format_duration(59.4), "59 s");
  EXPECT_EQ(format_duration(59.6), "1 min 00 s");
  EXPECT_EQ(format_duration(190), "3 min 10 s");
  EXPECT_EQ(format_duration(3599.6), "1 h 00 min");
  EXPECT_EQ(format_duration(3720), "1 h 02 min");
  EXPECT_EQ(format_duration(100000), "27 h 47 min");
  EXPECT_EQ(format_duration(-1), "?");
  EXPECT_EQ(format_duration(std::numeric_limits<double>::infinity()), "?");
  EXPECT_EQ(format_duration(std::numeric_limits<double>::quiet_NaN()), "?");
}

TEST(GroupThousands, Groups) {
  EXPECT_EQ(group_thousands(0), "0");
  EXPECT_EQ(group_thousands(999), "999");
  EXPECT_EQ(group_thousands(1000), "1,000");
  EXPECT_EQ(group_thousands(1234567), "1,234,567");
  EXPECT_EQ(group_thousands(-999), "-999");
  EXPECT_EQ(group_thousands(-1000), "-1,000");
}

const ProgressView kView = {"training", "samples", "loss 0.41", 3120, 6000, 2.5161};

TEST(ProgressLine, LineWithoutBar) {
  EXPECT_EQ(progress_line(kView), "training   52%  3,120/6,000 samples  1,240 samples/s  2.3 s left  loss 0.41");
}

TEST(ProgressLine, Bars) {
  EXPECT_EQ(progress_bar_line(kView, 120, true),
            "training  ███████▎         52%  3,120/6,000 samples  1,240 samples/s  2.3 s left  loss 0.41");
  EXPECT_EQ(progress_bar_line(kView, 120, false),
            "training  #######.......   52%  3,120/6,000 samples  1,240 samples/s  2.3 s left  loss 0.41");
}

TEST(ProgressLine, CutToTheTerminalBetweenCharacters) {
  EXPECT_EQ(progress_bar_line(kView, 15, true), "training  ████");
  EXPECT_EQ(progress_bar_line(kView, 15, false), "training  ####");
  EXPECT_EQ(progress_bar_line(kView, 0, true), "t");
}

TEST(ProgressLine, EndsAndUnknownTotals) {
  ProgressView view = {"load", "MB", "", 10, 10, 4.0};
  EXPECT_EQ(progress_bar_line(view, 99, true), "load  ██████████████  100%  10/10 MB  2.50 MB/s  4.0 s");
  view.total = 0;
  EXPECT_EQ(progress_bar_line(view, 99, true), "load  10 MB  2.50 MB/s");
  view = {"load", "MB", "", 0, 10, 0.0};
  EXPECT_EQ(progress_line(view), "load    0%  0/10 MB");
  view = {"load", "MB", "", 999, 1000, 1.0};
  EXPECT_NE(progress_line(view).find(" 99%"), std::string::npos) << "100% means done";
  view = {"load", "MB", "", 12, 10, 1.0};
  EXPECT_NE(progress_line(view).find("100%"), std::string::npos);
}

struct GermanNumbers : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

TEST(ProgressLine, NumbersDoNotFollowTheLocale) {
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new GermanNumbers));
  EXPECT_EQ(format_duration(4.2), "4.2 s");
  EXPECT_EQ(progress_line(kView), "training   52%  3,120/6,000 samples  1,240 samples/s  2.3 s left  loss 0.41");
  std::locale::global(before);
}

class ProgressOutput : public ::testing::Test {
 protected:
  void TearDown() override { set_progress_style(ProgressStyle::kAuto); }
};

TEST_F(ProgressOutput, ShortJobsSayNothing) {
  set_progress_style(ProgressStyle::kBar);
  ::testing::internal::CaptureStderr();
  {
    Progress progress("load", 100, "files");
    for (int i = 0; i < 100; ++i) progress.advance();
    progress.finish();
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

// One bar from several threads, a log line in between, and lines without control characters where there is no terminal.
TEST_F(ProgressOutput, BarsAreWipedAndLinesArePlain) {
  set_progress_style(ProgressStyle::kBar);
  ::testing::internal::CaptureStderr();
  auto bar = std::make_unique<Progress>("bar", 40, "steps");
  set_progress_style(ProgressStyle::kAuto);
  auto lines = std::make_unique<Progress>("lines", 40, "steps");
  set_progress_style(ProgressStyle::kNone);
  auto quiet = std::make_unique<Progress>("quiet", 40, "steps");
  std::this_thread::sleep_for(std::chrono::milliseconds(2050));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) bar->advance();
    });
  }
  for (std::thread& thread : threads) thread.join();
  log_info("hello");
  bar->note("done");
  bar.reset();
  lines->set(40);
  lines.reset();
  quiet->set(40);
  quiet.reset();
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("\r\033[Khello\n"), std::string::npos) << text;
  EXPECT_NE(text.find("40/40 steps"), std::string::npos) << text;
  EXPECT_NE(text.find("  done\n"), std::string::npos) << text;
  const std::string plain = text.substr(text.find("lines"));
  EXPECT_EQ(plain.find('\033'), std::string::npos);
  EXPECT_EQ(plain.find('\r'), std::string::npos);
  EXPECT_EQ(plain.back(), '\n');
  EXPECT_EQ(text.find("quiet"), std::string::npos);
}

TEST(Log, LevelsAndPrefixes) {
  ::testing::internal::CaptureStderr();
  log_debug("hidden");
  log_info("shown {} %v");
  log_warning("careful");
  set_log_level(LogLevel::kDebug);
  log_debug("seen");
  set_log_level(LogLevel::kWarning);
  log_info("hidden");
  set_log_level(LogLevel::kOff);
  log_warning("hidden");
  set_log_level(LogLevel::kInfo);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "shown {} %v\nwarning: careful\ndebug: seen\n");
}

}  // namespace
}  // namespace fettle
