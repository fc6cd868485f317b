// Ops against PyTorch in float64: values and gradients (tests/oracle/graph_ops.py).
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>

#include "base/json.h"
#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

// Null where there is no PyTorch.
Json run_oracle() {
  const std::filesystem::path script = std::filesystem::path(FETTLE_SOURCE_DIR) / "tests/oracle/graph_ops.py";
  const std::filesystem::path output = testing::TempDir() + "fettle_graph_ops.json";
  const std::string command = "/usr/bin/python3 '" + script.string() + "' '" + output.string() + "'";
  const int status = std::system(command.c_str());
  if (WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127)) return nullptr;
  EXPECT_EQ(status, 0) << command;
  Json cases = status == 0 ? read_json(output) : Json();
  std::filesystem::remove(output);
  return cases;
}

class Oracle : public testing::Test {
 protected:
  static void SetUpTestSuite() { cases_ = run_oracle(); }
  void SetUp() override {
    if (cases_.is_null()) GTEST_SKIP() << "PyTorch is not installed";
  }

  ValueId input(const std::string& which, const std::string& name, const Shape& shape) {
    return test_.floats(name, cases_.at(which).at("inputs").at(name).get<std::vector<double>>(), shape);
  }

  // The result, and its gradients for the d_result that PyTorch was given.
  void expect_case(const std::string& which, ValueId result, const std::vector<ValueId>& wrt) {
    const Json& expected = cases_.at(which);
    expect_values(test_.evaluate(result), expected.at("result").get<std::vector<double>>(), 1e-12);
    const std::vector<ValueId> gradients =
        gradients_of(result, expected.at("d_result").get<std::vector<double>>(), wrt);
    for (size_t i = 0; i < wrt.size(); ++i) {
      expect_values(test_.evaluate(gradients[i]), expected.at("gradients").at(i).get<std::vector<double>>(), 1e-12);
    }
  }

  // The op's own gradient of `result` for a given d_result.
  std::vector<ValueId> gradients_of(ValueId result, const std::vector<double>& d_result,
                                    const std::vector<ValueId>& wrt) {
    Graph& graph = test_.graph;
    Shape shape;
    for (const Dim& dim : graph.type(result).shape) shape.push_back(dim.value);
    const Node node = graph.nodes()[static_cast<size_t>(graph.value(result).producer)];
    std::vector<ValueId> d_outputs(node.outputs.size(), kNoValue);
    d_outputs[0] = test_.floats("d_result", d_result, shape);
    GradientContext context{graph, node, d_outputs, std::vector<ValueId>(node.inputs.size(), kNoValue), {}};
    for (const ValueId id : node.inputs) {
      context.needs.push_back(std::find(wrt.begin(), wrt.end(), id) != wrt.end());
    }
    node.op->gradient(context);
    std::vector<ValueId> gradients;
    for (const ValueId id : wrt) {
      const auto at = std::find(node.inputs.begin(), node.inputs.end(), id) - node.inputs.begin();
      gradients.push_back(context.d_inputs[static_cast<size_t>(at)]);
    }
    return gradients;
  }

  TestGraph test_;
  static inline Json cases_;
};

TEST_F(Oracle, LayerNorm) {
  const ValueId x = input("layer_norm", "x", {5, 8});
  const ValueId gamma = input("layer_norm", "gamma", {8});
  const ValueId beta = input("layer_norm", "beta", {8});
  expect_case("layer_norm", test_.graph.node("layer_norm", {x, gamma, beta}, {{"eps", 1e-5}}), {x, gamma, beta});
}

TEST_F(Oracle, Gelu) {
  const ValueId x = input("gelu", "x", {40});
  expect_case("gelu", test_.graph.node("activate", {x}, {{"kind", "gelu"}}), {x});
}

TEST_F(Oracle, GeluTanh) {
  const ValueId x = input("gelu_tanh", "x", {40});
  expect_case("gelu_tanh", test_.graph.node("activate", {x}, {{"kind", "gelu_tanh"}}), {x});
}

TEST_F(Oracle, CrossEntropy) {
  const ValueId x = input("cross_entropy", "x", {6, 5});
  const ValueId labels = test_.indices("labels", {0, 4, -100, 2, 2, -100});
  expect_case("cross_entropy", test_.graph.node("softmax_cross_entropy", {x, labels}), {x});
}

TEST_F(Oracle, CrossEntropyWithLabelSmoothing) {
  const ValueId x = input("cross_entropy_smooth", "x", {6, 5});
  const ValueId labels = test_.indices("labels", {0, 4, -100, 2, 2, -100});
  expect_case("cross_entropy_smooth",
              test_.graph.node("softmax_cross_entropy", {x, labels}, {{"label_smoothing", 0.1}}), {x});
}

TEST_F(Oracle, DistillationLoss) {
  for (const int64_t temperature : {1, 4}) {
    test_ = TestGraph();
    const std::string which = "distillation_" + std::to_string(temperature);
    const ValueId student = input(which, "student", {6, 5});
    const ValueId teacher = input(which, "teacher", {6, 5});
    expect_case(which, test_.graph.node("distillation_loss", {student, teacher}, {{"temperature", temperature}}),
                {student});
  }
}

TEST_F(Oracle, Attention) {
  const ValueId q = input("attention", "q", {9, 8});
  const ValueId k = input("attention", "k", {9, 8});
  const ValueId v = input("attention", "v", {9, 8});
  const ValueId offsets = test_.indices("offsets", {0, 3, 4, 9});
  const Attributes attributes{
      {"n_heads", int64_t{2}}, {"head_dim", int64_t{4}}, {"scale", 0.5}, {"keep_probabilities", true}};
  expect_case("attention", test_.graph.node("attention", {q, k, v, offsets}, attributes), {q, k, v});
}

}  // namespace
}  // namespace fettle
