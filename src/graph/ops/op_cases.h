// For tests: every op in a small graph of its own, so that gradients and kernels of all are tested, and a new op
// without a case here fails.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "graph/ops/gradient_check.h"

namespace fettle {

struct OpCase {
  std::string name;  // the op's, and what is special about the case
  std::vector<ValueId> outputs;
  std::vector<ValueId> wrt;          // what the first output is differentiated by; empty where the op has no gradient
  bool is_straight_through = false;  // its gradient is one by convention, not that of its values

  std::string_view op() const { return std::string_view(name).substr(0, name.find(' ')); }
};

// Builds the cases, each in a graph of its own. Matrices are [rows, width]; rows and width are even, 4 or more.
class OpCases {
 public:
  struct Built {
    OpCase item;
    TestGraph test;
  };

  OpCases(DType dtype, int64_t rows, int64_t width) : dtype_(dtype), rows_(rows), width_(width) {
    add_elementwise();
    add_products();
    add_rows();
    add_norms_and_softmax();
    add_losses();
    add_attention();
    add_masks();
    add_fake_quantization();
  }
  const std::vector<Built>& all() const& { return built_; }

 private:
  using Ids = std::vector<ValueId>;

  TestGraph& begin() { return built_.emplace_back(Built{{}, TestGraph(built_.size() + 1, dtype_)}).test; }
  void end(std::string name, Ids outputs, Ids wrt = {}) {
    built_.back().item = {std::move(name), std::move(outputs), std::move(wrt)};
  }
  ValueId matrix(const std::string& name) { return built_.back().test.random(name, {rows_, width_}); }
  // A node of the case's op on the given inputs.
  void op(const std::string& name, Ids inputs, const Attributes& attributes, Ids wrt = {}) {
    const std::string op_name = name.substr(0, name.find(' '));
    Ids outputs = built_.back().test.graph.add_nodes(op_name, std::move(inputs), attributes);
    end(name, std::move(outputs), std::move(wrt));
  }

  void add_elementwise() {
    for (const char* kind : {"relu", "tanh", "gelu", "gelu_tanh"}) {
      begin();
      const ValueId x = matrix("x");
      op(std::string("activate ") + kind, {x}, {{"kind", kind}}, {x});
      begin();
      op(std::string("activate_grad ") + kind, {matrix("x"), matrix("d_y")}, {{"kind", kind}});
    }
    begin();
    const ValueId a = matrix("a");
    const ValueId b = matrix("b");
    op("add", {a, b}, {}, {a, b});
    begin();
    const ValueId x = matrix("x");
    op("scale", {x}, {{"factor", -1.5}}, {x});
    begin();
    const ValueId dropped = matrix("x");
    op("dropout", {dropped}, {{"p", 0.4}, {"stream", int64_t{9}}}, {dropped});
  }

  void add_products() {
    for (const bool transpose_a : {false, true}) {
      for (const bool transpose_b : {false, true}) {
        TestGraph& test = begin();
        const Shape shape_a{transpose_a ? width_ : rows_, transpose_a ? rows_ : width_};
        const Shape shape_b{transpose_b ? rows_ + 2 : width_, transpose_b ? width_ : rows_ + 2};
        const ValueId a = test.random("a", shape_a);
        const ValueId b = test.random("b", shape_b);
        op(std::string("matmul") + (transpose_a ? " of A transposed" : "") + (transpose_b ? " by B transposed" : ""),
           {a, b}, {{"transpose_a", transpose_a}, {"transpose_b", transpose_b}}, {a, b});
      }
    }
    {
      TestGraph& test = begin();
      op("matmul with squares", {matrix("a"), test.random("b", {width_, rows_})}, {{"squares", true}});
    }
    for (const char* activation : {"none", "gelu"}) {
      TestGraph& test = begin();
      const ValueId x = matrix("x");
      const ValueId weight = test.weight("weight", {rows_ + 2, width_});
      const ValueId bias = test.weight("bias", {rows_ + 2});
      const bool fused = std::string_view(activation) != "none";
      op(std::string("linear with activation ") + activation, {x, weight, bias}, {{"activation", activation}},
         fused ? Ids{} : Ids{x, weight, bias});
    }
    for (const size_t n_parts : {3, 2}) {
      TestGraph& test = begin();
      Ids inputs{matrix("x")};
      for (size_t i = 0; i < n_parts; ++i) {
        const std::string part = "part " + std::to_string(i);
        inputs.push_back(test.weight(part + ".weight", {width_ + 2, width_}));
        inputs.push_back(test.weight(part + ".bias", {width_ + 2}));
      }
      op("linear_qkv of " + std::to_string(n_parts), inputs, {});
    }
  }

