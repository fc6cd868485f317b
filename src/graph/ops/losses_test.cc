// softmax, log_softmax, softmax_cross_entropy, binary_cross_entropy, distillation_loss, mean_squared_error, cosine_loss
// and relation_loss.
#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

TEST(Softmax, RowsOfProbabilities) {
  TestGraph test;
  const ValueId x = test.floats("x", {0, std::log(3.0), 1000, 1000}, {2, 2});
  expect_values(test.evaluate(test.graph.node("softmax", {x})), {0.25, 0.75, 0.5, 0.5});
  const double half = std::log(0.5);
  expect_values(test.evaluate(test.graph.node("log_softmax", {x})), {std::log(0.25), std::log(0.75), half, half});
}

TEST(Softmax, EmptyRowsAndColumns) {
  TestGraph test;
  expect_values(test.evaluate(test.graph.node("softmax", {test.floats("a", {}, {0, 3})})), {});
  expect_values(test.evaluate(test.graph.node("log_softmax", {test.floats("b", {}, {3, 0})})), {});
}

TEST(SoftmaxCrossEntropy, MeanOverLabelledRows) {
  TestGraph test;
  // Probabilities (1/4, 3/4), (1/2, 1/2), (3/4, 1/4).
  const ValueId logits = test.floats("x", {0, std::log(3.0), 7, 7, std::log(3.0), 0}, {3, 2});
  const ValueId labels = test.indices("labels", {0, -1, 0});
  const auto outputs = test.graph.add_nodes("softmax_cross_entropy", {logits, labels});
  expect_values(test.evaluate(outputs[0]), {(std::log(4.0) + std::log(4.0 / 3)) / 2});
  EXPECT_NEAR(test.evaluate(outputs[1])[2], std::log(0.5), 1e-12);
  const ValueId smooth = test.graph.node("softmax_cross_entropy", {logits, labels}, {{"label_smoothing", 0.2}});
  const double uniform = (std::log(4.0) + std::log(4.0 / 3)) / 2;  // the same for both rows
  expect_values(test.evaluate(smooth), {0.8 * (std::log(4.0) + std::log(4.0 / 3)) / 2 + 0.2 * uniform});
}

TEST(SoftmaxCrossEntropy, WithoutLabelsLossAndGradientAreZero) {
  TestGraph test;
  const ValueId logits = test.random("x", {2, 3});
  const ValueId loss = test.graph.node("softmax_cross_entropy", {logits, test.indices("labels", {-1, -100})});
  expect_values(test.evaluate(loss), {0});
  const ValueId d = differentiate(test.graph, loss, std::vector{logits})[0];
  expect_values(test.evaluate(d), std::vector<double>(6, 0));
}

TEST(SoftmaxCrossEntropy, Gradient) {
  for (const double smoothing : {0.0, 0.1}) {
    TestGraph test;
    const ValueId logits = test.random("x", {4, 5});
    const ValueId loss = test.graph.node("softmax_cross_entropy", {logits, test.indices("labels", {0, 4, -100, 2})},
                                         {{"label_smoothing", smoothing}});
    expect_gradients(test, loss, {logits});
    expect_gradients(test, test.graph.node("scale", {loss}, {{"factor", 0.3}}), {logits});
  }
}

TEST(SoftmaxCrossEntropy, WeightsOfClasses) {
  TestGraph test;
  // Probabilities (1/4, 3/4), (1/2, 1/2), (3/4, 1/4).
  const ValueId logits = test.floats("x", {0, std::log(3.0), 7, 7, std::log(3.0), 0}, {3, 2});
  const ValueId weights = test.floats("w", {3, 0.5}, {2});
  const ValueId loss = test.graph.node("softmax_cross_entropy", {logits, test.indices("labels", {0, -1, 1}), weights});
  expect_values(test.evaluate(loss), {(3 * std::log(4.0) + 0.5 * std::log(4.0)) / 3.5});
  const ValueId other = test.graph.node("softmax_cross_entropy", {logits, test.indices("others", {1, 0, 1}), weights});
  expect_values(test.evaluate(other), {(0.5 * std::log(4.0 / 3) + 3 * std::log(2.0) + 0.5 * std::log(4.0)) / 4});
  const ValueId ones = test.floats("ones", {1, 1}, {2});
  const ValueId same = test.graph.node("softmax_cross_entropy", {logits, test.indices("same", {0, -1, 1}), ones});
  expect_values(test.evaluate(same), {(std::log(4.0) + std::log(4.0)) / 2});
}

