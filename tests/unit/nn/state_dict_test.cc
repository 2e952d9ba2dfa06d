#include "nn/state_dict.h"

#include <gmock/gmock.h>

#include <cstring>

#include "nn/layers.h"
#include "nn/torch_status.h"
#include "tests/testing/status_matchers.h"

namespace nn {
namespace {

using checkpoint::DType;
using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl() : bn(2), conv(Conv2dOptions{.in_channels = 1, .out_channels = 2}) {
    register_module("conv", conv);
    register_module("bn", bn);
    scale = register_parameter("scale", at::ones({1}));
  }
  BatchNorm2d bn;
  Conv2d conv;
  at::Tensor scale;
};
TORCH_MODULE(Block);

TEST(StateDictTest, NamesComeInPyTorchsOrder) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : NamedState(*Block())) names.push_back(name);

  EXPECT_THAT(names, ElementsAre("scale", "conv.weight", "conv.bias", "bn.weight", "bn.bias",
                                 "bn.running_mean", "bn.running_var", "bn.num_batches_tracked"));
}

TEST(StateDictTest, HalvesAndDoublesBecomeFloats) {
  const double doubles[] = {1.5, -2};
  const std::uint16_t halves[] = {0x3E00, 0xC000};
  const std::uint16_t bfloats[] = {0x3FC0, 0xC000};
  const auto view = [](DType dtype, const void* data) {
    return checkpoint::TensorView{
        .dtype = dtype, .shape = {2}, .strides = {1}, .data = static_cast<const std::byte*>(data)};
  };
  const at::Tensor expected = torch::tensor({1.5F, -2.0F});

  EXPECT_TRUE(at::equal(ToTensor(view(DType::kFloat64, doubles)), expected));
  EXPECT_TRUE(at::equal(ToTensor(view(DType::kFloat16, halves)), expected));
  EXPECT_TRUE(at::equal(ToTensor(view(DType::kBFloat16, bfloats)), expected));
}

TEST(StateDictTest, StridedAndUnalignedWindowsAreRead) {
  alignas(4) std::byte bytes[1 + 4 * sizeof(float)];
  const float values[] = {0, 1, 2, 3};
  std::memcpy(bytes + 1, values, sizeof values);
  const checkpoint::TensorView transposed{
      .dtype = DType::kFloat32, .shape = {2, 2}, .strides = {1, 2}, .data = bytes + 1};

  for (Memory memory : {Memory::kCopy, Memory::kBorrow}) {
    EXPECT_TRUE(
        at::equal(ToTensor(transposed, memory), torch::tensor({{0.0F, 2.0F}, {1.0F, 3.0F}})));
  }
}

TEST(StateDictTest, BorrowedWeightsStayWhereTheyAreAndKeepThemAlive) {
  auto values = std::make_shared<std::vector<float>>(std::vector<float>{1, 2});
  const std::weak_ptr<void> watch = values;
  checkpoint::TensorView view{.dtype = DType::kFloat32,
                              .shape = {2},
                              .strides = {1},
                              .data = reinterpret_cast<const std::byte*>(values->data()),
                              .owner = values};
  const void* const address = values->data();
  values.reset();

  at::Tensor borrowed = ToTensor(view, Memory::kBorrow);
  view.owner.reset();

  EXPECT_EQ(borrowed.data_ptr(), address);
  EXPECT_FALSE(watch.expired());
  borrowed.reset();
  EXPECT_TRUE(watch.expired());
}

TEST(StateDictTest, LoadingSetsEveryTensorAndAMissingCounterIsFine) {
  Block from;
  Block to;
  from->bn->running_var.fill_(5);
  from->bn->num_batches_tracked.fill_(9);
  checkpoint::StateDict state = ToStateDict(*from);
  EXPECT_THAT(LoadStateDict(state, *to), IsOk());
  EXPECT_TRUE(at::equal(to->conv->weight, from->conv->weight));
  EXPECT_NE(to->conv->weight.data_ptr(), from->conv->weight.data_ptr());
  EXPECT_EQ(to->bn->running_var[1].item<float>(), 5);
  EXPECT_EQ(to->bn->num_batches_tracked.item<std::int64_t>(), 9);

  state.pop_back();
  EXPECT_THAT(LoadStateDict(state, *to), IsOk());
  state.pop_back();
  EXPECT_THAT(LoadStateDict(state, *to), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                  HasSubstr("1 missing: bn.running_var")));
}

TEST(StateDictTest, AFailedLoadChangesNothing) {
  Block from;
  Block to;
  const at::Tensor before = to->conv->weight.detach().clone();
  checkpoint::StateDict state = ToStateDict(*from);
  state.emplace_back("data_preprocessor.mean", state[0].second);

  EXPECT_THAT(LoadStateDict(state, *to),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("1 unexpected: data_preprocessor.mean")));
  EXPECT_TRUE(at::equal(to->conv->weight, before));
  EXPECT_THAT(LoadStateDict(state, *to, {.ignored_prefixes = {"data_preprocessor."}}), IsOk());
}

TEST(TorchStatusTest, ExceptionsBecomeOneLine) {
  const absl::StatusOr<at::Tensor> result =
      CatchTorch("add", [] { return at::ones({2}) + at::ones({3}); });

  EXPECT_THAT(result, StatusIs(absl::StatusCode::kInternal, HasSubstr("add: The size of tensor")));
  EXPECT_EQ(result.status().message().find('\n'), absl::string_view::npos);
  EXPECT_THAT(CatchTorch("allocate", [] { throw std::bad_alloc(); }),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace nn
