#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "train/layer_rates.h"
#include "train/parallel/shared_slots.h"
#include "train/table_rows.h"

namespace fettle {
namespace {

constexpr int64_t kBlock = 32768;

// average <- decay · average + (1 - decay) · weight
void add_to_average(const float* weight, float decay, int64_t n, float* average) {
  for (int64_t i = 0; i < n; ++i) average[i] += (1 - decay) * (weight[i] - average[i]);
}

}  // namespace

double average_decay(double decay, int64_t time) {
  const auto t = static_cast<double>(time);
  return std::min(decay, (1 + t) / (10 + t));
}

std::vector<ParameterSlot> make_slots(Model& model, std::span<const std::string> names, const TrainOptions& options) {
  std::vector<ParameterSlot> slots;
  slots.reserve(names.size());
  for (const std::string& name : names) {
    ParameterSlot slot;
    slot.name = name;
    slot.weight = model.parameters.get(name).decode().clone();
    slot.m = Tensor(DType::kF32, slot.weight.shape());
    slot.v = Tensor(DType::kF32, slot.weight.shape());
    if (options.gradient_accumulation > 1 || options.ranks != nullptr)
      slot.accumulated = Tensor(DType::kF32, slot.weight.shape());
    if (options.ema_decay > 0) slot.average = slot.weight.clone();
    slot.decay = slot.weight.rank() > 1;
    if (options.layer_decay != 1) slot.rate_factor = layer_rate_factor(model.config, name, options.layer_decay);
    model.parameters.set(name, EncodedTensor::dense(slot.weight));
    slots.push_back(std::move(slot));
  }
  return slots;
}

std::vector<OptimizerBlock> cut_blocks(const std::vector<ParameterSlot>& slots) {
  std::vector<OptimizerBlock> blocks;
  for (size_t s = 0; s < slots.size(); ++s) {
    if (slots[s].is_table) continue;
    for (int64_t begin = 0; begin < slots[s].size(); begin += kBlock) {
      blocks.push_back({static_cast<int32_t>(s), begin, std::min(begin + kBlock, slots[s].size())});
    }
  }
  return blocks;
}

Optimizer::Optimizer(std::vector<ParameterSlot>& slots, const TrainOptions& options, const KernelTable& table,
                     ThreadPool& pool, SharedSlots* shared)
    : slots_(slots), options_(options), table_(table), pool_(pool), shared_(shared), all_blocks_(cut_blocks(slots)) {
  blocks_ = shared_ != nullptr ? shared_->own(all_blocks_) : all_blocks_;
  partial_.resize(blocks_.size());
  tables_.resize(slots.size());
  table_gradients_.resize(slots.size());
  for (size_t s = 0; s < slots.size(); ++s) {
    if (slots[s].is_table) tables_[s] = std::make_unique<TableRows>(slots[s], table, pool);
  }
}

Optimizer::~Optimizer() = default;

void Optimizer::accumulate_nothing() {
  for (ParameterSlot& slot : slots_) {
    if (slot.is_table) continue;
    float* sum = slot.accumulated.mutable_data<float>();
    std::fill(sum, sum + slot.size(), 0.0f);
  }
}

void Optimizer::catch_up(size_t slot, std::span<const int32_t> ids) {
  tables_[slot]->catch_up(ids);
}

void Optimizer::catch_up_all() {
  for (const auto& table : tables_) {
    if (table) table->catch_up_all();
  }
}

void Optimizer::accumulate(std::span<const float* const> gradients, double weight, bool first) {
  const float factor = static_cast<float>(weight);
  pool_.parallel_for(static_cast<int64_t>(all_blocks_.size()), [&](int64_t b, int) {
    const OptimizerBlock& block = all_blocks_[b];
    float* sum = slots_[block.slot].accumulated.mutable_data<float>();
    const float* gradient = gradients[block.slot];
    for (int64_t i = block.begin; i < block.end; ++i) sum[i] = (first ? 0.0f : sum[i]) + factor * gradient[i];
  });
}

std::vector<const float*> Optimizer::accumulated() const {
  std::vector<const float*> result;
  for (const ParameterSlot& slot : slots_) result.push_back(slot.accumulated.data<float>());
  return result;
}

double Optimizer::global_norm(std::span<const float* const> gradients, std::span<const double> squares) {
  pool_.parallel_for(static_cast<int64_t>(blocks_.size()), [&](int64_t b, int) {
    const OptimizerBlock& block = blocks_[b];
    const bool is_known = !(squares[block.slot] < 0);
    partial_[b] = is_known ? 0 : table_.sum_of_squares(gradients[block.slot] + block.begin, block.end - block.begin);
  });
  double sum = 0;
  for (const double known : squares) sum += known < 0 ? 0 : known;
  // All ranks' parts one behind the other are the blocks of one process.
  for (const double part : shared_ != nullptr ? shared_->gather(partial_) : partial_) sum += part;
  return std::sqrt(sum);
}

double Optimizer::step(std::span<const float* const> gradients, std::span<const double> squares, double scale,
                       double learning_rate, int64_t time) {
  const double norm = global_norm(gradients, squares) * scale;
  if (!std::isfinite(norm)) return norm;
  const double limit = options_.max_grad_norm;
  // PyTorch's clip_grad_norm_ divides by norm + 1e-6.
  const double clip = limit > 0 ? std::min(1.0, limit / (norm + 1e-6)) : 1.0;
  AdamwStep common;
  common.beta1 = static_cast<float>(options_.beta1);
  common.beta2 = static_cast<float>(options_.beta2);
  common.eps = static_cast<float>(options_.adam_eps);
  common.bias1 = static_cast<float>(1.0 - std::pow(options_.beta1, static_cast<double>(time)));
  common.bias2 = static_cast<float>(1.0 - std::pow(options_.beta2, static_cast<double>(time)));
  common.grad_scale = static_cast<float>(scale * clip);
  const auto numbers_for = [&](const ParameterSlot& slot) {
    AdamwStep numbers = common;
    numbers.lr = static_cast<float>(learning_rate * slot.rate_factor);
    numbers.weight_decay = slot.decay ? static_cast<float>(options_.weight_decay) : 0.0f;
    return numbers;
  };
  const auto average_keeps = static_cast<float>(average_decay(options_.ema_decay, time));
  pool_.parallel_for(static_cast<int64_t>(blocks_.size()), [&](int64_t b, int) {
    const OptimizerBlock& block = blocks_[b];
    ParameterSlot& slot = slots_[block.slot];
    AdamwStep update = numbers_for(slot);
    update.weight = slot.weight.mutable_data<float>();
    update.grad = gradients[block.slot];
    update.m = slot.m.mutable_data<float>();
    update.v = slot.v.mutable_data<float>();
    table_.adamw(update, block.begin, block.end);
    if (!slot.average.defined()) return;
    add_to_average(update.weight + block.begin, average_keeps, block.end - block.begin,
                   slot.average.mutable_data<float>() + block.begin);
  });
  for (size_t s = 0; s < slots_.size(); ++s) {
    if (tables_[s]) tables_[s]->step(numbers_for(slots_[s]), table_gradients_[s]);
  }
  return norm;
}

void Optimizer::swap_averages() {
  pool_.parallel_for(static_cast<int64_t>(all_blocks_.size()), [&](int64_t b, int) {
    const OptimizerBlock& block = all_blocks_[b];
    ParameterSlot& slot = slots_[block.slot];
    if (!slot.average.defined()) return;
    float* weight = slot.weight.mutable_data<float>();
    std::swap_ranges(weight + block.begin, weight + block.end, slot.average.mutable_data<float>() + block.begin);
  });
}

}  // namespace fettle
