// Training: fine-tuning of classifiers, masked-language-model pre-training, and distillation, all on one loop.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "data/dataset.h"
#include "model/model.h"
#include "runtime/executor.h"
#include "train/distill/distill_options.h"

namespace fettle {

class Communicator;

enum class Schedule : uint8_t { kConstant, kLinear, kCosine };

struct EpochRecord {
  double epoch = 0;
  double loss = 0;  // mean over the epoch's steps
  // On the evaluation data, -1 without. Masked-language modelling: share of masked tokens found, over some training
  // steps of the epoch (their masks and, in the first epoch, their texts are new to the model).
  double accuracy = -1;
  double seconds = 0;
};

// Weights of the classes in the cross entropy: the mean over labelled rows becomes a mean weighted by those of their
// labels (as PyTorch's CrossEntropyLoss(weight=…)).
struct ClassWeights {
  bool balanced =
      false;  // n / (classes · n of the class), counted in the training data; 1 for a class it does not have
  std::vector<std::pair<std::string, double>> by_label;  // above or equal to 0; labels that are not listed have 1

  bool is_set() const { return balanced || !by_label.empty(); }
};

struct TrainOptions {
  double epochs = 5;
  int64_t max_steps = 0;  // > 0 wins over epochs
  int64_t batch_size = 48;
  int64_t gradient_accumulation = 1;
  double learning_rate = -1;   // < 0: default_learning_rate() of the model, five times that (at most 7e-4) for mlm
  double weight_decay = 0.01;  // not on biases and norms
  double beta1 = 0.9;
  double beta2 = 0.999;
  double adam_eps = 1e-8;
  double max_grad_norm = 1.0;  // 0: no clipping
  Schedule schedule = Schedule::kLinear;
  double warmup_ratio = 0.0;
  // > 0: the rate follows the schedule of a run of so many steps, though this one ends at max_steps.
  int64_t schedule_steps = 0;
  double layer_decay = 1.0;  // below 1: lower layers learn slower (layer_rates.h)
  // > 0: evaluation and the final model use a moving average of the weights, which keeps this share of itself in each
  // step (less in the first ones: average_decay in optimizer.h).
  double ema_decay = 0.0;
  double label_smoothing = 0.0;
  ClassWeights class_weights;
  double dropout = -1;  // < 0: the config's values
  int64_t max_length = 64;
  int64_t early_stopping_patience = 0;  // epochs without improvement of evaluation accuracy; 0: off
  bool keep_best = true;                // end with the weights of the best evaluation
  Precision precision = Precision::kBF16;
  // Activations of the encoder's layers are computed again in the backward pass instead of being kept: less memory, the
  // same bytes, about a third more work.
  bool gradient_checkpointing = false;
  uint64_t seed = 0;
  int n_threads = 0;
  std::string isa;

  // Masked-language modelling. A batch holds up to batch_size · max_length tokens.
  double mask_probability = 0.15;
  // Joins consecutive texts with [SEP] up to max_length; an empty text ends a document, which is never joined across.
  // Otherwise each text is a sequence of its own.
  bool join_texts = true;
  // Share of joined sequences that are cut shorter, so that short inputs are seen too.
  double short_sequence_ratio = 0.15;

  // Distillation: loss = alpha · CE + (1 - alpha) · T² · KL (techniques B1-B4). Unlabelled examples have the second
  // term only.
  double alpha = 0.5;
  double temperature = 2.0;

  // Checkpoints: written every `checkpoint_every` steps (0: at each epoch's end) into checkpoint_folder when that is
  // not empty.
  std::filesystem::path checkpoint_folder;
  int64_t checkpoint_every = 0;
  bool resume = false;  // continue from checkpoint_folder to the bytes that an uninterrupted run would have given
  // Resume though rates, decays, clipping, dropout or smoothing are others than the checkpoint's; the manifest says so.
  bool allow_changes = false;

