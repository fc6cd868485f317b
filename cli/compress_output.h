// What compress and demo leave behind: the best model, report.html, the table and the JSON.
#pragma once

#include <string>

#include "cli/app.h"
#include "compress/compress.h"
#include "evaluate/report.h"

namespace fettle::cli {

struct CompressOutput {
  std::string title;
  std::string out;      // folder: OUT itself is the best model, with report.html in it
  std::string data;     // as named by the user, for the report
  std::string command;  // that made it
  std::vector<Curve> curves;
};

// Writes the best model (or, when no candidate meets the limits, nothing but the report) and prints table or JSON.
// Throws kConstraints naming the nearest candidate when none meets the limits.
void finish_compress(const CompressResult& result, const CompressOutput& output, const Globals& globals);

}  // namespace fettle::cli
