#include "graph/graph.h"

#include <filesystem>
#include <set>

#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

TensorType rows_of(Graph& graph, int64_t width) {
  return {DType::kF32, {graph.symbol("tokens"), Graph::constant_dim(width)}};
}

TEST(Graph, SymbolsAreMadeOnce) {
  Graph graph;
  EXPECT_EQ(graph.symbol("tokens"), graph.symbol("tokens"));
  EXPECT_NE(graph.symbol("tokens"), graph.symbol("batch"));
  EXPECT_EQ(graph.find_symbol("batch"), graph.symbol("batch"));
  EXPECT_EQ(graph.symbols().size(), 2u);
  expect_error(ErrorCode::kFailed, "no symbol 'masked'", [&] { graph.find_symbol("masked"); });
}

TEST(Graph, NamesAreUnique) {
  Graph graph;
  const ValueId x = graph.add_input("x", rows_of(graph, 4));
  expect_error(ErrorCode::kFailed, "'x' is taken", [&] { graph.add_input("x", rows_of(graph, 4)); });
  expect_error(ErrorCode::kFailed, "'x' is taken", [&] { graph.add_parameter("x", {1}); });
  expect_error(ErrorCode::kFailed, "'x' is taken", [&] { graph.add_output("x", x); });
  graph.add_output("y", x);
  EXPECT_EQ(graph.find("x"), x);
  EXPECT_EQ(graph.find("y"), x);
  EXPECT_EQ(graph.find("z"), kNoValue);
}

TEST(Graph, NodesNameTheirValues) {
  Graph graph;
  const ValueId x = graph.add_input("x", rows_of(graph, 4));
  const ValueId gamma = graph.add_parameter("gamma", {4});
  const auto outputs = graph.add_nodes("layer_norm", {x, gamma, gamma}, {{"eps", 1e-12}}, "norm");
  EXPECT_EQ(graph.value(outputs[1]).name, "norm:1");
  EXPECT_EQ(graph.value(outputs[1]).kind, ValueKind::kComputed);
  EXPECT_EQ(graph.value(outputs[1]).producer, 0);
  EXPECT_EQ(graph.type(outputs[0]), graph.type(x));
}

TEST(Graph, RefusesUnknownOpsAndValues) {
  Graph graph;
  const ValueId x = graph.add_input("x", rows_of(graph, 4));
  expect_error(ErrorCode::kFailed, "there is no op 'convolution'", [&] { graph.node("convolution", {x}); });
  expect_error(ErrorCode::kFailed, "not a value of the graph", [&] { graph.node("add", {x, x + 1}); });
  expect_error(ErrorCode::kFailed, "not a value of the graph", [&] { graph.node("add", {x, -2}); });
  expect_error(ErrorCode::kFailed, "not a value of the graph", [&] { graph.add_output("y", 7); });
  expect_error(ErrorCode::kFailed, "negative dimension", [&] { graph.add_parameter("p", {2, -1}); });
  expect_error(ErrorCode::kFailed, "has no value", [&] { graph.add_constant("c", Tensor()); });
  EXPECT_TRUE(graph.nodes().empty());
}

TEST(Graph, RemoveDeadKeepsWhatOutputsNeed) {
  Graph graph;
  const ValueId x = graph.add_input("x", rows_of(graph, 4));
  const ValueId used = graph.add_parameter("used", {3, 4});
  const ValueId unused = graph.add_parameter("unused", {3, 4});
  const ValueId y = graph.node("linear", {x, used});
  graph.node("scale", {graph.node("linear", {x, unused})}, {{"factor", 2.0}});
  graph.add_output("y", y);
  graph.remove_dead();
  EXPECT_EQ(graph.nodes().size(), 1u);
  EXPECT_EQ(graph.parameters(), std::vector{used});
  EXPECT_EQ(graph.inputs(), std::vector{x});
  verify(graph);
}

TEST(Graph, BindShape) {
  const TensorType type{DType::kI32, {Dim{0, 1}, Graph::constant_dim(3)}};
  EXPECT_EQ(bind_shape(type, {4}), (Shape{5, 3}));
  expect_error(ErrorCode::kFailed, "not bound", [&] { bind_shape(type, {-1}); });
  expect_error(ErrorCode::kFailed, "not bound", [&] { bind_shape(type, {}); });
  expect_error(ErrorCode::kFailed, "negative", [&] { bind_shape({DType::kF32, {Dim{0, -5}}}, {4}); });
}

TEST(Attributes, GettersWithFallback) {
  const Attributes attributes{
      {"n", int64_t{3}}, {"x", 0.5}, {"on", true}, {"kind", "relu"}, {"axes", std::vector<int64_t>{1, 2}}};
  EXPECT_EQ(attributes.get_int("n"), 3);
  EXPECT_EQ(attributes.get_int("m", 7), 7);
  EXPECT_EQ(attributes.get_double("x"), 0.5);
  EXPECT_EQ(attributes.get_double("n"), 3.0);
  EXPECT_EQ(attributes.get_double("y", 2.5), 2.5);
  EXPECT_TRUE(attributes.get_bool("on", false));
  EXPECT_TRUE(attributes.get_bool("off", true));
  EXPECT_EQ(attributes.get_string("kind", "none"), "relu");
  EXPECT_EQ(attributes.get_string("other", "none"), "none");
  EXPECT_EQ(attributes.get_ints("axes"), (std::vector<int64_t>{1, 2}));
  EXPECT_TRUE(attributes.has("n"));
  EXPECT_FALSE(attributes.has("m"));
}

// An op is a file of ops/.
TEST(AllOps, HaveDistinctNamesAndAreFoundByThem) {
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(FETTLE_SOURCE_DIR "/src/graph/ops")) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".cc") && !name.ends_with("_test.cc")) files.insert(name.substr(0, name.size() - 3));
  }
  std::set<std::string> names;
  for (const Op* op : all_ops()) names.emplace(op->name());
  EXPECT_EQ(names, files);
  EXPECT_EQ(all_ops().size(), files.size());
  for (const Op* op : all_ops()) EXPECT_EQ(&find_op(op->name()), op) << op->name();
}

}  // namespace
}  // namespace fettle
