#include <cstring>
#include <utility>
#include <vector>

#include "runtime/kernels/factories.h"
#include "runtime/kernels/pack.h"
#include "tensor/int_grid.h"
#include "tensor/sparse.h"

namespace fettle {
namespace {

constexpr int64_t kActivationGrain = 8192;

// Checked, with its zeros and a scale for each row, and kept only until the weights are packed.
EncodedTensor stored(const NodeBinding& binding, size_t i) {
  const EncodedTensor& value = binding.parameters.stored(binding.node.inputs[i]);
  check_values(binding.graph.value(binding.node.inputs[i]).name, value);
  return with_row_scales(to_dense(value));
}

bool by_its_quads(const NodeBinding& binding, size_t i) {
  return runs_by_quads(binding.parameters.stored(binding.node.inputs[i]), binding.options);
}

Tensor stored_bias(const NodeBinding& binding, size_t i) {
  return binding.has(i) ? stored(binding, i).decode() : Tensor();
}

class PackedLinearNode : public NodeKernel {
 public:
  PackedLinearNode(ValueId x, ValueId y, std::shared_ptr<const PackedLinear> weights, Activation activation)
      : x_(x), y_(y), weights_(std::move(weights)), activation_(activation) {}

  void run(const RunContext& context) override {
    const Slot& x = context[x_];
    const Slot& y = context[y_];
    const bool is_prepared = fed_ != nullptr && std::exchange(fed_->ready_for, nullptr) == weights_.get();
    if (x.rows == 0) return;
    const LinearRows rows{.x = x.data,
                          .ldx = x.width,
                          .x_is_bf16 = x.is_bf16,
                          .rows = x.rows,
                          .y = y.data,
                          .ldy = y.width,
                          .y_is_bf16 = y.is_bf16,
                          .activation = activation_};
    if (is_prepared) {
      weights_->run_prepared(fed_->rows, rows, *context.pool);
    } else if (weights_->takes_bf16()) {
      weights_->run_rows(rows, *context.pool);
    } else {
      weights_->run(x.f32(), x.width, x.rows, y.f32(), y.width, activation_, nullptr, *context.pool);
    }
  }
  const PackedLinear* fed_by(ValueId input) const override {
    return input == x_ && weights_->prepares_rows() ? weights_.get() : nullptr;
  }
  void take_from(FedRows* fed) override { fed_ = fed; }
  bool takes_bf16(ValueId) const override { return weights_->takes_bf16(); }
  int64_t packed_bytes() const override { return weights_->size_bytes(); }
  const PackedLinear* first_packed() const override { return weights_.get(); }

 private:
  ValueId x_, y_;
  std::shared_ptr<const PackedLinear> weights_;
  Activation activation_;
  FedRows* fed_ = nullptr;
};

// Linears side by side in one output; their encodings differ, so they are not packed as one.
class SplitQkvNode : public NodeKernel {
 public:
  SplitQkvNode(ValueId x, ValueId y, std::vector<std::shared_ptr<const PackedLinear>> parts,
               std::vector<int64_t> columns)
      : x_(x), y_(y), parts_(std::move(parts)), columns_(std::move(columns)) {}

  void run(const RunContext& context) override {
    const Slot& x = context[x_];
    const Slot& y = context[y_];
    if (x.rows == 0) return;
    for (size_t i = 0; i < parts_.size(); ++i) {
      parts_[i]->run(x.f32(), x.width, x.rows, y.f32() + columns_[i], y.width, Activation::kNone, nullptr,
                     *context.pool);
    }
  }
  int64_t packed_bytes() const override {
    int64_t n = 0;
    for (const auto& part : parts_) n += part->size_bytes();
    return n;
  }
  const PackedLinear* first_packed() const override { return parts_.front().get(); }

 private:
  ValueId x_, y_;
  std::vector<std::shared_ptr<const PackedLinear>> parts_;
  std::vector<int64_t> columns_;
};

// Weights read in place at every run: one product for each [weight, bias] pair, side by side.
class LinearNode : public NodeKernel {
 public:
  LinearNode(const NodeBinding& binding, size_t n_parts)
      : x_(binding.input(0)),
        y_(binding.output(0)),
        precision_(binding.options.precision),
        activation_(parse_activation(binding.attributes().get_string("activation", "none"))) {
    for (size_t i = 0; i < n_parts; ++i) parts_.push_back({binding.input(1 + 2 * i), binding.input(2 + 2 * i)});
  }

  void run(const RunContext& context) override {
    const Slot& x = context[x_];
    const Slot& y = context[y_];
    if (x.rows == 0) return;
    const auto product = precision_ == Precision::kBF16 ? context.table->matmul_bf16 : context.table->matmul_f32;
    int64_t column = 0;
    for (const Part& part : parts_) {
      const Slot& weight = context[part.weight];
      product({.m = x.rows,
               .n = weight.rows,
               .k = x.width,
               .a = x.f32(),
               .lda = x.width,
               .b = weight.f32(),
               .ldb = weight.width,
               .transpose_b = true,
               .c = y.f32() + column,
               .ldc = y.width,
               .bias = part.bias == kNoValue ? nullptr : context[part.bias].f32()},
              *context.pool);
      column += weight.rows;
    }
    if (activation_ == Activation::kNone) return;
    for_row_ranges(context, y.size(), 1, kActivationGrain, [&](int64_t begin, int64_t end) {
      context.table->activate(activation_, y.f32() + begin, y.f32() + begin, end - begin);
    });
  }

