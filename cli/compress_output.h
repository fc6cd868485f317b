// What compress and demo leave behind: the best model, report.html, the table and the JSON.
#pragma once

#include <filesystem>
#include <string>

#include "cli/app.h"
#include "compress/compress.h"
#include "evaluate/report.h"

namespace fettle::cli {

struct CompressOutput {
  std::string title;
  std::string out;   // folder: OUT itself is the best model, with report.html in it
  std::string data;  // as named by the user, for the report
  std::vector<Curve> curves;
};

// Writes the best model with report.html, or, when no candidate meets the limits, nothing but the report, to `folder`:
// output.out, or where it stands until it gets that name.
void write_compress(const CompressResult& result, const CompressOutput& output, const Globals& globals,
                    const std::filesystem::path& folder);
// Prints table or JSON. Throws kConstraints naming the nearest candidate when none meets the limits.
void print_compress(const CompressResult& result, const CompressOutput& output, const Globals& globals);

}  // namespace fettle::cli