  void add_rows() {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < rows_; ++i) ids.push_back(static_cast<int32_t>(i * i % 5));
    {
      TestGraph& test = begin();
      const ValueId table = test.weight("table", {7, width_});
      op("gather_rows", {table, test.indices("ids", ids)}, {}, {table});
    }
    {
      TestGraph& test = begin();
      const ValueId d_y = matrix("d_y");
      const ValueId table = test.weight("table", {7, width_});
      op("scatter_rows", {test.indices("ids", ids), d_y, table}, {}, {d_y});
    }
    {
      TestGraph& test = begin();
      const ValueId d_y = matrix("d_y");
      op("sum_equal_rows", {test.indices("ids", ids), d_y}, {{"table_rows", int64_t{7}}});
    }
    for (const size_t n_tables : {1, 2, 3}) {
      TestGraph& test = begin();
      Ids inputs{test.weight("gamma", {width_}), test.weight("beta", {width_})};
      for (size_t t = 0; t < n_tables; ++t) {
        inputs.push_back(test.weight("table " + std::to_string(t), {7, width_}));
        inputs.push_back(test.indices("ids " + std::to_string(t), ids));
        std::rotate(ids.begin(), ids.begin() + 1, ids.end());
      }
      op("embed_layer_norm of " + std::to_string(n_tables), inputs, {{"eps", 1e-5}});
    }
    begin();
    op("sum_rows", {matrix("x")}, {});
    for (const int64_t n_groups : {width_, width_ / 2}) {
      const std::string of = " of " + std::to_string(n_groups);
      const std::vector<int32_t> offsets = {0, 1, static_cast<int32_t>(rows_)};
      TestGraph& test = begin();
      const ValueId x = matrix("x");
      const ValueId gates = test.random("gates", {2, n_groups});
      op("scale_groups" + of, {x, gates, test.indices("offsets", offsets)}, {}, {x, gates});
      TestGraph& grad = begin();
      op("scale_groups_grad" + of, {matrix("x"), matrix("d_y"), grad.indices("offsets", offsets)},
         {{"groups", n_groups}});
    }
  }

  void add_norms_and_softmax() {
    {
      TestGraph& test = begin();
      const ValueId x = matrix("x");
      const ValueId gamma = test.weight("gamma", {width_});
      const ValueId beta = test.weight("beta", {width_});
      op("layer_norm", {x, gamma, beta}, {{"eps", 1e-5}}, {x, gamma, beta});
    }
    {
      TestGraph& test = begin();
      const ValueId x = matrix("x");
      const Ids inputs{x, test.weight("gamma", {width_}), test.weight("beta", {width_}), matrix("residual")};
      op("layer_norm with a residual", inputs, {{"eps", 1e-5}});
    }
    {
      TestGraph& test = begin();
      const ValueId x = matrix("x");
      const ValueId gamma = test.weight("gamma", {width_});
      const Ids norm = test.graph.add_nodes("layer_norm", {x, gamma, test.weight("beta", {width_})}, {{"eps", 1e-5}});
      op("layer_norm_grad", {x, matrix("d_y"), gamma, norm[1], norm[2]}, {});
    }
    begin();
    op("softmax", {matrix("x")}, {});
    begin();
    op("log_softmax", {matrix("x")}, {});
  }

  ValueId labels() {
    std::vector<int32_t> values;
    for (int64_t i = 0; i < rows_; ++i) values.push_back(i == 1 ? -1 : static_cast<int32_t>(3 * i % width_));
    return built_.back().test.indices("labels", values);
  }

  void add_losses() {
    const Attributes smoothing{{"label_smoothing", 0.1}};
    const Attributes temperature{{"temperature", 3.0}};
    {
      begin();
      const ValueId logits = matrix("logits");
      op("softmax_cross_entropy", {logits, labels()}, smoothing, {logits});
    }
    {
      TestGraph& test = begin();
      const ValueId logits = test.graph.node("log_softmax", {matrix("logits")});
      op("softmax_cross_entropy_grad", {logits, labels(), test.random("d", {1})}, smoothing);
    }
    add_weighted_cross_entropy(smoothing);
    {
      begin();
      const ValueId student = matrix("student");
      op("distillation_loss", {student, matrix("teacher")}, temperature, {student});
    }
    {
      TestGraph& test = begin();
      const ValueId student = matrix("student");
      op("distillation_loss_grad", {student, matrix("teacher"), test.random("d", {1})}, temperature);
    }
    {
      begin();
      const ValueId a = matrix("a");
      const ValueId b = matrix("b");
      op("mean_squared_error", {a, b}, {}, {a, b});
    }
    {
      TestGraph& test = begin();
      const ValueId a = matrix("a");
      op("mean_squared_error_grad", {a, matrix("b"), test.random("d", {1})}, {});
    }
    add_binary_cross_entropy();
    add_feature_losses();
  }

