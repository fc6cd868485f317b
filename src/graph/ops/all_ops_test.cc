// Every op of the registry has a case in op_cases.h, and a gradient that central differences confirm, or says that it
// has none.
#include <gtest/gtest.h>

#include <algorithm>

#include "graph/ops/op_cases.h"

namespace fettle {
namespace {

TEST(AllOps, HaveACase) {
  const OpCases cases(DType::kF64, 4, 6);
  for (const Op* op : all_ops()) {
    const auto is_its = [&](const OpCases::Built& built) { return built.item.op() == op->name(); };
    EXPECT_TRUE(std::ranges::any_of(cases.all(), is_its)) << op->name() << " has no case in op_cases.h";
  }
}

TEST(AllOps, GradientsAreThoseOfCentralDifferences) {
  const OpCases cases(DType::kF64, 4, 6);
  for (const OpCases::Built& built : cases.all()) {
    if (built.item.wrt.empty()) continue;
    SCOPED_TRACE(built.item.name);
    TestGraph test = built.test;
    const ValueId loss = test.loss_of(built.item.outputs[0]);
    expect_gradients(test, loss, built.item.wrt);
  }
}

TEST(AllOps, WithoutAGradientSaySo) {
  const OpCases cases(DType::kF64, 4, 6);
  for (const OpCases::Built& built : cases.all()) {
    if (!built.item.wrt.empty() || built.item.is_straight_through) continue;
    SCOPED_TRACE(built.item.name);
    TestGraph test = built.test;
    const ValueId loss = test.loss_of(built.item.outputs[0]);
    expect_error(ErrorCode::kFailed, "has no gradient", [&] { differentiate(test.graph, loss, test.graph.inputs()); });
  }
}

}  // namespace
}  // namespace fettle
