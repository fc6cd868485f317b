// A search for people: the terminal's table of trials, and a self-contained page with plots.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "search/trial.h"

namespace fettle {

struct SearchReport {
  std::string title;
  std::string summary;                                     // one or two sentences
  std::vector<std::pair<std::string, std::string>> facts;  // machine, data, command, seed, version
  Space space;
  std::vector<Goal> goals;
  std::vector<Trial> trials;
  std::vector<size_t> front;       // indices, the best first
  std::vector<double> importance;  // one for each parameter (importance.h), or empty
};

// A line for each trial: its number, its state, its results, its parameters and its time. The best is marked ▶, what
// is on the front of several goals ●. `color` only for a terminal.
std::string format_trials(const SearchReport& report, bool color);

// History of the best, front (two goals or more), results by parameter, importance, learning curves, table.
std::string search_report_html(const SearchReport& report);

// The plots alone, as SVG; empty when there is nothing to show.
std::string history_plot_svg(const SearchReport& report);
std::string front_plot_svg(const SearchReport& report);
std::string slice_plot_svg(const SearchReport& report, size_t parameter);
std::string importance_plot_svg(const SearchReport& report);
std::string learning_plot_svg(const SearchReport& report);

}  // namespace fettle
