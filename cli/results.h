// Benchmark results as table rows and JSON, for the verbs that print them.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "cli/app.h"
#include "compress/compress.h"
#include "evaluate/benchmark.h"
#include "evaluate/report.h"

namespace fettle::cli {

ReportRow to_row(const BenchmarkResult& result);
ReportRow to_row(const CompressCandidate& candidate);
// Adds comparisons with rows[0] (speed, size, paired test) where results have predictions.
std::vector<ReportRow> compared_rows(const std::vector<BenchmarkResult>& results, const Dataset* data);
Json to_json(const BenchmarkResult& result);
Json to_json(const PairedTest& test);
// Version, machine, threads, kernels, seed, command line.
std::vector<std::pair<std::string, std::string>> environment_facts(const Globals& globals);
void print_table(const std::vector<ReportRow>& rows);

}  // namespace fettle::cli
