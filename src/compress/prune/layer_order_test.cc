#include "compress/prune/layer_order.h"

#include <fettle/error.h>
#include <gtest/gtest.h>

namespace fettle {
namespace {

using Order = std::vector<int64_t>;

TEST(LayerOrder, FollowsTheRule) {
  EXPECT_EQ(layer_order("top", 4), (Order{3, 2, 1, 0}));
  EXPECT_EQ(layer_order("bottom", 4), (Order{0, 1, 2, 3}));
  EXPECT_EQ(layer_order("alternate", 6), (Order{4, 2, 0, 3, 1, 5}));
  EXPECT_EQ(layer_order("alternate", 1), (Order{0}));
  EXPECT_EQ(layer_order("symmetric", 6), (Order{2, 3, 1, 4, 0, 5}));
  EXPECT_EQ(layer_order("symmetric", 5), (Order{2, 1, 3, 0, 4}));
  EXPECT_THROW(layer_order("sideways", 4), Error);
}

TEST(LayerOrder, TakesTheLeastContributionFirst) {
  EXPECT_EQ(layer_order(std::vector<double>{0.5, 0.1, 0.3, 0.1}), (Order{3, 1, 2, 0}));
}

TEST(LayerOrder, LeavesTheRestInOrder) {
  EXPECT_EQ(layers_left({4, 2, 0, 3, 1, 5}, 3), (Order{1, 3, 5}));
}

TEST(LayerOrder, RefusesSharesOfNoneOrAll) {
  EXPECT_EQ(layers_to_drop(0.5, 12), 6);
  EXPECT_EQ(layers_to_drop(0.33, 6), 2);
  EXPECT_THROW(layers_to_drop(0.05, 6), Error);
  EXPECT_THROW(layers_to_drop(0.95, 6), Error);
}

}  // namespace
}  // namespace fettle
