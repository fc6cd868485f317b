#include "train/parallel/shared_slots.h"

#include <cstring>

namespace fettle {
namespace {

// In each piece of memory a slot begins where a line of the cache does.
constexpr int64_t kAlignment = 16;

// Moves a tensor to its place in the piece.
void move_to(Tensor& piece, int64_t at, Tensor& tensor) {
  if (!tensor.defined()) return;
  Tensor moved = piece.rows(at, at + tensor.size()).reshaped(tensor.shape());
  std::memcpy(moved.raw_mutable(), tensor.raw(), static_cast<size_t>(tensor.size_bytes()));
  tensor = std::move(moved);
}

}  // namespace

SharedSlots::SharedSlots(std::vector<ParameterSlot>& slots, Model& model, Communicator& ranks) : ranks_(ranks) {
  std::vector<int64_t> places;
  int64_t total = 0;
  bool has_averages = false;
  for (const ParameterSlot& slot : slots) {
    places.push_back(total);
    if (slot.is_table) continue;
    total += (slot.size() + kAlignment - 1) / kAlignment * kAlignment;
    has_averages = has_averages || slot.average.defined();
  }
  for (Tensor* piece : {&weights_, &accumulated_, &m_, &v_}) *piece = Tensor(DType::kF32, {total});
  if (has_averages) averages_ = Tensor(DType::kF32, {total});
  for (size_t s = 0; s < slots.size(); ++s) {
    ParameterSlot& slot = slots[s];
    if (slot.is_table) continue;
    move_to(weights_, places[s], slot.weight);
    move_to(accumulated_, places[s], slot.accumulated);
    move_to(m_, places[s], slot.m);
    move_to(v_, places[s], slot.v);
    move_to(averages_, places[s], slot.average);
    model.parameters.set(slot.name, EncodedTensor::dense(slot.weight));
  }
  const std::vector<OptimizerBlock> blocks = cut_blocks(slots);
  for (int r = 0; r <= ranks.size(); ++r) {
    const auto block = static_cast<int64_t>(blocks.size()) * r / ranks.size();
    block_bounds_.push_back(block);
    const bool is_end = block == static_cast<int64_t>(blocks.size());
    bounds_.push_back(is_end ? total : places[static_cast<size_t>(blocks[block].slot)] + blocks[block].begin);
  }
}

std::vector<OptimizerBlock> SharedSlots::own(std::span<const OptimizerBlock> blocks) const {
  const auto rank = static_cast<size_t>(ranks_.rank());
  return {blocks.begin() + block_bounds_[rank], blocks.begin() + block_bounds_[rank + 1]};
}

std::vector<double> SharedSlots::gather(std::span<const double> mine) {
  std::vector<int64_t> sizes;
  const std::vector<std::byte> all = ranks_.gather(std::as_bytes(mine), sizes);
  std::vector<double> values(all.size() / sizeof(double));
  if (!values.empty()) std::memcpy(values.data(), all.data(), all.size());
  return values;
}

void SharedSlots::gather_moments() {
  ranks_.gather_parts(values_of(m_), bounds_);
  ranks_.gather_parts(values_of(v_), bounds_);
}

void SharedSlots::gather_averages() {
  if (averages_.defined()) ranks_.gather_parts(values_of(averages_), bounds_);
}

}  // namespace fettle
