#include "train/loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/philox.h"
#include "base/sha256.h"
#include "format/tensor_store.h"
#include "graph/autodiff.h"
#include "graph/passes.h"
#include "kernels/dispatch.h"
#include "train/schedule.h"

namespace fettle {
namespace {

constexpr uint64_t kDropoutStream = 0x44524f50ull << 20;
constexpr int64_t kObserveEvery = 10;
constexpr int64_t kCurvePoints = 100;

uint64_t dropout_seed(uint64_t seed, int64_t pass) {
  const auto words = philox4x32(seed, kDropoutStream, static_cast<uint64_t>(pass));
  return words[0] | (static_cast<uint64_t>(words[1]) << 32);
}

// Steps of `epochs` epochs, the last of which may be cut.
int64_t count_steps(Objective& objective, const TrainOptions& options) {
  if (options.max_steps > 0) return options.max_steps;
  const int64_t group = options.gradient_accumulation;
  double steps = 0;
  for (int64_t epoch = 0; static_cast<double>(epoch) < options.epochs; ++epoch) {
    const double share = std::min(1.0, options.epochs - static_cast<double>(epoch));
    steps += share * static_cast<double>((objective.n_batches(epoch) + group - 1) / group);
  }
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(steps - 1e-9)));
}

std::string digest_weights(const std::vector<ParameterSlot>& slots) {
  std::string all;
  for (const ParameterSlot& slot : slots) {
    all += slot.name + " " + shape_to_string(slot.weight.shape()) + " ";
    all +=
        sha256_hex({static_cast<const std::byte*>(slot.weight.raw()), static_cast<size_t>(slot.weight.size_bytes())});
  }
  return sha256_hex(std::as_bytes(std::span(all)));
}

}  // namespace

Machine::Machine(const TrainOptions& options) : pool(options.n_threads), table(table_named(options.isa)) {}

Trainer::Trainer(Model& model, Objective& objective, const TrainOptions& options, Machine& machine)
    : model_(model), objective_(objective), options_(options), machine_(machine), graph_(objective.build_loss_graph()) {
  const std::vector<ValueId> parameters = graph_.parameters();
  const std::vector<ValueId> gradients = differentiate(graph_, graph_.find("loss"), parameters);
  std::vector<std::string> names;
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (gradients[i] == kNoValue) continue;
    names.push_back(graph_.value(parameters[i]).name);
    gradient_names_.push_back("gradient of " + names.back());
    graph_.add_output(gradient_names_.back(), gradients[i]);
  }
  for (const Pass& pass : training_passes()) pass.run(graph_);
  for (const std::string& name : gradient_names_) {
    const std::string squares = "squares of " + name;
    squares_names_.push_back(graph_.find(squares) == kNoValue ? "" : squares);
  }
  slots_ = make_slots(model_, names, options_.gradient_accumulation > 1);
  if (model_.mapped_weights) model_.mapped_weights->drop_pages();
  optimizer_ = std::make_unique<Optimizer>(slots_, options_, machine_.table, machine_.pool);
  executor_ = std::make_unique<Executor>(
      graph_, [this](std::string_view name) -> const EncodedTensor& { return model_.parameters.get(name); },
      ExecutorOptions{
          .pool = &machine_.pool, .table = &machine_.table, .precision = options_.precision, .pack_parameters = false});
  total_steps_ = count_steps(objective_, options_);
  schedule_steps_ = options_.schedule_steps > 0 ? options_.schedule_steps : total_steps_;
  warmup_steps_ = warmup_steps(schedule_steps_, options_.warmup_ratio);
  curve_interval_ = std::max<int64_t>(1, total_steps_ / kCurvePoints);
  if (!options_.checkpoint_folder.empty()) key_ = checkpoint_key();
}

Trainer::~Trainer() = default;

CheckpointKey Trainer::checkpoint_key() const {
  CheckpointKey key;
  key.values = options_to_json(options_);
  key.values.update(objective_.options());
  key.values["objective"] = objective_.verb();
  key.values["kernels"] = machine_.table.name;
  key.values["total_steps"] = total_steps_;
  key.values["data"] = objective_.data_digest();
  key.values["starting_model"] = digest_weights(slots_);
  return key;
}

