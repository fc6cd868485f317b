// What teachers give for the texts of a data set: logits, averaged, and features of the first teacher.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/tokenized.h"
#include "model/model.h"
#include "train/distill/distill_options.h"
#include "train/distill/taps.h"
#include "train/distill/teacher_cache.h"
#include "train/loop.h"

namespace fettle {

using Teachers = std::vector<std::shared_ptr<const Model>>;

// A teacher that answers batches.
class TeacherRunner {
 public:
  // Without taps the logits come by the session's fast path.
  TeacherRunner(std::shared_ptr<const Model> teacher, bool with_logits, std::vector<Tap> taps,
                const TrainOptions& options, Machine& machine);
  ~TeacherRunner();

  void run(const RaggedBatch& tokens);
  // Of the last run, until the next one.
  Tensor logits() const;             // [sequences, n_labels]
  Tensor tap(const Tap& tap) const;  // [tokens, tap_width()]

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What is to be had from the teachers.
struct TeacherRequest {
  bool logits = true;
  std::vector<Tap> taps;  // of the first teacher, each once
  int64_t max_length = 64;
};

// Everything is computed once, or found in the cache; features are kept as bf16. Where features would take more than
// the cache may hold (2 GiB without one), the teacher is run on every training batch instead; what training sees is
// rounded to bf16 all the same.
class TeacherOutputs {
 public:
  // The data and the machine must outlive this. kBadInput for teachers whose labels are not the student's.
  TeacherOutputs(const Model& student, const Teachers& teachers, const Dataset& data, const TeacherRequest& request,
                 const TeacherCacheOptions& cache, const TrainOptions& options, Machine& machine);
  ~TeacherOutputs();

  // Adds "teacher_logits" [examples, n_labels], columns in the student's order, and "teacher.hidden.5" [tokens, width]
  // and so on. The tensors stay valid until the next load().
  void load(std::span<const int32_t> examples, MicroBatch& batch);
  // As the first teacher cuts them.
  const TokenizedTexts& texts() const;
  // Of what the outputs were made from.
  std::string digest() const;
  // For tests and logs: rows that had to be computed, and whether features are computed in training.
  int64_t n_computed() const;
  bool is_live() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The name of the graph's input for a tap.
std::string teacher_input(const Tap& tap);

}  // namespace fettle
