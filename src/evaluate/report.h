// Results for people: the terminal table and the self-contained report.html.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace fettle {

// One line of a results table. Negative numbers of the optional ones mean "not measured".
struct ReportRow {
  std::string name;
  std::string note;    // the recipe, below the name in the report
  std::string remark;  // where the technique did not help (remark.h)
  double size_mb = 0;
  double mean_ms = 0;
  double std_ms = 0;
  double p50_ms = 0;
  double p90_ms = 0;
  double p99_ms = 0;
  double tokenize_us = 0;
  double samples_per_s = 0;
  double accuracy = -1;
  double in_scope_accuracy = -1;
  double oos_recall = -1;
  double p_value = -1;             // McNemar against the first row
  double accuracy_difference = 0;  // to the first row
  double ci95_low = 0;
  double ci95_high = 0;
  double speedup = 1;  // first row's median / this one's
  double shrink = 1;
  bool best = false;
  bool on_front = false;
};

struct Curve {  // one training run, for the loss and accuracy plots; negative values are left out
  std::string name;
  std::vector<double> epochs;
  std::vector<double> loss;
  std::vector<double> accuracy;
};

struct Report {
  std::string title;
  std::string summary;                                     // one or two sentences
  std::vector<std::pair<std::string, std::string>> facts;  // machine, data, command, seed, version
  std::vector<ReportRow> rows;
  std::vector<Curve> curves;
  std::string accuracy_title = "Accuracy on validation data";  // of the second plot of the curves
};

// Aligned columns that fit 110 characters; the best row is marked; remarks stand below. `color` only for a terminal.
std::string format_table(const std::vector<ReportRow>& rows, bool color);
// Bubble plot: latency (x, logarithmic when it spans more than a factor 20) × accuracy (y), area = size, dashed ring on
// the best.
std::string bubble_plot_svg(const std::vector<ReportRow>& rows);
// Self-contained HTML (no outside resources), light and dark, prints well on A4.
std::string report_html(const Report& report);

// The same page for other contents: everything up to the summary, with more rules of style; and the facts to the end.
std::string report_head(const std::string& title, const std::string& summary, std::string_view more_style = "");
std::string report_foot(const std::vector<std::pair<std::string, std::string>>& facts,
                        const std::string& title = "How it was measured");

}  // namespace fettle
