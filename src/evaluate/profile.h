// Where the time of a model's answers goes: the time of every op beside what the machine's limits would allow.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/roofline.h"
#include "runtime/session.h"

namespace fettle {

// What is run: the same batch again and again.
struct ProfileInput {
  RaggedBatch batch;
  std::vector<std::string> texts;  // what it was tokenized from; empty for made-up tokens
};
// Tokenized as the session would, longer texts cut.
ProfileInput profile_texts(const Model& model, const std::vector<std::string>& texts);
// n_sequences of `length` random tokens each; kUsage when the model has fewer positions.
ProfileInput profile_random(const Model& model, int64_t n_sequences, int64_t length, uint64_t seed);
// The same with every sequence filled up to the longest, for comparison: padding is a sequence of its own beside each,
// so that all ops work on it and no token attends to it, as with a mask.
RaggedBatch padded_batch(const RaggedBatch& batch, int32_t pad_token_id);

// One op of the graph; times and work are those of one run.
struct NodeTime {
  std::string op;
  std::string node;
  std::string kernel;
  Arithmetic arithmetic = Arithmetic::kF32;
  int64_t calls = 1;  // the parts that a large batch is run in
  double self_ms = 0;
  double flops = 0;
  double bytes = 0;         // read and written
  double weight_bytes = 0;  // of weights and tables
  double least_ms = 0;      // what the machine's limits would allow
  bool by_memory = false;   // that limit is reading the weights, not arithmetic
};

struct PathProfile {
  bool fast_path = true;
  bool padded = false;
  std::string table;  // kernel table
  int n_threads = 1;
  int64_t n_sequences = 0;  // as given, without padding
  int64_t n_tokens = 0;
  int64_t n_computed_tokens = 0;  // with padding
  int64_t n_runs = 0;             // that the times are means of: the faster half of those made
  double tokenize_ms = 0;
  double run_ms = 0;        // a whole run while it is profiled, without tokenizing
  double plain_run_ms = 0;  // a whole run otherwise; in turns with the others
  std::vector<NodeTime> nodes;
  std::vector<FusionReport> fusions;
  std::vector<KernelReport> kernels;

  double total_ms() const { return tokenize_ms + run_ms; }
  double nodes_ms() const;
  double least_ms() const;  // Σ of the nodes'
};

// The least times of some work on a machine. Values between ops are taken to stay in the caches.
struct LeastTime {
  double reading_ms = 0;    // of the weights
  double computing_ms = 0;  // at the peak of that arithmetic
  double ms() const { return std::max(reading_ms, computing_ms); }
};
LeastTime least_time(double weight_bytes, double flops, Arithmetic arithmetic, const Roofline& limits);

// Σ of the least times of all nodes for these texts, which are run once. The session must not have been profiled
// before.
double least_ms_of(Session& session, std::span<const std::string> texts, const Roofline& limits);

struct ProfileOptions {
  int64_t warmup = 3;
  int64_t runs = 30;       // profiled ones of each path; as many are made without clocks
  SessionOptions session;  // fast_path is set for each path
  bool slow_path = true;
  bool fast_path = true;
  bool padded = false;  // the slow path on padded sequences
  Roofline limits;      // of this machine at the session's threads
};

// The paths take turns. The slow path first where both are asked for.
std::vector<PathProfile> profile_model(const std::shared_ptr<const Model>& model, const ProfileInput& input,
                                       const ProfileOptions& options);

}  // namespace fettle
