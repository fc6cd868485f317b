// What the ops' shape inference and costs are made of: checks of inputs and attributes that say what is wrong.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "graph/op.h"

namespace fettle {

std::string node_label(const Node& node);                                // "linear 'bert.pooler.dense'"
std::string dim_to_string(const Graph& graph, const Dim& dim);           // "768", "batch + 1"
std::string type_to_string(const Graph& graph, const TensorType& type);  // "f32[tokens, 768]"

// Each check throws Error kFailed naming the node. Float inputs are f32 or f64 (tests check gradients in f64), all of a
// node alike.
class TypeCheck {
 public:
  // The first `required` inputs must be there, at most `optional` more may be.
  TypeCheck(const NodeView& view, size_t required, size_t optional = 0);

  const TensorType& floats(size_t input);  // of any rank
  const TensorType& floats(size_t input, size_t rank);
  const TensorType& indices(size_t input) const;  // i32 [n]
  void same_shape(size_t a, size_t b) const;
  void same_dim(const Dim& a, const Dim& b, std::string_view what) const;
  // An input of exactly one element, [1].
  void scalar(size_t input);
  // An input [w] of floats.
  void vector_of(size_t input, const Dim& width);

  int64_t integer(std::string_view attribute, int64_t min) const;
  // Absent is `fallback`.
  int64_t integer_or(std::string_view attribute, int64_t fallback, int64_t min) const;
  // Finite and in [min, max).
  double number(std::string_view attribute, double min, double max) const;
  double number_or(std::string_view attribute, double fallback, double min, double max) const;
  bool flag(std::string_view attribute, bool fallback) const;
  std::string one_of(std::string_view attribute, std::string_view fallback,
                     std::initializer_list<std::string_view> values) const;
  [[noreturn]] void fail(const std::string& detail) const;

 private:
  const NodeView& view_;
  size_t first_float_;
  bool has_float_ = false;
};

// Elements of a type under bindings; bytes of one value; bytes of all inputs and outputs of a node.
double bound_elements(const TensorType& type, const SymbolBindings& bindings);
double bound_bytes(const TensorType& type, const SymbolBindings& bindings);
double bytes_touched(const NodeView& view, const SymbolBindings& bindings);

}  // namespace fettle
