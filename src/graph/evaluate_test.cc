#include "graph/evaluate.h"

#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

struct Fixture {
  Fixture() {
    const Dim tokens = graph.symbol("tokens");
    Dim ends = graph.symbol("batch");
    ends.value = 1;
    const ValueId ids = graph.add_input("token_ids", {DType::kI32, {tokens}});
    const ValueId positions = graph.add_input("position_ids", {DType::kI32, {tokens}});
    const ValueId offsets = graph.add_input("offsets", {DType::kI32, {ends}});
    const ValueId table = graph.add_parameter("table", {3, 2});
    const ValueId x =
        graph.node("add", {graph.node("gather_rows", {table, ids}), graph.node("gather_rows", {table, positions})});
    const auto outputs = graph.add_nodes(
        "attention", {x, x, x, offsets},
        {{"n_heads", int64_t{1}}, {"head_dim", int64_t{2}}, {"scale", 1.0}, {"keep_probabilities", true}});
    graph.add_output("x", x);
    graph.add_output("probabilities", outputs[1]);
    inputs["token_ids"] = Tensor::from_i32({2, 0, 1}, {3});
    inputs["position_ids"] = Tensor::from_i32({0, 1, 0}, {3});
    inputs["offsets"] = Tensor::from_i32({0, 2, 3}, {3});
    parameters["table"] = Tensor::from({0, 1, 10, 11, 20, 21}, {3, 2});
  }
  std::map<std::string, Tensor> run() const { return evaluate_reference(graph, inputs, parameters); }

  Graph graph;
  std::map<std::string, Tensor> inputs;
  std::map<std::string, Tensor> parameters;
};

TEST(EvaluateReference, BindsSymbolsFromInputsAndOffsets) {
  const auto outputs = Fixture().run();
  EXPECT_EQ(outputs.at("x").shape(), (Shape{3, 2}));
  const auto x = outputs.at("x").floats();
  EXPECT_EQ(std::vector<float>(x.begin(), x.end()), (std::vector<float>{20, 22, 10, 12, 10, 12}));
  EXPECT_EQ(outputs.at("probabilities").shape(), (Shape{2 * 2 + 1, 1}));
}

TEST(EvaluateReference, RefusesInputsThatDoNotFit) {
  const auto refused = [](const std::string& text, ErrorCode code, auto change) {
    Fixture test;
    change(test);
    expect_error(code, text, [&] { test.run(); });
  };
  refused("'offsets' is missing", ErrorCode::kFailed, [](Fixture& test) { test.inputs.erase("offsets"); });
  refused("'table' is missing", ErrorCode::kFailed, [](Fixture& test) { test.parameters.clear(); });
  refused("is f32, not i32", ErrorCode::kFailed, [](Fixture& test) {
    test.inputs["offsets"] = Tensor::from({0, 3}, {2});
  });
  refused("is [1, 3], not i32[tokens]", ErrorCode::kFailed, [](Fixture& test) {
    test.inputs["token_ids"] = Tensor::from_i32({2, 0, 1}, {1, 3});
  });
  refused("has tokens = 2, another input has 3", ErrorCode::kFailed, [](Fixture& test) {
    test.inputs["position_ids"] = Tensor::from_i32({0, 1}, {2});
  });
  refused("is [0], not i32[batch + 1]", ErrorCode::kFailed,
          [](Fixture& test) { test.inputs["offsets"] = Tensor(DType::kI32, {0}); });
  refused("is [2, 3], not f32[3, 2]", ErrorCode::kFailed, [](Fixture& test) {
    test.parameters["table"] = Tensor(DType::kF32, {2, 3});
  });
  refused("fall at sequence 1", ErrorCode::kBadInput, [](Fixture& test) {
    test.inputs["offsets"] = Tensor::from_i32({0, 4, 3}, {3});
  });
  refused("id 3 is outside [0, 3)", ErrorCode::kBadInput, [](Fixture& test) {
    test.inputs["token_ids"] = Tensor::from_i32({2, 3, 1}, {3});
  });
}

TEST(EvaluateReference, AnEmptyBatch) {
  Fixture test;
  test.inputs["token_ids"] = test.inputs["position_ids"] = Tensor(DType::kI32, {0});
  test.inputs["offsets"] = Tensor::from_i32({0}, {1});
  EXPECT_EQ(test.run().at("x").shape(), (Shape{0, 2}));
}

TEST(CountPairs, SumsSquaredLengths) {
  EXPECT_EQ(count_pairs(std::vector<int32_t>{0, 3, 3, 4}), 10);
  EXPECT_EQ(count_pairs(std::vector<int32_t>{}), 0);
  EXPECT_EQ(count_pairs(std::vector<int32_t>{0, 2147483647}), int64_t{2147483647} * 2147483647);
}

}  // namespace
}  // namespace fettle
