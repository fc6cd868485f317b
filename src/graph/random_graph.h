// For tests and fuzzing: graphs made from bytes, with values for their inputs.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "graph/op.h"

namespace fettle {

// Draws decisions from bytes; 0 when they are used up. The graph is in f64, in which passes must not change a bit.
class RandomGraph {
 public:
  explicit RandomGraph(std::span<const uint8_t> bytes) : bytes_(bytes) {
    add_inputs();
    while (!bytes_.empty() && graph.nodes().size() < kMaxNodes) add_step();
    graph.add_output("last", rows_.back());
  }

  Graph graph;
  std::map<std::string, Tensor> tensors;
  std::vector<ValueId> float_inputs;

 private:
  static constexpr size_t kMaxNodes = 40;
  static constexpr int64_t kWidth = 4;
  static constexpr int64_t kTokens = 5;

  size_t draw(size_t n) {
    if (bytes_.empty()) return 0;
    const size_t value = bytes_.front() % n;
    bytes_ = bytes_.subspan(1);
    return value;
  }
  template <typename T>
  const T& pick(const std::vector<T>& items) {
    return items[draw(items.size())];
  }

  ValueId floats(const std::string& name, const TensorType& type, const Shape& shape) {
    Tensor tensor(DType::kF64, shape);
    Philox random(1, graph.values().size());
    for (int64_t i = 0; i < tensor.size(); ++i) tensor.mutable_data<double>()[i] = static_cast<double>(random.normal());
    tensors[name] = tensor;
    float_inputs.push_back(graph.add_input(name, type));
    return float_inputs.back();
  }
  ValueId weight(const std::string& name, const Shape& shape) {
    TensorType type{DType::kF64, {}};
    for (const int64_t dim : shape) type.shape.push_back(Graph::constant_dim(dim));
    return floats(name, type, shape);
  }
  ValueId indices(const std::string& name, Dim dim, const std::vector<int32_t>& values) {
    tensors[name] = Tensor::from_i32(values, {static_cast<int64_t>(values.size())});
    return graph.add_input(name, {DType::kI32, {dim}});
  }

  void add_inputs() {
    const Dim tokens = graph.symbol("tokens");
    Dim ends = graph.symbol("batch");
    ends.value = 1;
    offsets_ = indices("offsets", ends, {0, 2, 2, kTokens});
    ids_ = indices("ids", tokens, {2, 0, 3, 3, 1});
    // One row for each sequence, but not of it.
    first_ = indices("first", graph.symbol("batch"), {3, 0, 2});
    rows_.push_back(floats("x", {DType::kF64, {tokens, Graph::constant_dim(kWidth)}}, {kTokens, kWidth}));
    for (const char* name : {"w0", "w1", "w2"}) weights_.push_back(weight(name, {kWidth, kWidth}));
    for (const char* name : {"b0", "b1"}) biases_.push_back(weight(name, {kWidth}));
  }

  void add_step() {
    const ValueId x = pick(rows_);
    switch (draw(11)) {
      case 0:
        return keep("linear", {x, pick(weights_), draw(4) == 0 ? kNoValue : pick(biases_)}, {});
      case 1:
        return keep("activate", {x}, {{"kind", pick<std::string>({"relu", "tanh", "gelu", "gelu_tanh"})}});
      case 2:
        return keep("add", {x, pick(rows_)}, {});
      case 3:
        return keep("layer_norm", {x, pick(biases_), pick(biases_)}, {{"eps", 0.01}});
      case 4:
        return attention(linear(x), linear(x), linear(x));
      case 5:
        return attention(pick(rows_), pick(rows_), pick(rows_));
      case 6:
        return keep("dropout", {x}, {{"p", 0.25 * static_cast<double>(draw(3))}, {"stream", int64_t{1}}});
      case 7:
        return keep("gather_rows", {pick(weights_), ids_}, {});
      case 8:
        graph.add_output("output " + std::to_string(graph.outputs().size()),
                         static_cast<ValueId>(draw(graph.values().size())));
        return;
      case 9:
        graph.add_output("rows " + std::to_string(graph.outputs().size()), graph.node("gather_rows", {x, first_}));
        return;
      default:
        return anything();
    }
  }

  void keep(std::string_view op, std::vector<ValueId> inputs, Attributes attributes) {
    rows_.push_back(graph.node(op, std::move(inputs), std::move(attributes)));
  }
  ValueId linear(ValueId x) { return graph.node("linear", {x, pick(weights_), pick(biases_)}); }
  void attention(ValueId q, ValueId k, ValueId v) {
    keep("attention", {q, k, v, offsets_},
         {{"n_heads", int64_t{2}},
          {"head_dim", kWidth / 2},
          {"scale", 0.5},
          {"dropout", 0.25 * static_cast<double>(draw(2))},
          {"stream", int64_t{2}},
          {"keep_probabilities", draw(2) == 1}});
  }

  // Any op on any values with any attributes: what inference accepts must be sound to evaluate.
  void anything() {
    static constexpr std::array kNames = {
        "activation",         "dropout", "eps",    "factor",      "head_dim",    "kind",        "n_heads",        "p",
        "keep_probabilities", "scale",   "stream", "temperature", "transpose_a", "transpose_b", "label_smoothing"};
    static const std::vector<Attribute> kValues = {true,        false,     int64_t{1}, int64_t{2},
                                                   int64_t{-1}, INT64_MAX, 0.0,        0.5,
                                                   -1e300,      "gelu",    "none",     std::vector<int64_t>{1}};
    const Op& op = *all_ops()[draw(all_ops().size())];
    std::vector<ValueId> inputs(draw(8));
    for (ValueId& input : inputs) input = static_cast<ValueId>(draw(graph.values().size() + 1)) - 1;
    Attributes attributes;
    for (size_t n = draw(6); n > 0; --n) attributes.set(kNames[draw(kNames.size())], kValues[draw(kValues.size())]);
    if (graph.values().size() > 250) return;
    try {
      graph.add_nodes(op.name(), inputs, attributes);
    } catch (const Error&) {
      return;
    }
    const TensorType& type = graph.type(graph.nodes().back().outputs[0]);
    if (type == graph.type(rows_[0])) rows_.push_back(graph.nodes().back().outputs[0]);
    for (const Dim& dim : type.shape) {
      if (dim.is_constant() && dim.value > 100) bytes_ = {};
    }
  }

  std::span<const uint8_t> bytes_;
  ValueId offsets_ = kNoValue;
  ValueId ids_ = kNoValue;
  ValueId first_ = kNoValue;
  std::vector<ValueId> rows_;     // [tokens, kWidth]
  std::vector<ValueId> weights_;  // [kWidth, kWidth]
  std::vector<ValueId> biases_;   // [kWidth]
};

}  // namespace fettle
