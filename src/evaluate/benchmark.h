// The benchmark: size, latency and accuracy of one model or several side by side (techniques A5-A7).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "evaluate/metrics.h"
#include "kernels/roofline.h"
#include "model/model.h"
#include "runtime/session_group.h"

namespace fettle {

struct LatencyStats {
  int64_t n_runs = 0;
  double mean_ms = 0;
  double std_ms = 0;  // population
  double p50_ms = 0;
  double p90_ms = 0;
  double p99_ms = 0;
};
LatencyStats summarize_latency(std::vector<double> times_ms);

struct BenchmarkOptions {
  std::string query = "What is the pin number for my account?";
  int64_t warmup = 10;
  int64_t runs = 100;
  int64_t batch_size = 1;  // the query repeated
  SessionOptions session;
  // Queries are timed one at a time on all threads (latency, also by default), or on one worker for each thread at once
  // (throughput). The data are predicted in that regime too; by default in the one that is measured to be faster.
  std::optional<Regime> regime;
  Roofline limits;  // of this machine, for roofline_ratio; zeros: it is not wanted
};

struct BenchmarkResult {
  std::string name;
  double size_mb = 0;    // MiB of the weights on disk
  LatencyStats latency;  // end to end: tokenizing, running, softmax
  double tokenize_us = 0;
  double samples_per_s = 0;   // of the whole evaluation set in batches; of the query without data
  RegimeChoice regime;        // that samples_per_s is of
  double peak_memory_mb = 0;  // packed parameters and activation arena
  double roofline_ratio =
      -1;  // -1: not measured; median (throughput: time a query) / the machine's limit for it (profile.h)
  bool has_quality = false;
  Quality quality;
  Predictions predictions;
};

struct Candidate {
  std::string name;
  std::shared_ptr<const Model> model;
  double size_mb = 0;
  SessionOptions session;  // the slow-path baseline has fast_path = false
};

// The candidates take turns (A B C A B C …) so that a noisy machine hits all alike. A turn is ten measured runs after
// two others (the first turn: after `warmup`), for a model in use finds its own weights in the caches, not those of a
// larger one. `data` may be null.
std::vector<BenchmarkResult> benchmark(const std::vector<Candidate>& candidates, const Dataset* data,
                                       const BenchmarkOptions& options);

}  // namespace fettle