double Trainer::step() {
  const int64_t epoch_batches = objective_.n_batches(state_.epoch);
  const int64_t group = std::min(options_.gradient_accumulation, epoch_batches - state_.next_batch);
  const bool accumulate = options_.gradient_accumulation > 1;
  double loss = 0;
  double weight = 0;
  std::vector<const float*> gradients(slots_.size());
  std::vector<Tensor> outputs(slots_.size());
  for (int64_t i = 0; i < group; ++i) {
    objective_.load(state_.next_batch++, batch_);
    for (const auto& [name, value] : batch_.inputs) executor_->set_input(name, value);
    executor_->set_seed(dropout_seed(options_.seed, state_.step * options_.gradient_accumulation + i));
    executor_->run();
    loss += batch_.weight * static_cast<double>(executor_->output("loss").data<float>()[0]);
    for (size_t s = 0; s < slots_.size(); ++s) {
      outputs[s] = executor_->output(gradient_names_[s]);
      gradients[s] = outputs[s].data<float>();
    }
    if (accumulate) optimizer_->accumulate(gradients, batch_.weight, i == 0);
    weight += batch_.weight;
    state_.result.samples += batch_.n_samples;
    state_.result.tokens += batch_.n_tokens;
  }
  const double rate =
      options_.learning_rate * schedule_factor(options_.schedule, state_.step, schedule_steps_, warmup_steps_);
  loss /= weight;
  if (accumulate) gradients = optimizer_->accumulated();
  std::vector<double> squares(slots_.size(), -1);
  for (size_t s = 0; s < slots_.size() && !accumulate; ++s) {
    if (!squares_names_[s].empty()) squares[s] = executor_->output(squares_names_[s]).data<float>()[0];
  }
  const double norm = optimizer_->step(gradients, squares, accumulate ? 1.0 / weight : 1.0, rate, state_.step + 1);
  if (!std::isfinite(loss) || !std::isfinite(norm)) {
    failed("training",
           fmt::format("the {} is not finite at step {} of {} (learning rate {:.3g})",
                       std::isfinite(loss) ? "gradient" : "loss", state_.step + 1, total_steps_, rate),
           "lower the learning rate, lengthen the warm-up, or clip gradients harder");
  }
  return loss;
}

void Trainer::record_curve(double loss) {
  state_.curve_loss += loss;
  ++state_.curve_steps;
  if (state_.step % curve_interval_ != 0 && state_.step != total_steps_) return;
  const double accuracy = state_.curve_trials > 0 ? state_.curve_hits / state_.curve_trials : -1;
  state_.result.curve.push_back({state_.step, state_.curve_loss / static_cast<double>(state_.curve_steps), accuracy});
  state_.curve_loss = state_.curve_hits = state_.curve_trials = 0;
  state_.curve_steps = 0;
}

void Trainer::keep_if_best(double accuracy) {
  if (accuracy < 0) return;
  const bool gain = accuracy > state_.best_accuracy;
  state_.epochs_without_gain = gain ? 0 : state_.epochs_without_gain + 1;
  // Of equal ones the later is kept: its scores are surer, and it teaches better.
  if (accuracy < state_.best_accuracy) return;
  state_.best_accuracy = accuracy;
  if (!options_.keep_best) return;
  best_.resize(slots_.size());
  for (size_t s = 0; s < slots_.size(); ++s) best_[s] = slots_[s].weight.clone();
}

// Its last step is done, its evaluation is not.
bool Trainer::epoch_is_over() {
  if (state_.loss_steps == 0) return false;
  return state_.step == total_steps_ || state_.next_batch >= objective_.n_batches(state_.epoch);
}

// Changes nothing when Ctrl-C ends the evaluation.
void Trainer::end_epoch() {
  const double epochs_done =
      static_cast<double>(state_.epoch) +
      static_cast<double>(state_.next_batch) / static_cast<double>(objective_.n_batches(state_.epoch));
  EpochRecord record;
  record.epoch = epochs_done;
  record.loss = state_.loss_sum / static_cast<double>(std::max<int64_t>(1, state_.loss_steps));
  record.accuracy = objective_.evaluate();
  keep_if_best(record.accuracy);
  if (record.accuracy >= 0) state_.result.accuracy = record.accuracy;
  if (state_.trials > 0) record.accuracy = state_.hits / state_.trials;
  record.seconds = state_.result.seconds;
  state_.result.epochs.push_back(record);
  std::string line = fmt::format("epoch {:.4g}: loss {:.4f}", record.epoch, record.loss);
  if (record.accuracy >= 0) line += fmt::format(", accuracy {:.4f}", record.accuracy);
  log_info(line + ", " + format_duration(record.seconds));
  state_.loss_sum = state_.hits = state_.trials = 0;
  state_.loss_steps = 0;
  ++state_.epoch;
  state_.next_batch = 0;
  const int64_t patience = options_.early_stopping_patience;
  state_.result.pruned = options_.after_epoch && !options_.after_epoch(record);
  state_.result.stopped_early = state_.result.pruned || (patience > 0 && state_.epochs_without_gain >= patience);
}

