// The main job: a baseline, students distilled from it, quantized, all measured side by side, and the best one chosen.
#pragma once

#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "evaluate/benchmark.h"
#include "model/model.h"
#include "train/trainer.h"

namespace fettle {

struct CompressOptions {
  double max_ms = 0;  // 0: no limit; on the median latency
  double max_mb = 0;
  double max_drop = 1;                                      // percentage points of accuracy below the baseline
  std::vector<std::string> students;                        // rules (trainer.h); empty: chosen from the teacher's shape
  TrainOptions train;                                       // distillation of every student
  std::vector<std::shared_ptr<const Model>> more_teachers;  // their logits are averaged with the model's
  DistillOptions distillation;                              // what they learn from the teachers
  Dataset unlabelled;                                       // extra texts that only the teachers label; may be empty
  // Share of out-of-scope queries to expect, for every threshold (evaluate/metrics.h); NaN: that of the eval data.
  double oos_share = std::numeric_limits<double>::quiet_NaN();
  bool quantize_embeddings = true;
  BenchmarkOptions benchmark;
  double budget_s = 0;                // no new student is begun after so many seconds; 0: no limit
  std::filesystem::path work_folder;  // students are kept here, so that an interrupted job resumes; empty: none
};

struct CompressCandidate {
  std::string name;    // "student layers=0,3 hidden=128, int8"
  std::string recipe;  // the steps as a user would type them
  std::shared_ptr<const Model> model;
  BenchmarkResult measured;
  PairedTest against_baseline;
  double latency_ratio = 1;  // baseline's median / this one's
  double size_ratio = 1;
  std::string remark;  // where it did not help (evaluate/remark.h)
  bool meets_limits = false;
  bool on_front = false;  // not dominated in size, latency and accuracy
};

struct CompressResult {
  std::vector<CompressCandidate> candidates;  // [0] is the baseline, run op by op in f32; [1] the same on the fast path
  int64_t best = -1;                          // index; -1 when none meets the limits
  int64_t nearest = -1;                       // then the candidate that misses them least
  std::vector<std::string> skipped;           // rules that the budget left no time for
};

// The best is the fastest candidate that meets the limits and whose accuracy is not significantly below the baseline's,
// or else the fastest that meets them. `eval` is used for every choice made on the way (early stopping, thresholds);
// `test` only for the measurements.
CompressResult compress(std::shared_ptr<const Model> teacher, const Dataset& train, const Dataset& eval,
                        const Dataset& test, const CompressOptions& options);

}  // namespace fettle
