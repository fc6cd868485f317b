#include "search/search_report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace fettle {
namespace {

SearchReport make_report() {
  SearchReport report;
  report.title = "Search <of> a student";
  report.summary = "The best.";
  report.facts = {{"seed", "1"}};
  Parameter rate;
  rate.name = "learning_rate";
  rate.low = 1e-5;
  rate.high = 1e-3;
  rate.logarithmic = true;
  Parameter rule;
  rule.name = "student";
  rule.kind = ParameterKind::kCategorical;
  rule.choices = {"layers=0", "<b>"};
  report.space = {{rate, rule}};
  report.goals = {{"accuracy", true}};
  for (int64_t i = 0; i < 4; ++i) {
    Trial trial;
    trial.number = i;
    trial.parameters = {1e-4 * static_cast<double>(i + 1), static_cast<double>(i % 2)};
    trial.intermediates = {{1, 0.5}, {2, 0.6}};
    trial.state = i == 2 ? TrialState::kPruned : i == 3 ? TrialState::kFailed : TrialState::kComplete;
    if (trial.state == TrialState::kComplete) trial.values = {0.9 + 0.01 * static_cast<double>(i)};
    if (i == 3) trial.detail = "the loss is not finite & so on";
    report.trials.push_back(trial);
  }
  report.front = pareto_front(report.trials, report.goals);
  report.importance = {0.75, 0.2};
  return report;
}

TEST(SearchReport, TableMarksTheBestAndKeepsColumnsApart) {
  const std::string table = format_trials(make_report(), false);
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 6);
  const size_t best = table.find("▶");
  ASSERT_NE(best, std::string::npos);
  EXPECT_NE(table.substr(best, 60).find("0.91"), std::string::npos) << table;
  EXPECT_NE(table.find("(0.6)"), std::string::npos) << "how far the pruned one got";
  EXPECT_EQ(table.find("\033"), std::string::npos);
}

TEST(SearchReport, PageHasThePlotsAndEscapesNames) {
  const std::string html = search_report_html(make_report());
  for (const char* part : {"Results by trial", "Results by parameter", "Importance", "Learning curves", "75 %",
                           "Search &lt;of&gt; a student", "&lt;b&gt;", "not finite &amp; so on"}) {
    EXPECT_NE(html.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(html.find("<b>"), std::string::npos);
  EXPECT_EQ(html.find("nan"), std::string::npos);
  EXPECT_EQ(html.find("inf\""), std::string::npos);
}

TEST(SearchReport, ShowsNothingWhereThereIsNothing) {
  SearchReport report = make_report();
  report.trials.clear();
  report.front.clear();
  report.importance.clear();
  EXPECT_EQ(history_plot_svg(report), "");
  EXPECT_EQ(front_plot_svg(report), "");
  EXPECT_EQ(slice_plot_svg(report, 0), "");
  EXPECT_EQ(importance_plot_svg(report), "");
  EXPECT_EQ(learning_plot_svg(report), "");
  EXPECT_NE(search_report_html(report).find("Trials"), std::string::npos);
}

TEST(SearchReport, FrontOfTwoGoals) {
  SearchReport report = make_report();
  report.goals.push_back({"size_mb", false});
  for (Trial& trial : report.trials) {
    if (trial.state == TrialState::kComplete) trial.values.push_back(10 + static_cast<double>(trial.number));
  }
  report.front = pareto_front(report.trials, report.goals);
  EXPECT_EQ(report.front.size(), 2u);
  EXPECT_NE(front_plot_svg(report).find("size_mb"), std::string::npos);
  EXPECT_NE(format_trials(report, false).find("●"), std::string::npos);
}

}  // namespace
}  // namespace fettle
