#include "checkpoint/tensor_index.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace checkpoint {
namespace {

StateDict Named(const std::vector<std::pair<std::string, std::vector<std::int64_t>>>& tensors) {
  StateDict state;
  for (const auto& [name, shape] : tensors) {
    state.emplace_back(name, TensorView{});
    state.back().second.shape = shape;
  }
  return state;
}

TEST(TensorIndexTest, FindsByNameAndByPrefix) {
  const StateDict state = Named({{"neck.conv.weight", {8, 4, 3, 3}}, {"head.bias", {8}}});
  const TensorIndex tensors(state);

  EXPECT_EQ(tensors.Find("head.bias"), &state[1].second);
  EXPECT_FALSE(tensors.Has("head"));
  EXPECT_TRUE(tensors.HasPrefix("head"));
  EXPECT_FALSE(tensors.HasPrefix("zoo"));
}

TEST(TensorIndexTest, CountsNumberedNamesWithAndWithoutGaps) {
  const StateDict state = Named({{"blocks.0.w", {}}, {"blocks.1.w", {}}, {"blocks.3.w", {}}});
  const TensorIndex tensors(state);

  EXPECT_EQ(tensors.Count("blocks.", ".w"), 2);
  EXPECT_EQ(tensors.Count("blocks."), 2);
  EXPECT_EQ(tensors.CountIndexed("blocks."), 2);  // 3 names cannot be 4 blocks
  EXPECT_EQ(tensors.Count("layers."), 0);
  EXPECT_EQ(tensors.CountIndexed("layers."), 0);

  StateDict more = state;
  more.emplace_back("blocks.3.b", TensorView{});
  EXPECT_EQ(TensorIndex(more).CountIndexed("blocks."), 4);
}

TEST(TensorIndexTest, OutChannelsAreOfConvolutionsOnly) {
  const StateDict state = Named({{"conv.weight", {8, 4, 3, 3}},
                                 {"linear.weight", {8, 4}},
                                 {"absurd.weight", {1 << 20, 4, 3, 3}}});
  const TensorIndex tensors(state);

  EXPECT_EQ(tensors.OutChannels("conv"), 8);
  EXPECT_EQ(tensors.OutChannels("linear"), 0);
  EXPECT_EQ(tensors.OutChannels("absurd"), 0);
  EXPECT_EQ(tensors.OutChannels("missing"), 0);
}

}  // namespace
}  // namespace checkpoint