  void add_feature_losses() {
    {
      begin();
      const ValueId student = matrix("student");
      op("cosine_loss", {student, matrix("teacher")}, {}, {student});
    }
    {
      TestGraph& test = begin();
      const ValueId student = matrix("student");
      op("cosine_loss_grad", {student, matrix("teacher"), test.random("d", {1})}, {});
    }
    const Attributes heads{{"n_heads", int64_t{2}}};
    for (const bool of_itself : {false, true}) {
      TestGraph& test = begin();
      const ValueId a = matrix("a");
      const ValueId b = of_itself ? a : matrix("b");
      const ValueId teacher_a = test.random("teacher_a", {rows_, 2 * width_});
      const ValueId teacher_b = test.random("teacher_b", {rows_, 2 * width_});
      op(of_itself ? "relation_loss of values" : "relation_loss", {a, b, teacher_a, teacher_b, offsets()}, heads,
         of_itself ? Ids{a} : Ids{a, b});
    }
    TestGraph& test = begin();
    const Ids inputs{matrix("a"), matrix("b"), test.random("teacher", {rows_, 4}), offsets()};
    const Ids loss =
        test.graph.add_nodes("relation_loss", {inputs[0], inputs[1], inputs[2], inputs[2], inputs[3]}, heads);
    op("relation_loss_grad", {inputs[0], inputs[1], loss[1], test.random("d", {1}), inputs[3]}, heads);
  }

  ValueId class_weights() {
    std::vector<double> weights;
    for (int64_t c = 0; c < width_; ++c) weights.push_back(0.25 + 0.5 * static_cast<double>(c % 5));
    return built_.back().test.floats("class weights", weights, {width_});
  }

  void add_weighted_cross_entropy(const Attributes& smoothing) {
    {
      begin();
      const ValueId logits = matrix("logits");
      op("softmax_cross_entropy with weights", {logits, labels(), class_weights()}, smoothing, {logits});
    }
    TestGraph& test = begin();
    const ValueId logits = test.graph.node("log_softmax", {matrix("logits")});
    op("softmax_cross_entropy_grad with weights", {logits, labels(), test.random("d", {1}), class_weights()},
       smoothing);
  }

  ValueId yes_or_no() {
    std::vector<double> values;
    for (int64_t i = 0; i < rows_ * width_; ++i) values.push_back(i % 3 == 0 ? 1 : i % 7 == 0 ? 0.5 : 0);
    return built_.back().test.floats("targets", values, {rows_, width_});
  }

  void add_binary_cross_entropy() {
    begin();
    const ValueId logits = matrix("logits");
    op("binary_cross_entropy", {logits, yes_or_no()}, {}, {logits});
    TestGraph& test = begin();
    const ValueId x = matrix("logits");
    op("binary_cross_entropy_grad", {x, yes_or_no(), test.random("d", {1})}, {});
  }

  // Sequences of one token, none, and the rest.
  ValueId offsets() { return built_.back().test.indices("offsets", {0, 1, 1, static_cast<int32_t>(rows_)}); }

  Attributes attention_attributes(double dropout) const {
    return {{"n_heads", int64_t{2}},
            {"head_dim", width_ / 2},
            {"scale", 0.7},
            {"dropout", dropout},
            {"stream", int64_t{11}}};
  }

  void add_attention() {
    for (const double dropout : {0.0, 0.3}) {
      begin();
      const Ids inputs{matrix("q"), matrix("k"), matrix("v"), offsets()};
      Attributes attributes = attention_attributes(dropout);
      attributes.set("keep_probabilities", true);
      op(dropout == 0 ? "attention" : "attention with dropout", inputs, attributes, {inputs[0], inputs[1], inputs[2]});
    }
    {
      TestGraph& test = begin();
      const Ids inputs{matrix("q"), matrix("k"), matrix("v"), offsets()};
      Attributes attributes = attention_attributes(0.3);
      attributes.set("keep_probabilities", true);
      const Ids attention = test.graph.add_nodes("attention", inputs, attributes);
      op("attention_grad", {inputs[0], inputs[1], inputs[2], inputs[3], attention[1], matrix("d_out")},
         attention_attributes(0.3));
    }
    TestGraph& test = begin();
    const ValueId qkv = test.random("qkv", {rows_, 3 * width_});
    const Attributes attributes{{"n_heads", int64_t{2}}, {"head_dim", width_ / 2}, {"scale", 0.7}};
    op("attention_packed", {qkv, offsets()}, attributes);
    add_attention_rows(attributes);
  }