 private:
  struct Part {
    ValueId weight;
    ValueId bias;
  };
  ValueId x_, y_;
  Precision precision_;
  Activation activation_;
  std::vector<Part> parts_;
};

bool can_pack(const NodeBinding& binding, size_t weight) {
  return binding.is_constant(weight) && (!binding.has(weight + 1) || binding.is_constant(weight + 1));
}

// Rows of several tensors of one type under each other.
Tensor stacked(const std::vector<Tensor>& parts) {
  Shape shape = parts[0].shape();
  shape[0] = 0;
  for (const Tensor& part : parts) shape[0] += part.dim(0);
  Tensor all(parts[0].dtype(), shape);
  auto* out = static_cast<std::byte*>(all.raw_mutable());
  for (const Tensor& part : parts) {
    std::memcpy(out, part.raw(), static_cast<size_t>(part.size_bytes()));
    out += part.size_bytes();
  }
  return all;
}

// Linears side by side: pairs of weight and bias after x.
size_t n_qkv_parts(const NodeBinding& binding) {
  return (binding.node.inputs.size() - 1) / 2;
}

bool has_one_encoding(const NodeBinding& binding) {
  const EncodedTensor first = binding.parameters.stored(binding.node.inputs[1]);
  for (size_t i = 3; i < binding.node.inputs.size(); i += 2) {
    const EncodedTensor& other = binding.parameters.stored(binding.node.inputs[i]);
    const bool alike = numbers_of(other.encoding) == numbers_of(first.encoding) &&
                       other.scales.dtype() == first.scales.dtype() && other.input_scale == first.input_scale;
    if (!alike) return false;
  }
  return true;
}

std::unique_ptr<PackedLinear> pack_together(const NodeBinding& binding) {
  std::vector<Tensor> values;
  std::vector<Tensor> scales;
  std::vector<Tensor> zeros;
  std::vector<Tensor> biases;
  EncodedTensor all;
  int64_t n_rows = 0;
  bool by_quads = true;
  for (size_t i = 0; i < n_qkv_parts(binding); ++i) {
    const EncodedTensor weight = stored(binding, 1 + 2 * i);
    const Tensor bias = stored_bias(binding, 2 + 2 * i);
    by_quads = by_quads && by_its_quads(binding, 1 + 2 * i);
    all.encoding = weight.encoding;
    all.shape = weight.shape;
    all.input_scale = weight.input_scale;
    n_rows += weight.shape[0];
    values.push_back(weight.data);
    if (weight.scales.defined()) scales.push_back(weight.scales);
    if (weight.zeros.defined()) zeros.push_back(weight.zeros);
    biases.push_back(bias.defined() ? bias : Tensor(DType::kF32, {weight.shape[0]}));
  }
  all.data = stacked(values);
  all.shape[0] = n_rows;
  if (!scales.empty()) all.scales = stacked(scales);
  if (!zeros.empty()) all.zeros = stacked(zeros);
  return pack_weights(all, stacked(biases), binding.options, by_quads);
}

// The linear of input `weight` and the bias behind it.
std::shared_ptr<const PackedLinear> pack_one(const NodeBinding& binding, size_t weight) {
  return shared_weights(binding, weight, weight + 2, [&] {
    const EncodedTensor values = stored(binding, weight);
    return pack_weights(values, stored_bias(binding, weight + 1), binding.options, by_its_quads(binding, weight));
  });
}

std::unique_ptr<NodeKernel> pack_qkv(const NodeBinding& binding) {
  const ValueId x = binding.input(0);
  const ValueId y = binding.output(0);
  if (has_one_encoding(binding)) {
    auto packed = shared_weights(binding, 1, binding.node.inputs.size(), [&] { return pack_together(binding); });
    return std::make_unique<PackedLinearNode>(x, y, std::move(packed), Activation::kNone);
  }
  std::vector<std::shared_ptr<const PackedLinear>> parts;
  std::vector<int64_t> columns;
  int64_t column = 0;
  for (size_t i = 0; i < n_qkv_parts(binding); ++i) {
    parts.push_back(pack_one(binding, 1 + 2 * i));
    columns.push_back(column);
    column += binding.parameters.stored(binding.node.inputs[1 + 2 * i]).shape[0];
  }
  return std::make_unique<SplitQkvNode>(x, y, std::move(parts), std::move(columns));
}

}  // namespace

std::unique_ptr<NodeKernel> make_linear(const NodeBinding& binding) {
  if (!can_pack(binding, 1)) return std::make_unique<LinearNode>(binding, 1);
  return std::make_unique<PackedLinearNode>(binding.input(0), binding.output(0), pack_one(binding, 1),
                                            parse_activation(binding.attributes().get_string("activation", "none")));
}

std::unique_ptr<NodeKernel> make_linear_qkv(const NodeBinding& binding) {
  for (size_t i = 0; i < n_qkv_parts(binding); ++i) {
    if (!can_pack(binding, 1 + 2 * i)) return std::make_unique<LinearNode>(binding, n_qkv_parts(binding));
  }
  return pack_qkv(binding);
}

}  // namespace fettle
