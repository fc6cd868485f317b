// What people see: table, plot and page.
#include "evaluate/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <sstream>

#include "evaluate/benchmark.h"
#include "evaluate/svg.h"

namespace fettle {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<ReportRow> rows() {
  ReportRow base{.name = "baseline", .note = "as given", .size_mb = 418.2, .mean_ms = 118.3, .std_ms = 2.5};
  base.p50_ms = 118;
  base.accuracy = 0.867;
  ReportRow small{.name = "layers=0,2 hidden=128 and a name that is far too long, int8", .size_mb = 3.7};
  small.mean_ms = small.p50_ms = 0.35;
  small.std_ms = 0.02;
  small.accuracy = 0.861;
  small.p_value = 0.0004;
  small.speedup = 337;
  small.shrink = 9.94;
  small.best = true;
  ReportRow odd{.name = "<script>alert('&\"')</script>", .size_mb = 1, .mean_ms = 1};
  odd.p50_ms = 1;
  odd.p_value = 0.25;
  return {base, small, odd};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

size_t columns(const std::string& line) {
  return static_cast<size_t>(std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

TEST(Table, AlignsAndFits) {
  const std::vector<std::string> lines = lines_of(format_table(rows(), false));
  ASSERT_EQ(lines.size(), 5u);
  for (const std::string& line : lines) EXPECT_LE(columns(line), 110u) << line;
  EXPECT_EQ(columns(lines[0]), columns(lines[2]));
  EXPECT_EQ(columns(lines[2]), columns(lines[3]));
  EXPECT_THAT(lines[3], HasSubstr("▶ "));
  EXPECT_THAT(lines[3], HasSubstr("…"));
  EXPECT_THAT(lines[3], HasSubstr("<0.001"));
  EXPECT_THAT(lines[3], HasSubstr("337×"));
  EXPECT_THAT(lines[3], HasSubstr("9.9×"));
  EXPECT_THAT(lines[2], HasSubstr("–")) << "what was not measured";
  EXPECT_THAT(format_table(rows(), false), Not(HasSubstr("\033")));
  EXPECT_THAT(format_table(rows(), true), HasSubstr("\033[1m"));
}

// Opening and closing tags pair up; what never closes is listed.
void expect_balanced(const std::string& markup) {
  std::vector<std::string> open;
  const std::regex tag(R"(<(/?)([a-zA-Z][a-zA-Z0-9]*)([^>]*?)(/?)>)");
  for (std::sregex_iterator it(markup.begin(), markup.end(), tag); it != std::sregex_iterator(); ++it) {
    const std::string name = (*it)[2];
    if ((*it)[4] == "/" || name == "meta" || name == "br" || name == "link") continue;
    if ((*it)[1] == "") {
      open.push_back(name);
    } else {
      ASSERT_FALSE(open.empty()) << name;
      ASSERT_EQ(open.back(), name);
      open.pop_back();
    }
  }
  EXPECT_THAT(open, ElementsAre());
}

TEST(BubblePlot, OneBubbleARow) {
  const std::string svg = bubble_plot_svg(rows());
  expect_balanced(svg);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("<script>")));
  size_t circles = 0;
  for (size_t at = 0; (at = svg.find("<circle", at)) != std::string::npos; ++at) ++circles;
  EXPECT_GE(circles, 2u) << "the rows with an accuracy";
}

TEST(BubblePlot, NothingToPlot) {
  expect_balanced(bubble_plot_svg({}));
  EXPECT_THAT(bubble_plot_svg({rows()[2]}), Not(HasSubstr("nan")));
}

TEST(ReportPage, SelfContainedAndEscaped) {
  Report report;
  report.title = "A <b>title</b>";
  report.summary = "x < y & z";
  report.facts = {{"machine", "two <cores>"}};
  report.rows = rows();
  report.curves = {{"teacher", {1, 2, 3}, {3.0, 2.0, 1.5}, {0.1, 0.5, 0.8}}};
  const std::string page = report_html(report);
  expect_balanced(page.substr(page.find("<html")));
  EXPECT_THAT(page, HasSubstr("x &lt; y &amp; z"));
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(page, Not(HasSubstr("<cores>")));
  EXPECT_FALSE(std::regex_search(page, std::regex(R"((src|href)\s*=\s*["']?https?:)"))) << "outside resources";
  EXPECT_THAT(page, HasSubstr("@media print"));
  EXPECT_THAT(page, HasSubstr("prefers-color-scheme"));
}

TEST(ReportPage, OfATrainingRunAlone) {
  Report report;
  report.title = "run";
  report.curves.push_back({.name = "training", .epochs = {0.5, 1, 1}, .loss = {2, 1, -1}, .accuracy = {-1, -1, 0.5}});
  report.accuracy_title = "Accuracy & more";
  const std::string html = report_html(report);
  const size_t body = html.find("<body>");
  expect_balanced(html.substr(body, html.find("</html>") - body));
  EXPECT_THAT(html, HasSubstr("<h2>Accuracy &amp; more</h2>"));
  EXPECT_THAT(html, Not(HasSubstr("McNemar")));
  EXPECT_THAT(html, Not(HasSubstr("Latency")));
  // Two losses and one accuracy, not the absent ones.
  const std::regex points("points=\"([^\"]*)\"");
  std::vector<int64_t> counts;
  for (std::sregex_iterator it(html.begin(), html.end(), points); it != std::sregex_iterator(); ++it) {
    const std::string list = (*it)[1];
    counts.push_back(std::count(list.begin(), list.end(), ','));
  }
  EXPECT_THAT(counts, ElementsAre(2, 1));
}

TEST(Axis, LinearAndLogarithmic) {
  const Axis linear(0, 10, 100, 200, false);
  EXPECT_DOUBLE_EQ(linear(5), 150);
  const Axis logarithmic(1, 100, 0, 200, true);
  EXPECT_NEAR(logarithmic(10), 100, 1e-9);
  for (double tick : linear.ticks(5)) {
    EXPECT_GE(tick, 0);
    EXPECT_LE(tick, 10);
  }
  EXPECT_EQ(tick_label(0.25), "0.25");
  EXPECT_EQ(tick_label(20), "20");
  EXPECT_EQ(tick_label(1), "1");
}

TEST(Latency, MeanPopulationDeviationAndPercentiles) {
  std::vector<double> times;
  for (int i = 100; i >= 1; --i) times.push_back(i);
  const LatencyStats stats = summarize_latency(times);
  EXPECT_DOUBLE_EQ(stats.mean_ms, 50.5);
  EXPECT_NEAR(stats.std_ms, 28.86607004772212, 1e-12);  // sqrt((100² - 1) / 12)
  EXPECT_NEAR(stats.p50_ms, 50.5, 0.5);
  EXPECT_NEAR(stats.p90_ms, 90, 1);
  EXPECT_NEAR(stats.p99_ms, 99, 1);
  EXPECT_EQ(summarize_latency({3.5}).p99_ms, 3.5);
  EXPECT_EQ(summarize_latency({3.5}).std_ms, 0);
}

}  // namespace
}  // namespace fettle
