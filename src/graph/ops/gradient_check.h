// For tests: small graphs, in f64 unless said otherwise, evaluated by the references and compared with central
// differences.
#pragma once

#include <fettle/error.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "base/philox.h"
#include "graph/autodiff.h"
#include "graph/evaluate.h"
#include "graph/graph.h"
#include "graph/op.h"

namespace fettle {

inline Tensor tensor_f64(const std::vector<double>& values, Shape shape) {
  Tensor tensor(DType::kF64, std::move(shape));
  EXPECT_EQ(tensor.size(), static_cast<int64_t>(values.size()));
  std::copy(values.begin(), values.end(), tensor.mutable_data<double>());
  return tensor;
}

inline std::vector<double> values_f64(const Tensor& tensor) {
  const Tensor wide = tensor.to(DType::kF64);
  return {wide.data<double>(), wide.data<double>() + wide.size()};
}

inline TensorType constant_type(DType dtype, const Shape& shape) {
  TensorType type{dtype, {}};
  for (const int64_t dim : shape) type.shape.push_back(Graph::constant_dim(dim));
  return type;
}

// A graph whose inputs have values.
class TestGraph {
 public:
  explicit TestGraph(uint64_t seed = 1, DType dtype = DType::kF64) : random_(seed), dtype_(dtype) {}

  ValueId floats(const std::string& name, const std::vector<double>& values, const Shape& shape) {
    tensors[name] = tensor_f64(values, shape).to(dtype_);
    return graph.add_input(name, constant_type(dtype_, shape));
  }

  // Random numbers that a model would have as a parameter, which is always f32; in f64 an input.
  ValueId weight(const std::string& name, const Shape& shape) {
    if (dtype_ == DType::kF64) return random(name, shape);
    TestGraph other(random_.next_u32(), dtype_);
    other.random(name, shape);
    tensors[name] = other.tensors.at(name);
    return graph.add_parameter(name, shape);
  }

  // Standard normal times `spread`.
  ValueId random(const std::string& name, const Shape& shape, double spread = 1) {
    std::vector<double> values(static_cast<size_t>(element_count(shape)));
    for (double& value : values) value = spread * static_cast<double>(random_.normal());
    return floats(name, values, shape);
  }

  ValueId indices(const std::string& name, const std::vector<int32_t>& values) {
    const Shape shape{static_cast<int64_t>(values.size())};
    tensors[name] = Tensor::from_i32(values, shape);
    return graph.add_input(name, constant_type(DType::kI32, shape));
  }

  // A loss that depends on every element of `value`: the mean squared distance from random numbers.
  ValueId loss_of(ValueId value) {
    Shape shape;
    for (const Dim& dim : graph.type(value).shape) shape.push_back(dim.value);
    return graph.node("mean_squared_error", {value, random("target of " + std::to_string(value), shape)});
  }

  std::vector<double> evaluate(ValueId value, uint64_t seed = 0) const {
    Graph copy = graph;
    copy.add_output("result", value);
    return values_f64(evaluate_reference(copy, tensors, {}, seed).at("result"));
  }

  Graph graph;
  std::map<std::string, Tensor> tensors;

 private:
  Philox random_;
  DType dtype_;
};

// Compares the gradient of `loss` with respect to every input in `wrt` with central differences of the references.
inline void expect_gradients(const TestGraph& test, ValueId loss, const std::vector<ValueId>& wrt,
                             double tolerance = 1e-7) {
  constexpr double kStep = 1e-5;
  constexpr uint64_t kSeed = 5;
  TestGraph differentiated = test;
  const std::vector<ValueId> gradients = differentiate(differentiated.graph, loss, wrt);
  verify(differentiated.graph);
  TestGraph moved = test;
  for (size_t i = 0; i < wrt.size(); ++i) {
    const std::string name = test.graph.value(wrt[i]).name;
    ASSERT_NE(gradients[i], kNoValue) << name;
    ASSERT_EQ(differentiated.graph.type(gradients[i]), test.graph.type(wrt[i])) << name;
    const std::vector<double> analytic = differentiated.evaluate(gradients[i], kSeed);
    const Tensor original = test.tensors.at(name);
    for (size_t at = 0; at < analytic.size(); ++at) {
      const auto loss_at = [&](double offset) {
        Tensor shifted = original.clone();
        shifted.mutable_data<double>()[at] += offset;
        moved.tensors[name] = shifted;
        return moved.evaluate(loss, kSeed)[0];
      };
      const double numeric = (loss_at(kStep) - loss_at(-kStep)) / (2 * kStep);
      EXPECT_NEAR(analytic[at], numeric, tolerance * (1 + std::abs(numeric))) << name << " element " << at;
    }
    moved.tensors[name] = original;
  }
}

inline void expect_values(const std::vector<double>& actual, const std::vector<double>& expected,
                          double tolerance = 1e-12) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], tolerance) << "element " << i;
}

// Runs `body`, which must throw an Error of that code whose text contains `text`.
template <typename Body>
void expect_error(ErrorCode code, const std::string& text, const Body& body) {
  try {
    body();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

}  // namespace fettle
