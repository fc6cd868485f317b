// Ops against PyTorch in float64: values and gradients (tests/oracle/graph_ops.py).
#include "base/json.h"
#include "base/python_oracle.h"
#include "base/scratch_folder.h"
#include "graph/hard_concrete.h"
#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

class Oracle {
 public:
  explicit Oracle(Json cases) : cases_(std::move(cases)) {}

  void layer_norm();
  void activation(const std::string& kind);
  void cross_entropy(const std::string& which, double label_smoothing, bool weighted = false);
  void binary_cross_entropy();
  void distillation(int64_t temperature);
  void attention();
  void relation(const std::string& which);
  void of_rows(const std::string& which, const std::string& op);
  void movement(const std::string& which, int64_t block_rows, int64_t block_columns);
  void gates();
  void open_gates();
  void fake_quantize(const std::string& which, const Shape& block, int64_t lowest, int64_t highest);
  void fake_quantize_rows();

 private:
  ValueId input(const std::string& which, const std::string& name, const Shape& shape) {
    return test_.floats(name, cases_.at(which).at("inputs").at(name).get<std::vector<double>>(), shape);
  }

  // The result, and its gradients for the d_result that PyTorch was given.
  void expect_case(const std::string& which, ValueId result, const std::vector<ValueId>& wrt) {
    SCOPED_TRACE(which);
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
  Json cases_;
};

void Oracle::layer_norm() {
  const ValueId x = input("layer_norm", "x", {5, 8});
  const ValueId gamma = input("layer_norm", "gamma", {8});
  const ValueId beta = input("layer_norm", "beta", {8});
  expect_case("layer_norm", test_.graph.node("layer_norm", {x, gamma, beta}, {{"eps", 1e-5}}), {x, gamma, beta});
}

void Oracle::activation(const std::string& kind) {
  const ValueId x = input(kind, "x", {40});
  expect_case(kind, test_.graph.node("activate", {x}, {{"kind", kind}}), {x});
}

void Oracle::cross_entropy(const std::string& which, double label_smoothing, bool weighted) {
  const ValueId x = input(which, "x", {6, 5});
  std::vector<ValueId> inputs{x, test_.indices("labels", {0, 4, -100, 2, 2, -100})};
  if (weighted) inputs.push_back(input(which, "weight", {5}));
  expect_case(which, test_.graph.node("softmax_cross_entropy", inputs, {{"label_smoothing", label_smoothing}}), {x});
}

void Oracle::binary_cross_entropy() {
  const ValueId x = input("binary_cross_entropy", "x", {6, 5});
  const ValueId targets = input("binary_cross_entropy", "targets", {6, 5});
  expect_case("binary_cross_entropy", test_.graph.node("binary_cross_entropy", {x, targets}), {x});
}

void Oracle::distillation(int64_t temperature) {
  const std::string which = "distillation_" + std::to_string(temperature);
  const ValueId student = input(which, "student", {6, 5});
  const ValueId teacher = input(which, "teacher", {6, 5});
  expect_case(which, test_.graph.node("distillation_loss", {student, teacher}, {{"temperature", temperature}}),
              {student});
}

void Oracle::attention() {
  const ValueId q = input("attention", "q", {9, 8});
  const ValueId k = input("attention", "k", {9, 8});
  const ValueId v = input("attention", "v", {9, 8});
  const ValueId offsets = test_.indices("offsets", {0, 3, 4, 9});
  const Attributes attributes{
      {"n_heads", int64_t{2}}, {"head_dim", int64_t{4}}, {"scale", 0.5}, {"keep_probabilities", true}};
  expect_case("attention", test_.graph.node("attention", {q, k, v, offsets}, attributes), {q, k, v});
}

void Oracle::relation(const std::string& which) {
  const ValueId a = input(which, "a", {9, 8});
  const bool of_values = which != "relation";
  const ValueId b = of_values ? a : input(which, "b", {9, 8});
  const ValueId teacher_a = input(which, "teacher_a", {9, 12});
  const ValueId teacher_b = input(which, "teacher_b", {9, 12});
  const ValueId offsets = test_.indices("offsets", {0, 3, 4, 9});
  const ValueId loss =
      test_.graph.add_nodes("relation_loss", {a, b, teacher_a, teacher_b, offsets}, {{"n_heads", int64_t{2}}})[0];
  if (!of_values) return expect_case(which, loss, {a, b});
  // Both gradients are the same value's, so they are summed.
  const Json& expected = cases_.at(which);
  expect_values(test_.evaluate(loss), expected.at("result").get<std::vector<double>>(), 1e-12);
  const double d_result = expected.at("d_result").at(0).get<double>();
  const ValueId scaled = test_.graph.node("scale", {loss}, {{"factor", d_result}});
  const ValueId d = differentiate(test_.graph, scaled, std::vector{a})[0];
  expect_values(test_.evaluate(d), expected.at("gradients").at(0).get<std::vector<double>>(), 1e-12);
}

void Oracle::of_rows(const std::string& which, const std::string& op) {
  const ValueId student = input(which, "student", {6, 5});
  const ValueId teacher = input(which, "teacher", {6, 5});
  expect_case(which, test_.graph.node(op, {student, teacher}), {student});
}

// Straight through: scores get the gradient of the mask, through the product of a linear.
void Oracle::movement(const std::string& which, int64_t block_rows, int64_t block_columns) {
  const Shape blocks{8 / block_rows, 12 / block_columns};
  const ValueId x = input(which, "x", {3, 12});
  const ValueId weight = input(which, "weight", {8, 12});
  const ValueId scores = input(which, "scores", blocks);
  const ValueId mask = input(which, "mask", blocks);
  const ValueId masked = test_.graph.node("mask_weight", {weight, mask, scores},
                                          {{"block_rows", block_rows}, {"block_columns", block_columns}});
  const ValueId y = test_.graph.node("matmul", {x, masked}, {{"transpose_b", true}});
  const Json& expected = cases_.at(which);
  expect_values(test_.evaluate(y), expected.at("result").get<std::vector<double>>(), 1e-12);
  // Σ (y - target)² / n has the gradient that PyTorch was given when target = y - n / 2 · d_y.
  std::vector<double> target = test_.evaluate(y);
  const auto d_y = expected.at("d_result").get<std::vector<double>>();
  for (size_t i = 0; i < target.size(); ++i) target[i] -= static_cast<double>(target.size()) / 2 * d_y[i];
  const ValueId loss = test_.graph.node("mean_squared_error", {y, test_.floats("target", target, {3, 8})});
  const std::vector<ValueId> wrt{x, weight, scores};
  const std::vector<ValueId> gradients = differentiate(test_.graph, loss, wrt);
  for (size_t i = 0; i < wrt.size(); ++i) {
    expect_values(test_.evaluate(gradients[i]), expected.at("gradients").at(i).get<std::vector<double>>(), 1e-12);
  }
}

// With the noise of PyTorch's case in the place of the op's.
void Oracle::gates() {
  const Json& expected = cases_.at("hard_concrete");
  const auto of = [&](const char* name) { return expected.at("inputs").at(name).get<std::vector<double>>(); };
  const std::vector<double> log_alpha = of("log_alpha");
  const std::vector<double> u = of("u");
  const auto d = expected.at("d_result").get<std::vector<double>>();
  const HardConcrete<double> shape{.inverse_beta = 1.5, .gamma = -0.1, .zeta = 1.1};
  std::vector<double> gates;
  std::vector<double> gradient;
  for (size_t i = 0; i < u.size(); ++i) {
    const double s = shape.noisy(log_alpha[i], u[i]);
    gates.push_back(shape.gate(s));
    gradient.push_back(d[i] * shape.slope(s, true));
  }
  expect_values(gates, expected.at("result").get<std::vector<double>>(), 1e-12);
  expect_values(gradient, expected.at("gradients").at(0).get<std::vector<double>>(), 1e-12);
}

void Oracle::open_gates() {
  const ValueId scores = input("open_gates", "scores", {6, 4});
  const ValueId weight = test_.floats("weight", {3}, {1});
  const double shift = -2.0 / 3 * std::log(0.1 / 1.1);
  expect_case("open_gates", test_.graph.node("sigmoid_penalty", {scores, weight}, {{"shift", shift}}), {scores});
}

// Steps with learned sizes, of a block of elements each; a block of 0 rows is one of all rows.
void Oracle::fake_quantize(const std::string& which, const Shape& block, int64_t lowest, int64_t highest) {
  const Shape n_blocks{block[0] == 0 ? 1 : 8 / block[0], 12 / block[1]};
  const ValueId x = input(which, "x", {8, 12});
  const ValueId steps = input(which, "steps", n_blocks);
  std::vector<ValueId> inputs{x, steps};
  if (which == "fake_quantize_zeros") inputs.push_back(input(which, "zeros", n_blocks));
  const Attributes attributes{{"block_rows", block[0]},
                              {"block_columns", block[1]},
                              {"lowest", lowest},
                              {"highest", highest},
                              {"gradient_scale", 0.3}};
  expect_case(which, test_.graph.node("fake_quantize", inputs, attributes), {x, steps});
}

void Oracle::fake_quantize_rows() {
  const ValueId x = input("fake_quantize_rows", "x", {5, 6});
  expect_case("fake_quantize_rows", test_.graph.node("fake_quantize_rows", {x}), {x});
}

// One process computes all cases, so one test compares them all.
TEST(GraphOracle, OpsAndGradientsAreThoseOfPyTorch) {
  if (!python_has("torch")) GTEST_SKIP() << "python3-torch is not installed";
  const ScratchFolder folder;
  const std::string output = (folder / "cases.json").string();
  const PythonResult run = run_oracle("graph_ops.py", "'" + output + "'");
  ASSERT_EQ(run.status, 0) << run.output;
  const Json cases = read_json(output);
  Oracle(cases).layer_norm();
  Oracle(cases).activation("gelu");
  Oracle(cases).activation("gelu_tanh");
  Oracle(cases).cross_entropy("cross_entropy", 0);
  Oracle(cases).cross_entropy("cross_entropy_smooth", 0.1);
  Oracle(cases).cross_entropy("cross_entropy_weighted", 0, true);
  Oracle(cases).cross_entropy("cross_entropy_weighted_smooth", 0.1, true);
  Oracle(cases).binary_cross_entropy();
  Oracle(cases).distillation(1);
  Oracle(cases).distillation(4);
  Oracle(cases).attention();
  Oracle(cases).relation("relation");
  Oracle(cases).relation("relation_of_values");
  Oracle(cases).of_rows("cosine", "cosine_loss");
  Oracle(cases).of_rows("mean_squared_error", "mean_squared_error");
  Oracle(cases).movement("movement", 1, 1);
  Oracle(cases).movement("movement_of_blocks", 4, 3);
  Oracle(cases).gates();
  Oracle(cases).open_gates();
  Oracle(cases).fake_quantize("fake_quantize", {1, 12}, -2, 1);
  Oracle(cases).fake_quantize("fake_quantize_groups", {1, 4}, -4, 3);
  Oracle(cases).fake_quantize("fake_quantize_zeros", {1, 4}, 0, 7);
  Oracle(cases).fake_quantize("fake_quantize_tensor", {0, 12}, -8, 7);
  Oracle(cases).fake_quantize_rows();
}

}  // namespace
}  // namespace fettle
