#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

Attributes attention_attributes(double dropout = 0, bool keep_probabilities = false) {
  return {{"n_heads", int64_t{2}}, {"head_dim", int64_t{3}}, {"scale", 0.7},
          {"dropout", dropout},    {"stream", int64_t{11}},  {"keep_probabilities", keep_probabilities}};
}

struct Fixture : TestGraph {
  ValueId q = random("q", {6, 6});
  ValueId k = random("k", {6, 6});
  ValueId v = random("v", {6, 6});
  // One token, none, five.
  ValueId offsets = indices("offsets", {0, 1, 1, 6});
  std::vector<ValueId> inputs{q, k, v, offsets};
};

// Straight from the formula, for one head of one sequence.
std::vector<double> attend(const Fixture& test, int64_t begin, int64_t length, int64_t head, int64_t query) {
  const double* q = test.tensors.at("q").data<double>();
  const double* k = test.tensors.at("k").data<double>();
  const double* v = test.tensors.at("v").data<double>();
  std::vector<double> weight;
  double sum = 0;
  for (int64_t j = begin; j < begin + length; ++j) {
    double score = 0;
    for (int64_t d = 0; d < 3; ++d) score += q[query * 6 + head * 3 + d] * k[j * 6 + head * 3 + d];
    weight.push_back(std::exp(0.7 * score));
    sum += weight.back();
  }
  std::vector<double> out(3);
  for (int64_t j = 0; j < length; ++j) {
    for (int64_t d = 0; d < 3; ++d) {
      out[static_cast<size_t>(d)] += weight[static_cast<size_t>(j)] / sum * v[(begin + j) * 6 + head * 3 + d];
    }
  }
  return out;
}

TEST(Attention, AttendsWithinEachSequence) {
  Fixture test;
  const std::vector<double> out = test.evaluate(test.graph.node("attention", test.inputs, attention_attributes()));
  std::vector<double> expected;
  for (int64_t token = 0; token < 6; ++token) {
    for (int64_t head = 0; head < 2; ++head) {
      const std::vector<double> part = token == 0 ? attend(test, 0, 1, head, 0) : attend(test, 1, 5, head, token);
      expected.insert(expected.end(), part.begin(), part.end());
    }
  }
  expect_values(out, expected);
}

TEST(Attention, ProbabilitiesAreLaidOutBySequenceHeadAndQuery) {
  Fixture test;
  const auto outputs = test.graph.add_nodes("attention", test.inputs, attention_attributes(0.5, true));
  const std::vector<double> probabilities = test.evaluate(outputs[1]);
  ASSERT_EQ(probabilities.size(), 2u * (1 + 25));
  EXPECT_EQ(probabilities[0], 1);
  EXPECT_EQ(probabilities[1], 1);
  for (size_t row = 2; row < probabilities.size(); row += 5) {
    double sum = 0;
    for (size_t j = 0; j < 5; ++j) sum += probabilities[row + j];
    EXPECT_NEAR(sum, 1, 1e-12);  // of the softmax, before dropout
  }
}

TEST(Attention, Gradient) {
  for (const double dropout : {0.0, 0.3}) {
    Fixture test;
    const auto outputs = test.graph.add_nodes("attention", test.inputs, attention_attributes(dropout, true));
    expect_gradients(test, test.loss_of(outputs[0]), {test.q, test.k, test.v});
  }
}

TEST(Attention, HasNoGradientWithoutProbabilities) {
  Fixture test;
  const ValueId loss = test.loss_of(test.graph.node("attention", test.inputs, attention_attributes()));
  expect_error(ErrorCode::kFailed, "without keep_probabilities",
               [&] { differentiate(test.graph, loss, std::vector{test.q}); });
}

TEST(Attention, PackedIsTheSameOnConcatenatedColumns) {
  Fixture test;
  std::vector<double> qkv;
  for (int64_t row = 0; row < 6; ++row) {
    for (const char* name : {"q", "k", "v"}) {
      const double* from = test.tensors[name].data<double>() + row * 6;
      qkv.insert(qkv.end(), from, from + 6);
    }
  }
  const ValueId packed = test.floats("qkv", qkv, {6, 18});
  const Attributes attributes{{"n_heads", int64_t{2}}, {"head_dim", int64_t{3}}, {"scale", 0.7}};
  EXPECT_EQ(test.evaluate(test.graph.node("attention_packed", {packed, test.offsets}, attributes)),
            test.evaluate(test.graph.node("attention", test.inputs, attention_attributes())));
  expect_error(ErrorCode::kFailed, "not 3 · n_heads · head_dim", [&] {
    test.graph.node("attention_packed", {test.q, test.offsets}, attributes);
  });
}

TEST(Attention, BadOffsetsAreBadInput) {
  for (const std::vector<int32_t>& values : std::vector<std::vector<int32_t>>{
           {}, {0}, {0, 5}, {0, 7}, {1, 6}, {0, 4, 2, 6}, {0, -1, 6}, {-2147483647, 2147483647}}) {
    Fixture test;
    const ValueId offsets = test.indices("bad", values);
    const ValueId y = test.graph.node("attention", {test.q, test.k, test.v, offsets}, attention_attributes());
    expect_error(ErrorCode::kBadInput, "", [&] { test.evaluate(y); });
  }
}

TEST(Attention, RefusesWidthsThatAreNotHeads) {
  Fixture test;
  Attributes attributes = attention_attributes();
  attributes.set("n_heads", int64_t{4});
  expect_error(ErrorCode::kFailed, "not n_heads · head_dim",
               [&] { test.graph.node("attention", test.inputs, attributes); });
  attributes.set("n_heads", int64_t{0});
  expect_error(ErrorCode::kFailed, "'n_heads' is below 1",
               [&] { test.graph.node("attention", test.inputs, attributes); });
  const ValueId wide = test.random("wide", {6, 12});
  expect_error(ErrorCode::kFailed, "inputs 0 and 1 differ", [&] {
    test.graph.node("attention", {test.q, wide, test.v, test.offsets}, attention_attributes());
  });
}

TEST(Attention, CostFollowsPairs) {
  Graph graph;
  const Dim tokens = graph.symbol("tokens");
  Dim sequences = graph.symbol("batch");
  sequences.value = 1;
  const ValueId x = graph.add_input("x", {DType::kF32, {tokens, Graph::constant_dim(6)}});
  const ValueId offsets = graph.add_input("offsets", {DType::kI32, {sequences}});
  graph.node("attention", {x, x, x, offsets}, attention_attributes());
  const Node& node = graph.nodes()[0];
  EXPECT_EQ(node.op->cost({graph, node}, {6, 3, 26}).flops, 26 * 2 * (4 * 3 + 5));
  EXPECT_EQ(node.op->cost({graph, node}, {6, 3, -1}).flops, 12 * 2 * (4 * 3 + 5));
}

}  // namespace
}  // namespace fettle
