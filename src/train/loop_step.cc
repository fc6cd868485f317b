// One step of training: the gradient of a batch, or of this rank's share of it, and the optimizer's update.
#include <algorithm>
#include <cmath>

#include "base/cancel.h"
#include "base/error.h"
#include "base/philox.h"
#include "train/loop.h"
#include "train/schedule.h"
#include "train/training_hook.h"

namespace fettle {
namespace {

constexpr uint64_t kDropoutStream = 0x44524f50ull << 20;

uint64_t dropout_seed(uint64_t seed, int64_t pass) {
  const auto words = philox4x32(seed, kDropoutStream, static_cast<uint64_t>(pass));
  return words[0] | (static_cast<uint64_t>(words[1]) << 32);
}

std::span<const int32_t> ids_of(const MicroBatch& batch, const std::string& input) {
  for (const auto& [name, value] : batch.inputs) {
    if (name == input) return {value.data<int32_t>(), static_cast<size_t>(value.size())};
  }
  return {};
}

}  // namespace

bool Trainer::is_first() const {
  return options_.ranks == nullptr || options_.ranks->rank() == 0;
}

bool Trainer::accumulates() const {
  return options_.gradient_accumulation > 1 || shared_ != nullptr;
}

// Forward and backward.
void Trainer::run_micro_batch(int64_t index, int64_t of_step) {
  objective_.load(index, batch_);
  for (size_t s = 0; s < slots_.size(); ++s) {
    if (graph_.tables[s]) optimizer_->catch_up(s, ids_of(batch_, graph_.tables[s]->ids_input));
  }
  for (const auto& [name, value] : batch_.inputs) executor_->set_input(name, value);
  if (hook_ != nullptr) {
    for (const auto& [name, value] : hook_->inputs()) executor_->set_input(name, value);
  }
  executor_->set_seed(dropout_seed(options_.seed, state_.step * options_.gradient_accumulation + of_step));
  executor_->run();
  gradients_.resize(slots_.size());
  outputs_.resize(slots_.size());
  for (size_t s = 0; s < slots_.size(); ++s) {
    outputs_[s] = executor_->output(graph_.gradients[s]);
    gradients_[s] = outputs_[s].data<float>();
  }
}

// Of a table in the step just run; of all ranks' shares together.
double Trainer::set_table_gradient(size_t slot, const StepTotals& mine) {
  TableGradient gradient;
  if (mine.n_run > 0) {
    const Tensor ids = executor_->output(graph_.tables[slot]->row_ids);
    gradient = {.rows = gradients_[slot], .row_ids = {ids.data<int32_t>(), static_cast<size_t>(ids.size())}};
  }
  if (!shared_) {
    optimizer_->set_table_gradient(slot, gradient);
    return executor_->output(graph_.tables[slot]->squares).data<float>()[0];
  }
  merged_.resize(slots_.size());
  merged_[slot] = merge_rows(shared_->ranks(), gradient, mine.weight, slots_[slot].weight.dim(1));
  optimizer_->catch_up(slot, merged_[slot].row_ids);  // this rank's own share has not read them all
  optimizer_->set_table_gradient(slot, merged_[slot].gradient());
  return merged_[slot].squares;
}

Trainer::StepTotals Trainer::run_share(int64_t group) {
  StepTotals mine;
  const int n_ranks = shared_ ? shared_->ranks().size() : 1;
  for (int64_t i = shared_ ? shared_->ranks().rank() : 0; i < group; i += n_ranks) {
    run_micro_batch(state_.next_batch + i, i);
    mine.loss += batch_.weight * static_cast<double>(executor_->output("loss").data<float>()[0]);
    if (accumulates()) optimizer_->accumulate(gradients_, batch_.weight, mine.n_run == 0);
    mine.weight += batch_.weight;
    mine.samples += batch_.n_samples;
    mine.tokens += batch_.n_tokens;
    ++mine.n_run;
  }
  ran_last_step_ = mine.n_run > 0;
  if (accumulates() && mine.n_run == 0) optimizer_->accumulate_nothing();
  return mine;
}

Trainer::StepTotals Trainer::sum_over_ranks(const StepTotals& mine) {
  const double numbers[] = {mine.loss, mine.weight, static_cast<double>(mine.samples), static_cast<double>(mine.tokens),
                            cancel_requested() ? 1.0 : 0.0};
  const std::vector<double> sums = shared_->ranks().sum(numbers);
  // All learn of it in the same step.
  if (sums[4] > 0) interrupt();
  return {.loss = sums[0],
          .weight = sums[1],
          .samples = static_cast<int64_t>(sums[2]),
          .tokens = static_cast<int64_t>(sums[3]),
          .n_run = mine.n_run};
}

HitCount Trainer::observe() {
  HitCount count = ran_last_step_ ? objective_.observe(*executor_) : HitCount{};
  if (!shared_) return count;
  const double numbers[] = {count.hits, count.trials};
  const std::vector<double> sums = shared_->ranks().sum(numbers);
  return {.hits = sums[0], .trials = sums[1]};
}

Trainer::StepRecord Trainer::step() {
  const int64_t group =
      std::min(options_.gradient_accumulation, objective_.n_batches(state_.epoch) - state_.next_batch);
  if (hook_ != nullptr) hook_->before_step(state_.step);
  const StepTotals mine = run_share(group);
  const StepTotals all = shared_ ? sum_over_ranks(mine) : mine;
  state_.next_batch += group;
  state_.result.samples += all.samples;
  state_.result.tokens += all.tokens;
  const double rate =
      options_.learning_rate * schedule_factor(options_.schedule, state_.step, schedule_steps_, warmup_steps_);
  // A step of examples whose classes have no weight has no loss either.
  const double loss = all.weight > 0 ? all.loss / all.weight : 0;
  // Before it can reach the weights.
  if (!std::isfinite(loss)) give_up("the loss is not finite", state_.step + 1, rate);
  std::vector<double> squares(slots_.size(), -1);
  for (size_t s = 0; s < slots_.size(); ++s) {
    if (graph_.tables[s]) {
      squares[s] = set_table_gradient(s, mine);
    } else if (!accumulates() && !graph_.squares[s].empty()) {
      squares[s] = executor_->output(graph_.squares[s]).data<float>()[0];
    }
  }
  if (shared_) shared_->sum_gradients();
  if (accumulates()) gradients_ = optimizer_->accumulated();
  const double scale = accumulates() && all.weight > 0 ? 1.0 / all.weight : 1.0;
  const double norm = optimizer_->step(gradients_, squares, scale, rate, state_.step + 1);
  if (!std::isfinite(norm)) give_up("the gradient is not finite", state_.step + 1, rate);
  if (shared_) shared_->gather_weights();
  return {.loss = loss, .rate = rate, .norm = norm};
}

}  // namespace fettle