TEST(SoftmaxCrossEntropy, LabelsOfNoWeightHaveNoLoss) {
  TestGraph test;
  const ValueId logits = test.random("x", {2, 3});
  const ValueId weights = test.floats("w", {0, 1, 2}, {3});
  const ValueId loss = test.graph.node("softmax_cross_entropy", {logits, test.indices("labels", {0, 0}), weights});
  expect_values(test.evaluate(loss), {0});
  expect_values(test.evaluate(differentiate(test.graph, loss, std::vector{logits})[0]), std::vector<double>(6, 0));
  expect_error(ErrorCode::kFailed, "", [&] {
    test.graph.node("softmax_cross_entropy", {logits, test.indices("l", {0, 0}), test.floats("two", {1, 1}, {2})});
  });
}

TEST(SoftmaxCrossEntropy, ALabelBeyondTheClassesIsBadInput) {
  TestGraph test;
  const ValueId logits = test.random("x", {2, 3});
  const ValueId loss = test.graph.node("softmax_cross_entropy", {logits, test.indices("labels", {0, 3})});
  expect_error(ErrorCode::kBadInput, "id 3 is outside [0, 3)", [&] { test.evaluate(loss); });
  expect_error(ErrorCode::kFailed, "rows of logits and labels", [&] {
    test.graph.node("softmax_cross_entropy", {logits, test.indices("three", {0, 1, 2})});
  });
}

TEST(BinaryCrossEntropy, MeanOverAllLabels) {
  TestGraph test;
  // Probabilities 3/4, 1/2, 1/4 and, far away, 1 and 0.
  const double l = std::log(3.0);
  const ValueId logits = test.floats("x", {l, 0, -l, 1000, -1000, 1000}, {2, 3});
  const ValueId targets = test.floats("t", {1, 0.5, 0, 1, 0, 0}, {2, 3});
  const ValueId loss = test.graph.node("binary_cross_entropy", {logits, targets});
  expect_values(test.evaluate(loss), {(std::log(4.0 / 3) + std::log(2.0) + std::log(4.0 / 3) + 1000) / 6});
  const std::vector<ValueId> d = differentiate(test.graph, loss, std::vector{logits, targets});
  expect_values(test.evaluate(d[0]), {-0.25 / 6, 0, 0.25 / 6, 0, 0, 1.0 / 6});
  EXPECT_EQ(d[1], kNoValue);
}

TEST(DistillationLoss, EqualLogitsHaveNoLoss) {
  TestGraph test;
  const ValueId x = test.random("x", {3, 4});
  expect_values(test.evaluate(test.graph.node("distillation_loss", {x, x}, {{"temperature", 3.0}})), {0});
}

TEST(DistillationLoss, IsTheScaledDivergence) {
  TestGraph test;
  // At T = 2: student (1/2, 1/2), teacher (1/4, 3/4).
  const ValueId student = test.floats("student", {1, 1}, {1, 2});
  const ValueId teacher = test.floats("teacher", {0, 2 * std::log(3.0)}, {1, 2});
  const ValueId loss = test.graph.node("distillation_loss", {student, teacher}, {{"temperature", int64_t{2}}});
  expect_values(test.evaluate(loss), {4 * (0.25 * std::log(0.5) + 0.75 * std::log(1.5))});
}

// Techniques 3.3: dL/d student = T · (softmax(student / T) - softmax(teacher / T)) / batch.
TEST(DistillationLoss, GradientIsTheGoldenFormulaAndTheDifference) {
  for (const double temperature : {1.0, 2.0, 7.0}) {
    TestGraph test;
    const ValueId student = test.random("student", {3, 4}, 2);
    const ValueId teacher = test.random("teacher", {3, 4}, 2);
    const Attributes attributes{{"temperature", temperature}};
    const ValueId loss = test.graph.node("distillation_loss", {student, teacher}, attributes);
    expect_gradients(test, loss, {student});
    const auto softened = [&](ValueId logits) {
      const ValueId divided = test.graph.node("scale", {logits}, {{"factor", 1 / temperature}});
      return test.evaluate(test.graph.node("softmax", {divided}));
    };
    std::vector<double> expected = softened(student);
    const std::vector<double> target = softened(teacher);
    for (size_t i = 0; i < expected.size(); ++i) expected[i] = temperature * (expected[i] - target[i]) / 3;
    const std::vector<ValueId> d = differentiate(test.graph, loss, std::vector{student, teacher});
    expect_values(test.evaluate(d[0]), expected);
    EXPECT_EQ(d[1], kNoValue);
  }
}

