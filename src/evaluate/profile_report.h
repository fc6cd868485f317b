// Profiles for people: the table of ops, the comparison of two paths, and what was fused and which kernels run, and
// why.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "evaluate/profile.h"

namespace fettle {

enum class ProfileGroup { kOp, kNode };

// One row: an op of one encoding, a node, or one of the steps around them. Times and work are those of one run.
struct ProfileRow {
  std::string name;
  int64_t calls = 0;
  double self_ms = 0;   // without the rows inside
  double total_ms = 0;  // with them
  double flops = 0;
  double bytes = 0;
  double weight_bytes = 0;
  double least_ms = 0;
  double by_memory_ms = 0;  // the part of least_ms that reading weights is the limit of
};

// "answer" (everything; its own time is what lies between the ops), "tokenize", then the ops by falling time; nodes in
// the order in which they run.
std::vector<ProfileRow> profile_rows(const PathProfile& path, ProfileGroup group);

// The table of one path, with its total and what the times mean below; lines of at most `columns` (80 or more) by
// leaving out columns.
std::string format_profile(const PathProfile& path, ProfileGroup group, const Roofline& limits, int columns);
// Op by op, both paths side by side, with the ratio.
std::string format_comparison(const PathProfile& slow, const PathProfile& fast, int columns);
// One or two sentences: what takes the time and how near to the machine's limit it is.
std::string dominant_part(const PathProfile& path, const Roofline& limits);
// Every fusion and kernel, used or refused, and why.
std::string explain(const PathProfile& path, int columns);

Json profile_json(const PathProfile& path);  // {fast_path, padded, total_ms, …, ops[], nodes[]}
Json fusions_json(const PathProfile& path);  // [{fusion, node, used, reason}]
Json kernels_json(const PathProfile& path);  // [{op, node, kernel, reason}]

}  // namespace fettle