void Trainer::save(bool finished) {
  if (options_.checkpoint_folder.empty()) return;
  state_.finished = finished;
  write_checkpoint(options_.checkpoint_folder, key_, state_, slots_, best_);
}

void Trainer::interrupt() {
  save(false);
  throw Error(ErrorCode::kInterrupted, "training",
              fmt::format("interrupted after step {} of {}", state_.step, total_steps_),
              options_.checkpoint_folder.empty() ? "" : "a checkpoint was written; --resume continues");
}

void Trainer::finish() {
  if (!best_.empty()) {
    for (size_t s = 0; s < slots_.size(); ++s) {
      std::memcpy(slots_[s].weight.raw_mutable(), best_[s].raw(), static_cast<size_t>(best_[s].size_bytes()));
    }
    state_.result.accuracy = state_.best_accuracy;
  }
  state_.result.steps = state_.step;
  if (state_.result.seconds > 0) {
    state_.result.samples_per_s = static_cast<double>(state_.result.samples) / state_.result.seconds;
  }
}

TrainResult Trainer::run() {
  if (options_.resume && !options_.checkpoint_folder.empty()) {
    if (auto found = read_checkpoint(options_.checkpoint_folder, key_, slots_, best_)) {
      state_ = std::move(*found);
      log_info(fmt::format("resuming after step {} of {}", state_.step, total_steps_));
    } else {
      log_info("no checkpoint to resume from; starting from the beginning");
    }
  }
  Progress progress(std::string(objective_.verb()), total_steps_, "steps");
  progress.set(state_.step);
  const double seconds_before = state_.result.seconds;
  Stopwatch watch;
  int64_t loaded_epoch = -1;
  double smooth_loss = -1;
  const int64_t tokens_before = state_.result.tokens;
  while (!state_.finished && !state_.result.stopped_early) {
    if (cancel_requested()) interrupt();
    if (epoch_is_over()) {
      const bool epoch_done = state_.next_batch >= objective_.n_batches(state_.epoch);
      try {
        end_epoch();
      } catch (const Error& error) {
        if (error.code() == ErrorCode::kInterrupted) interrupt();
        throw;
      }
      const bool due = options_.checkpoint_every > 0 ? state_.step % options_.checkpoint_every == 0 : epoch_done;
      if (due && state_.step < total_steps_) save(false);
    }
    if (state_.step >= total_steps_ || state_.result.stopped_early) break;
    if (loaded_epoch != state_.epoch) objective_.begin_epoch(loaded_epoch = state_.epoch);
    const double loss = step();
    ++state_.step;
    if (state_.step % kObserveEvery == 0) {
      const HitCount count = objective_.observe(*executor_);
      state_.hits += count.hits;
      state_.trials += count.trials;
      state_.curve_hits += count.hits;
      state_.curve_trials += count.trials;
    }
    state_.loss_sum += loss;
    ++state_.loss_steps;
    record_curve(loss);
    state_.result.seconds = seconds_before + watch.seconds();
    smooth_loss = smooth_loss < 0 ? loss : 0.95 * smooth_loss + 0.05 * loss;
    progress.note(fmt::format("loss {:.3f}, {:.0f} tokens/s", smooth_loss,
                              static_cast<double>(state_.result.tokens - tokens_before) / watch.seconds()));
    progress.set(state_.step);
    const int64_t every = options_.checkpoint_every;
    if (every > 0 && state_.step % every == 0 && !epoch_is_over()) save(false);
  }
  progress.finish();
  if (!state_.finished) save(true);
  finish();
  return state_.result;
}

}  // namespace fettle
