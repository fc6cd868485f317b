// Which options of training can be searched, and what is searched when nobody says.
#pragma once

#include <span>
#include <string>

#include "search/space.h"
#include "train/trainer.h"

namespace fettle {

// What one trial trains: the options, the seed among them, the student to start from (a rule, a config or a folder),
// and what it learns from its teacher.
struct TrialSetup {
  TrainOptions options;
  std::string student;
  DistillOptions distillation;
};

inline constexpr const char* kStudentParameter = "student";
inline constexpr const char* kSeedParameter = "seed";

// epochs, alpha, temperature, learning_rate, warmup_ratio, weight_decay, batch_size, dropout, label_smoothing,
// max_grad_norm, ema, layer_decay, hidden_weight, embeddings_weight, attention_weight, values_weight, augment,
// schedule, match, layer_map, student.
std::span<const Tunable> distillation_tunables();

// epochs 5 to 10, alpha 0 to 1, temperature 2 to 20, and the learning rate by logarithm from 1e-5 to 1e-3 for a width
// of 768; narrower models get five times less to five times more than default_learning_rate() where that is beyond.
Space default_distillation_space(int64_t hidden_size);

// The only parameter is the seed, from `first` on.
Space seed_space(uint64_t first);

// Puts a trial's values where they belong.
void apply_parameters(const Space& space, const ParameterValues& values, TrialSetup& setup);

}  // namespace fettle