  // What is watched and written while it runs. None of it changes the weights.
  bool divergence_check = true;       // stop when the loss has left its course for good (divergence.h)
  std::filesystem::path tensorboard;  // folder for a TensorBoard event file; empty: none

  // Several ranks (parallel/communicator.h), not owned; null: this process alone. batch_size is cut into as many micro
  // batches, rounded up, and each rank takes its own of every step. The bytes are those of one process with as many
  // times the gradient_accumulation, but for the last digits of the norm that gradients are clipped by.
  Communicator* ranks = nullptr;

  // Called after every epoch's evaluation; false ends the run there (TrainResult::pruned). Not called again for the
  // epochs that a resumed run already had.
  std::function<bool(const EpochRecord&)> after_epoch;
};

// The peak rate for fine-tuning an encoder of this width: 2e-5 at 768 (BERT-base), and the narrower the more,
// 2e-5 · (768 / hidden)^2.5, which is 3e-4 at 256; at most 1e-3. A rule of thumb that fits what worked here.
double default_learning_rate(int64_t hidden_size);

// The loss curve: means over a hundredth of the run each.
struct CurvePoint {
  int64_t step = 0;  // last step of the interval
  double loss = 0;
  double accuracy = -1;  // masked-language modelling only
};

struct TrainResult {
  int64_t steps = 0;
  int64_t samples = 0;
  int64_t tokens = 0;
  double seconds = 0;
  double samples_per_s = 0;
  double accuracy = -1;             // of the weights kept
  std::string metric = "accuracy";  // what all accuracies here are: "micro_f1" of label sets, "r2" of numbers
  int64_t activation_bytes = 0;     // the largest memory plan of a step: activations and gradients
  std::vector<EpochRecord> epochs;
  std::vector<CurvePoint> curve;
  Json changes = Json::array();  // options that were changed at a resume: {"step", "option", "before", "after"}
  bool stopped_early = false;
  bool pruned = false;  // TrainOptions::after_epoch said so
};

// Each trains `model` in place (its parameters become dense f32) and adds a step to its manifest. The data of
// train_classifier have the kind of labels that the model's problem asks for (heads.h). Errors: kInterrupted
// after writing a checkpoint (when a folder is given) on Ctrl-C; kBadInput for empty data or labels that the model does
// not have; kFailed when the loss is not finite or diverges.
TrainResult train_classifier(Model& model, const Dataset& train, const Dataset* eval, const TrainOptions& options);
TrainResult pretrain_masked_lm(Model& model, const std::vector<std::string>& texts, const TrainOptions& options);
// The logits of several teachers are averaged; features come from the first. What the teachers give is computed once,
// or found in the cache. Also kBadInput, showing the difference, for other labels or another vocabulary than the
// student's.
TrainResult distill(Model& student, const std::vector<std::shared_ptr<const Model>>& teachers, const Dataset& train,
                    const Dataset* eval, const TrainOptions& options, const DistillOptions& distillation = {});

// Distillation in pre-training (DistilBERT, Sanh et al. 2019): masked words are predicted from the texts and from the
// teacher, which sees the same masked batches, and the last hidden states point where the teacher's do. The loss is
// (mlm_weight · CE + kd_weight · T² · KL + cosine_weight · mean(1 - cos)) / (sum of the weights). Also kBadInput for a
// teacher without a masked-word head or with another vocabulary.
TrainResult distill_masked_lm(Model& student, const Model& teacher, const std::vector<std::string>& texts,
                              const TrainOptions& options, const MaskedDistillOptions& weights = {});

// Students by rule (distill/student_rule.h). "layers=0,2,4" copies those layers, embeddings and head of the teacher.
// "hidden=128" besides or alone narrows the model: weights are projected on the leading principal directions of the
// teacher's word embeddings; heads and feed-forward neurons are kept by the norm of their weights, as many in
// proportion or as "heads=" and "intermediate=" say. `seed` is for rules that draw random numbers; these do not. kUsage
// for other rules.
Model make_student(const Model& teacher, std::string_view rule, uint64_t seed);

}  // namespace fettle