TEST(DistillationLoss, RefusesTemperaturesThatAreNotPositive) {
  TestGraph test;
  const ValueId x = test.random("x", {3, 4});
  for (const double temperature : {0.0, -1.0}) {
    expect_error(ErrorCode::kFailed, "'temperature' is out of range", [&] {
      test.graph.node("distillation_loss", {x, x}, {{"temperature", temperature}});
    });
  }
}

TEST(MeanSquaredError, ValueAndGradientOfBoth) {
  TestGraph test;
  const ValueId a = test.floats("a", {1, 2, 3}, {3});
  const ValueId b = test.floats("b", {1, 0, 6}, {3});
  const ValueId loss = test.graph.node("mean_squared_error", {a, b});
  expect_values(test.evaluate(loss), {13.0 / 3});
  expect_gradients(test, loss, {a, b});
}

TEST(CosineLoss, IsOneLessTheCosine) {
  TestGraph test;
  const ValueId a = test.floats("a", {3, 4, 1, 0, 0, 0}, {3, 2});
  const ValueId b = test.floats("b", {6, 8, 0, 2, 1, 1}, {3, 2});
  expect_values(test.evaluate(test.graph.node("cosine_loss", {a, b})), {(0 + 1 + 1) / 3.0}, 1e-6);
  const ValueId none = test.floats("none", {}, {0, 2});
  expect_values(test.evaluate(test.graph.node("cosine_loss", {none, none})), {0});
}

// Tokens that score (0, log 3) give relations (1/4, 3/4); those of a teacher of zeros are (1/2, 1/2).
TEST(RelationLoss, IsTheDivergenceOfRowsWithinEachSequence) {
  TestGraph test;
  const ValueId a = test.floats("a", {1, 1, 5}, {3, 1});
  const ValueId b = test.floats("b", {0, std::log(3.0), 7}, {3, 1});
  const ValueId teacher = test.floats("teacher", {0, 0, 0, 0, 0, 0}, {3, 2});
  const ValueId offsets = test.indices("offsets", {0, 2, 3});
  const auto outputs =
      test.graph.add_nodes("relation_loss", {a, b, teacher, teacher, offsets}, {{"n_heads", int64_t{1}}});
  const double row = 0.5 * std::log(0.5 / 0.25) + 0.5 * std::log(0.5 / 0.75);
  expect_values(test.evaluate(outputs[0]), {2 * row / 3});
  expect_values(test.evaluate(outputs[1]), {-0.25, 0.25, -0.25, 0.25, 0});
}

TEST(RelationLoss, EqualRelationsHaveNoLossAndNoGradient) {
  TestGraph test;
  const ValueId a = test.random("a", {5, 4});
  const ValueId b = test.random("b", {5, 4});
  const ValueId offsets = test.indices("offsets", {0, 2, 2, 5});
  const ValueId loss = test.graph.add_nodes("relation_loss", {a, b, a, b, offsets}, {{"n_heads", int64_t{2}}})[0];
  expect_values(test.evaluate(loss), {0});
  TestGraph other;
  const ValueId x = other.random("x", {5, 4});
  const ValueId y = other.floats("y", values_f64(other.tensors.at("x")), {5, 4});
  const ValueId again = other.graph.add_nodes("relation_loss", {x, x, y, y, other.indices("offsets", {0, 2, 2, 5})},
                                              {{"n_heads", int64_t{2}}})[0];
  expect_values(other.evaluate(differentiate(other.graph, again, std::vector{x})[0]), std::vector<double>(20, 0));
}

TEST(RelationLoss, RefusesHeadsThatDoNotDivideTheWidths) {
  TestGraph test;
  const ValueId a = test.random("a", {5, 4});
  const ValueId teacher = test.random("teacher", {5, 6});
  const ValueId offsets = test.indices("offsets", {0, 5});
  for (const int64_t n_heads : {3, 4, 5, 7}) {
    expect_error(ErrorCode::kFailed, "n_heads does not divide", [&] {
      test.graph.add_nodes("relation_loss", {a, a, teacher, teacher, offsets}, {{"n_heads", n_heads}});
    });
  }
}

}  // namespace
}  // namespace fettle
