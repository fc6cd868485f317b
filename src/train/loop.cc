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
#include "kernels/dispatch.h"
#include "train/schedule.h"
#include "train/training_hook.h"

namespace fettle {
namespace {

constexpr int64_t kObserveEvery = 10;
constexpr int64_t kCurvePoints = 100;

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

// While it lives the averages of the weights, where there are any, stand in the model.
class AveragesInPlace {
 public:
  explicit AveragesInPlace(Optimizer& optimizer) : optimizer_(optimizer) { optimizer_.swap_averages(); }
  ~AveragesInPlace() { optimizer_.swap_averages(); }
  AveragesInPlace(const AveragesInPlace&) = delete;
  AveragesInPlace& operator=(const AveragesInPlace&) = delete;

 private:
  Optimizer& optimizer_;
};

// While it lives the weights that a hook would end with stand in the model.
class HookInPlace {
 public:
  HookInPlace(TrainingHook* hook, int64_t step) : hook_(hook) {
    if (hook_ != nullptr) hook_->show(step);
  }
  ~HookInPlace() {
    if (hook_ != nullptr) hook_->hide();
  }
  HookInPlace(const HookInPlace&) = delete;
  HookInPlace& operator=(const HookInPlace&) = delete;

 private:
  TrainingHook* hook_;
};

const HookState& state_of(const TrainingHook* hook) {
  static const HookState none;
  return hook != nullptr ? hook->state() : none;
}

// What may change from a checkpoint to its continuation: it means the same for the weights and moments that are there.
const std::vector<std::string> kMayChange = {"learning_rate",  "weight_decay",  "beta1",       "beta2",
                                             "adam_eps",       "max_grad_norm", "schedule",    "warmup_ratio",
                                             "schedule_steps", "dropout",       "layer_decay", "label_smoothing"};

// Rows of several batches or ranks' shares are not kept apart by accumulation, and averages change in every row.
bool gives_rows(const TrainOptions& options) {
  const int ranks = options.ranks != nullptr ? options.ranks->size() : 1;
  return options.gradient_accumulation <= ranks && options.ema_decay == 0;
}

}  // namespace

Machine::Machine(const TrainOptions& options) : pool(options.n_threads), table(table_named(options.isa)) {}

Trainer::Trainer(Model& model, Objective& objective, const TrainOptions& options, Machine& machine, TrainingHook* hook)
    : model_(model),
      objective_(objective),
      options_(options),
      machine_(machine),
      hook_(hook),
      graph_(make_training_graph(loss_graph(), model.config, options.gradient_checkpointing, gives_rows(options))),
      watch_(objective.chance_loss()) {
  slots_ = make_slots(model_, graph_.parameters, options_);
  for (size_t s = 0; s < slots_.size(); ++s) {
    if (!graph_.tables[s]) continue;
    slots_[s].is_table = true;
    slots_[s].accumulated = Tensor();
  }
  if (options_.ranks != nullptr) shared_ = std::make_unique<SharedSlots>(slots_, model_, *options_.ranks);
  if (model_.mapped_weights) model_.mapped_weights->drop_pages();
  optimizer_ = std::make_unique<Optimizer>(slots_, options_, machine_.table, machine_.pool, shared_.get());
  executor_ = std::make_unique<Executor>(
      graph_.graph, [this](std::string_view name) -> const EncodedTensor& { return model_.parameters.get(name); },
      ExecutorOptions{
          .pool = &machine_.pool, .table = &machine_.table, .precision = options_.precision, .pack_parameters = false});
  total_steps_ = count_steps(objective_, options_);
  schedule_steps_ = options_.schedule_steps > 0 ? options_.schedule_steps : total_steps_;
  warmup_steps_ = warmup_steps(schedule_steps_, options_.warmup_ratio);
  curve_interval_ = std::max<int64_t>(1, total_steps_ / kCurvePoints);
  if (hook_ != nullptr) {
    hook_->begin(
        {.slots = slots_, .pool = machine_.pool, .total_steps = total_steps_, .learning_rate = options_.learning_rate});
  }
  if (!options_.checkpoint_folder.empty()) key_ = checkpoint_key();
}

Graph Trainer::loss_graph() const {
  Graph graph = objective_.build_loss_graph();
  if (hook_ != nullptr) hook_->add_to(graph);
  return graph;
}

// What is measured now is a measure of what will be written.
bool Trainer::is_settled() const {
  return hook_ == nullptr || hook_->is_settled(state_.step);
}

Trainer::~Trainer() = default;

CheckpointKey Trainer::checkpoint_key() const {
  CheckpointKey key;
  key.values = options_to_json(options_);
  key.values.update(objective_.options());
  if (hook_ != nullptr) key.values.update(hook_->options());
  key.values["objective"] = objective_.verb();
  key.values["kernels"] = machine_.table.name;
  key.values["total_steps"] = total_steps_;
  key.values["data"] = objective_.data_digest();
  key.values["ranks"] = options_.ranks != nullptr ? options_.ranks->size() : 1;
  key.values["starting_model"] = digest_weights(slots_);
  if (options_.allow_changes) key.may_differ = kMayChange;
  return key;
}

void Trainer::give_up(const std::string& what, int64_t step, double rate) const {
  std::string text = fmt::format("{} at step {} of {}, learning rate {:.3g}; ", what, step, total_steps_, rate);
  std::string hint = "lower the learning rate, lengthen the warm-up, or clip gradients harder";
  if (saved_step_ >= 0) {
    text += fmt::format("the last good checkpoint is {}, of step {}", options_.checkpoint_folder.string(), saved_step_);
    hint += "; --resume --allow-changes goes on from the checkpoint";
  } else {
    text += "there is no checkpoint yet";
  }
  failed("training", text, hint);
}

void Trainer::check(const StepRecord& done) {
  const bool diverges = watch_.add(done.loss, state_.divergence);
  if (!is_settled()) {
    state_.divergence.best = -1;
    state_.divergence.steps_above = 0;
    return;
  }
  if (!diverges || !options_.divergence_check) return;
  give_up(fmt::format("the loss is diverging ({:.3g}, after {:.3g} at best)", DivergenceWatch::mean(state_.divergence),
                      state_.divergence.best),
          state_.step, done.rate);
}

void Trainer::write_events(const StepRecord& done) {
  if (!events_) return;
  events_->add(state_.step, {{"loss", done.loss}, {"learning_rate", done.rate}, {"gradient_norm", done.norm}});
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
  if (accuracy < 0 || !is_settled()) return;
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
  optimizer_->catch_up_all();
  if (shared_) shared_->gather_averages();
  {
    const AveragesInPlace averages(*optimizer_);
    const HookInPlace shown(hook_, state_.step);
    record.accuracy = evaluate();
    keep_if_best(record.accuracy);
  }
  if (record.accuracy >= 0) state_.result.accuracy = record.accuracy;
  if (state_.trials > 0) record.accuracy = state_.hits / state_.trials;
  record.seconds = state_.result.seconds;
  state_.result.epochs.push_back(record);
  std::string line = fmt::format("epoch {:.4g}: loss {:.4f}", record.epoch, record.loss);
  if (record.accuracy >= 0) line += fmt::format(", {} {:.4f}", objective_.metric(), record.accuracy);
  log_info(line + ", " + format_duration(record.seconds));
  if (events_) {
    events_->add(state_.step, {{"epoch/loss", record.loss}});
    const std::string tag = "epoch/" + std::string(objective_.metric());
    if (record.accuracy >= 0) events_->add(state_.step, {{tag, record.accuracy}});
  }
  state_.loss_sum = state_.hits = state_.trials = 0;
  state_.loss_steps = 0;
  ++state_.epoch;
  state_.next_batch = 0;
  const int64_t patience = options_.early_stopping_patience;
  state_.result.pruned = options_.after_epoch && !options_.after_epoch(record);
  state_.result.stopped_early = state_.result.pruned || (patience > 0 && state_.epochs_without_gain >= patience);
}

// The checkpoint that stands stays good while it is not clear whether the loss still is.
void Trainer::save_unless_suspicious() {
  if (options_.divergence_check && DivergenceWatch::is_suspicious(state_.divergence)) return;
  save(false);
}

// The first rank's is everybody's.
double Trainer::evaluate() {
  if (!shared_) return objective_.evaluate();
  return shared_->ranks().from_first(is_first() ? objective_.evaluate() : 0);
}

void Trainer::save(bool finished) {
  if (options_.checkpoint_folder.empty()) return;
  state_.finished = finished;
  optimizer_->catch_up_all();
  if (shared_) {
    shared_->gather_moments();
    shared_->gather_averages();
  }
  if (is_first()) {
    write_checkpoint(options_.checkpoint_folder, key_, state_, slots_, best_, state_of(hook_));
  }
  saved_step_ = state_.step;
}

void Trainer::interrupt() {
  save(false);
  throw Error(ErrorCode::kInterrupted, "training",
              fmt::format("interrupted after step {} of {}", state_.step, total_steps_),
              options_.checkpoint_folder.empty() ? "" : "a checkpoint was written; --resume continues");
}

// The others cannot be asked any more for their parts of the moments.
void Trainer::stop_without_the_others() const {
  std::string text =
      fmt::format("a rank died or the job was stopped, after step {} of {}; ", state_.step, total_steps_);
  text += saved_step_ >= 0
              ? fmt::format("the last checkpoint is {}, of step {}", options_.checkpoint_folder.string(), saved_step_)
              : "there is no checkpoint";
  throw Error(ErrorCode::kInterrupted, "training", text, saved_step_ >= 0 ? "--resume goes on from there" : "");
}

void Trainer::finish() {
  optimizer_->catch_up_all();
  if (shared_) shared_->gather_averages();
  if (!best_.empty()) {
    for (size_t s = 0; s < slots_.size(); ++s) {
      std::memcpy(slots_[s].weight.raw_mutable(), best_[s].raw(), static_cast<size_t>(best_[s].size_bytes()));
    }
    state_.result.accuracy = state_.best_accuracy;
  } else {
    optimizer_->swap_averages();
    if (hook_ != nullptr) hook_->finish(state_.step);
  }
  state_.result.metric = objective_.metric();
  state_.result.activation_bytes = executor_->arena_bytes();
  state_.result.steps = state_.step;
  if (state_.result.seconds > 0) {
    state_.result.samples_per_s = static_cast<double>(state_.result.samples) / state_.result.seconds;
  }
}

void Trainer::resume() {
  if (!options_.resume || options_.checkpoint_folder.empty()) return;
  auto found = read_checkpoint(options_.checkpoint_folder, key_, slots_, best_, state_of(hook_));
  // Nobody writes a new one while another still reads.
  if (shared_) shared_->ranks().barrier();
  if (!found) {
    log_info("no checkpoint to resume from; starting from the beginning");
    return;
  }
  state_ = std::move(*found);
  saved_step_ = state_.step;
  log_info(fmt::format("resuming after step {} of {}", state_.step, total_steps_));
}

TrainResult Trainer::run() {
  if (!shared_) return run_steps();
  try {
    return run_steps();
  } catch (const Error& error) {
    // One that could be agreed on says so itself.
    if (error.code() != ErrorCode::kInterrupted || error.where() == "training") throw;
    stop_without_the_others();
  }
}

TrainResult Trainer::run_steps() {
  resume();
  // A rank may die before the first epoch ends.
  if (shared_ && saved_step_ < 0) save(false);
  if (!options_.tensorboard.empty() && !state_.finished && is_first()) {
    events_ = std::make_unique<EventFile>(options_.tensorboard, state_.step);
  }
  Progress progress(std::string(objective_.verb()), total_steps_, "steps");
  progress.set(state_.step);
  const double seconds_before = state_.result.seconds;
  Stopwatch watch;
  int64_t loaded_epoch = -1;
  const int64_t tokens_before = state_.result.tokens;
  while (!state_.finished && !state_.result.stopped_early) {
    if (!shared_ && cancel_requested()) interrupt();
    if (epoch_is_over()) {
      const bool epoch_done = state_.next_batch >= objective_.n_batches(state_.epoch);
      try {
        end_epoch();
      } catch (const Error& error) {
        if (error.code() == ErrorCode::kInterrupted && !shared_) interrupt();
        throw;
      }
      const bool due = options_.checkpoint_every > 0 ? state_.step % options_.checkpoint_every == 0 : epoch_done;
      if (due && state_.step < total_steps_) save_unless_suspicious();
    }
    if (state_.step >= total_steps_ || state_.result.stopped_early) break;
    if (loaded_epoch != state_.epoch) objective_.begin_epoch(loaded_epoch = state_.epoch);
    const StepRecord done = step();
    ++state_.step;
    write_events(done);
    check(done);
    if (state_.step % kObserveEvery == 0) {
      const HitCount count = observe();
      state_.hits += count.hits;
      state_.trials += count.trials;
      state_.curve_hits += count.hits;
      state_.curve_trials += count.trials;
    }
    state_.loss_sum += done.loss;
    ++state_.loss_steps;
    record_curve(done.loss);
    state_.result.seconds = seconds_before + watch.seconds();
    const double rate = static_cast<double>(state_.result.tokens - tokens_before) / watch.seconds();
    std::string note = fmt::format("loss {:.3f}, {:.0f} tokens/s", DivergenceWatch::mean(state_.divergence), rate);
    if (hook_ != nullptr) note += ", " + hook_->note();
    progress.note(note);
    progress.set(state_.step);
    const int64_t every = options_.checkpoint_every;
    if (every > 0 && state_.step % every == 0 && !epoch_is_over()) save_unless_suspicious();
  }
  progress.finish();
  if (!state_.finished) save(true);
  finish();
  return state_.result;
}

}  // namespace fettle