  // Queries of the first token, of another one and of a sequence in between, in no order.
  void add_attention_rows(const Attributes& attributes) {
    TestGraph& test = begin();
    const ValueId q = test.random("q", {3, width_});
    const ValueId kv = test.random("kv", {rows_, 2 * width_});
    const ValueId rows = test.indices("rows", {2, 0, 1});
    op("attention_rows", {q, kv, rows, offsets()}, attributes);
  }

  // Blocks that fit, and such that are cut at the edges.
  void add_masks() {
    for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{1, 1}, {1, 4}, {3, 4}}) {
      const Attributes blocks{{"block_rows", rows}, {"block_columns", columns}};
      const Shape mask_shape{(rows_ + rows - 1) / rows, (width_ + columns - 1) / columns};
      const std::string of = " of " + std::to_string(rows) + "x" + std::to_string(columns);
      {
        TestGraph& test = begin();
        const ValueId weight = test.weight("weight", {rows_, width_});
        const ValueId mask = test.random("mask", mask_shape);
        op("mask_weight" + of, {weight, mask, test.weight("scores", mask_shape)}, blocks, {weight, mask});
      }
      TestGraph& test = begin();
      const ValueId weight = test.weight("weight", {rows_, width_});
      op("mask_weight_grad" + of, {weight, test.random("mask", mask_shape), matrix("d_y")}, blocks);
    }
    add_gates();
  }

  void add_gates() {
    const Attributes gates{{"beta", 2.0 / 3}, {"gamma", -0.1}, {"zeta", 1.1}, {"stream", int64_t{3}}};
    for (const double noise : {1.0, 0.0}) {
      const std::string which = noise != 0 ? " with noise" : "";
      {
        TestGraph& test = begin();
        const ValueId log_alpha = test.weight("log_alpha", {rows_, width_});
        op("hard_concrete" + which, {log_alpha, matrix("keep"), test.floats("noise", {noise}, {1})}, gates,
           {log_alpha});
      }
      TestGraph& test = begin();
      const ValueId log_alpha = test.weight("log_alpha", {rows_, width_});
      const ValueId keep = matrix("keep");
      op("hard_concrete_grad" + which, {log_alpha, keep, test.floats("noise", {noise}, {1}), matrix("d_z")}, gates);
    }
    {
      TestGraph& test = begin();
      const ValueId scores = test.weight("scores", {rows_, width_});
      op("sigmoid_penalty", {scores, test.random("weight", {1})}, {{"shift", 0.7}}, {scores});
    }
    TestGraph& test = begin();
    const ValueId scores = test.weight("scores", {rows_, width_});
    op("sigmoid_penalty_grad", {scores, test.random("weight", {1}), test.random("d", {1})}, {{"shift", 0.7}});
  }

  // Rows with a step each, groups that the last columns cut short, zero points, one step for all.
  void add_fake_quantization() {
    struct Scheme {
      const char* name;
      int64_t block_rows;
      int64_t block_columns;
      bool has_zeros;
    };
    for (const Scheme& scheme : {Scheme{" of rows", 1, width_, false}, Scheme{" of groups", 1, 4, false},
                                 Scheme{" with zero points", 1, 4, true}, Scheme{" of all", 0, width_, false}}) {
      const Attributes attributes{{"block_rows", scheme.block_rows},
                                  {"block_columns", scheme.block_columns},
                                  {"lowest", int64_t{scheme.has_zeros ? 0 : -4}},
                                  {"highest", int64_t{scheme.has_zeros ? 7 : 3}},
                                  {"gradient_scale", 0.5},
                                  {"bf16_steps", scheme.has_zeros}};
      const Shape blocks{scheme.block_rows == 0 ? 1 : rows_,
                         (width_ + scheme.block_columns - 1) / scheme.block_columns};
      const auto n_blocks = static_cast<size_t>(blocks[0] * blocks[1]);
      std::vector<double> steps(n_blocks);
      std::vector<double> zeros(n_blocks);
      for (size_t i = 0; i < n_blocks; ++i) {
        steps[i] = 0.21 + 0.1 * static_cast<double>(i % 7);
        zeros[i] = static_cast<double>(i % 8);
      }
      for (const bool is_gradient : {false, true}) {
        TestGraph& test = begin();
        Ids inputs{matrix("x"), test.floats("steps", steps, blocks)};
        if (is_gradient) inputs.push_back(matrix("d_y"));
        if (scheme.has_zeros) inputs.push_back(test.floats("zeros", zeros, blocks));
        op((is_gradient ? "fake_quantize_grad" : "fake_quantize") + std::string(scheme.name), inputs, attributes);
        built_.back().item.is_straight_through = !is_gradient;
      }
    }
    begin();
    op("fake_quantize_rows", {matrix("x")}, {});
    built_.back().item.is_straight_through = true;
  }

  DType dtype_;
  int64_t rows_;
  int64_t width_;
  std::vector<Built> built_;
};

}  // namespace fettle
