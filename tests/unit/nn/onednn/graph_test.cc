#include "nn/onednn/graph.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "nn/onednn/arena.h"
#include "nn/onednn/cpu.h"

namespace nn::onednn {
namespace {

// Uniform in [-1, 1) / sqrt(fan-in), so that values keep their size from layer to layer.
at::Tensor Weight(int out, int in, int k) {
  return (at::rand({out, in, k, k}) * 2 - 1) * (2.0 / std::sqrt(in * k * k));
}

at::Tensor ResultOf(Program& program, const at::Tensor& image, int index = 0) {
  program.Run(image.data_ptr<float>());
  const Program::Output out = program.output(index);
  return at::from_blob(const_cast<float*>(out.data), {1, out.height, out.width, out.channels})
      .permute({0, 3, 1, 2})
      .clone();
}

// Largest difference, relative to the reference's largest value.
double Error(const at::Tensor& got, const at::Tensor& want) {
  return ((got - want).abs().max() / want.abs().max()).item<double>();
}

class OneDnnGraphTest : public ::testing::Test {
 protected:
  OneDnnGraphTest() { at::manual_seed(7); }
};

// What doesn't depend on where channels lie.
class OneDnnLayoutTest : public OneDnnGraphTest, public ::testing::WithParamInterface<Layout> {};

INSTANTIATE_TEST_SUITE_P(, OneDnnLayoutTest,
                         ::testing::Values(Layout::kBlocked, Layout::kChannelsLast),
                         [](const auto& info) {
                           return info.param == Layout::kBlocked ? "Blocked" : "ChannelsLast";
                         });

TEST_P(OneDnnLayoutTest, ConvolutionsOfOddSizesEqualAtens) {
  for (const int kernel : {1, 3, 5}) {
    for (const int stride : {1, 2}) {
      for (const int channels : {5, 16, 24}) {
        const at::Tensor image = at::rand({1, 3, 23, 37});
        const at::Tensor first = Weight(channels, 3, 3);
        const at::Tensor weight = Weight(12, channels, kernel);
        const at::Tensor bias = at::rand({12});
        Graph graph;
        const Value x = graph.Conv(graph.Input(3, 23, 37), first, at::Tensor(), {});
        graph.Output(
            graph.Conv(x, weight, bias, {.stride = stride, .activation = Activation::kSilu}));

        const auto program = graph.Compile({.layout = GetParam(), .kernel = ConvKernel::kDirect});
        ASSERT_TRUE(program.ok()) << program.status();
        const at::Tensor got = ResultOf(**program, image);

        const at::Tensor want = at::silu(
            at::conv2d(at::conv2d(image, first, {}, 1, 1), weight, bias, stride, kernel / 2));
        ASSERT_EQ(got.sizes(), want.sizes());
        // Two layers of at most 600 products each: a few ulp.
        EXPECT_LT(Error(got, want), 1e-5) << kernel << " " << stride << " " << channels;
      }
    }
  }
}

TEST_P(OneDnnLayoutTest, AnEvenKernelIsPaddedByHalfOfOneLess) {
  for (const int height : {24, 40}) {
    const at::Tensor image = at::rand({1, 3, height, 32});
    const at::Tensor weight = Weight(12, 3, 6);  // YOLOv5's stem
    Graph graph;
    graph.Output(graph.Conv(graph.Input(3, height, 32), weight, at::Tensor(),
                            {.stride = 2, .activation = Activation::kLeakyRelu}));
    const auto program = graph.Compile({.layout = GetParam()});
    ASSERT_TRUE(program.ok()) << program.status();

    const at::Tensor got = ResultOf(**program, image);

    const at::Tensor want = at::leaky_relu(at::conv2d(image, weight, {}, 2, 2), 0.1);
    ASSERT_EQ(got.sizes(), want.sizes());
    EXPECT_LT(Error(got, want), 1e-5);
  }
}

TEST_P(OneDnnLayoutTest, AResidualMayBeScaled) {
  const at::Tensor image = at::rand({1, 3, 16, 16});
  const at::Tensor first = Weight(20, 3, 3);
  const at::Tensor second = Weight(20, 20, 3);
  Graph graph;
  const Value x = graph.Conv(graph.Input(3, 16, 16), first, at::Tensor(), {});
  graph.Output(
      graph.Conv(x, second, at::Tensor(),
                 {.activation = Activation::kRelu, .residual = x, .residual_scale = 0.25F}));
  const auto program = graph.Compile({.layout = GetParam()});
  ASSERT_TRUE(program.ok()) << program.status();

  const at::Tensor got = ResultOf(**program, image);

  const at::Tensor y = at::conv2d(image, first, {}, 1, 1);
  EXPECT_LT(Error(got, at::relu(at::conv2d(y, second, {}, 1, 1)) + 0.25 * y), 1e-4);
}

TEST_P(OneDnnLayoutTest, UpConvEqualsAtensTransposedConvolution) {
  const at::Tensor image = at::rand({1, 3, 10, 14});
  const at::Tensor first = Weight(20, 3, 3);
  const at::Tensor weight = Weight(20, 12, 2);  // [in, out, 2, 2]
  const at::Tensor bias = at::rand({12});
  const at::Tensor last = Weight(5, 12, 1);
  Graph graph;
  const Value x = graph.Conv(graph.Input(3, 10, 14), first, at::Tensor(), {});
  graph.Output(graph.Conv(graph.UpConv(x, weight, bias), last, at::Tensor(), {}));
  const auto program = graph.Compile({.layout = GetParam()});
  ASSERT_TRUE(program.ok()) << program.status();

  const at::Tensor got = ResultOf(**program, image);

  const at::Tensor up =
      at::conv_transpose2d(at::conv2d(image, first, {}, 1, 1), weight, bias, /*stride=*/2);
  const at::Tensor want = at::conv2d(up, last);
  ASSERT_EQ(got.sizes(), want.sizes());
  EXPECT_LT(Error(got, want), 1e-5);
}

TEST_P(OneDnnLayoutTest, APoolMayHalveTheSize) {
  const at::Tensor image = at::rand({1, 3, 12, 20});
  const at::Tensor first = Weight(20, 3, 3);
  Graph graph;
  const Value x = graph.Conv(graph.Input(3, 12, 20), first, at::Tensor(), {});
  graph.Output(graph.MaxPool(x, /*kernel=*/2, /*stride=*/2));
  const auto program = graph.Compile({.layout = GetParam()});
  ASSERT_TRUE(program.ok()) << program.status();

  const at::Tensor want = at::max_pool2d(at::conv2d(image, first, {}, 1, 1), 2, 2);
  EXPECT_LT(Error(ResultOf(**program, image), want), 1e-5);
}

// Every kernel with what may come after a convolution.
TEST_P(OneDnnLayoutTest, EveryKernelEqualsAten) {
  struct Form {
    ConvKernel kernel;
    Precision precision;
    // Rounding: a few ulp of float32; Winograd's transforms amplify it about tenfold (Lavin and
    // Gray, 2016, section 5); bf16 keeps 8 bits, two layers deep.
    double tolerance;
  };
  std::vector<Form> forms = {{ConvKernel::kFused, Precision::kFloat32, 1e-5},
                             {ConvKernel::kDirect, Precision::kFloat32, 1e-5},
                             {ConvKernel::kWinograd, Precision::kFloat32, 1e-4}};
  for (int i = 0; i < 3 && CpuHasBFloat16(); ++i) {
    forms.push_back({forms[i].kernel, Precision::kBFloat16, 2e-2});
  }
  const at::Tensor image = at::rand({1, 3, 21, 34});
  const at::Tensor first = Weight(24, 3, 3);
  const at::Tensor weight = Weight(24, 24, 3);
  const at::Tensor bias = at::rand({24}) - 0.5;
  const at::Tensor x = at::conv2d(image, first, {}, 1, 1);
  const at::Tensor y = at::conv2d(x, weight, bias, 1, 1);
  const std::pair<Activation, at::Tensor> activations[] = {
      {Activation::kNone, y},           {Activation::kSilu, at::silu(y)},
      {Activation::kRelu, at::relu(y)}, {Activation::kLeakyRelu, at::leaky_relu(y, 0.1)},
      {Activation::kGelu, at::gelu(y)}, {Activation::kSigmoid, at::sigmoid(y)}};
  for (const Form& form : forms) {
    for (const auto& [activation, activated] : activations) {
      for (const float scale : {0.0F, 1.0F, 0.25F}) {
        Graph graph;
        const Value in = graph.Conv(graph.Input(3, 21, 34), first, at::Tensor(), {});
        ConvOptions options = {.activation = activation, .residual_scale = scale};
        if (scale != 0) options.residual = in;
        graph.Output(graph.Conv(in, weight, bias, options));
        const auto program = graph.Compile(
            {.precision = form.precision, .layout = GetParam(), .kernel = form.kernel});
        ASSERT_TRUE(program.ok()) << program.status();
        EXPECT_LT(Error(ResultOf(**program, image), activated + scale * x), form.tolerance)
            << static_cast<int>(form.kernel) << " " << static_cast<int>(form.precision) << " "
            << static_cast<int>(activation) << " " << scale;
      }
    }
  }
}

TEST_F(OneDnnGraphTest, SiluOfLargeNumbersIsThemOrNothing) {
  const at::Tensor image = at::tensor({-1e30F, -200.F, -88.F, 0.F, 88.F, 200.F, 1e30F, 1.F})
                               .reshape({1, 1, 1, 8})
                               .repeat({1, 1, 8, 1});
  // exp is bounded (vector_math.h), so that very negative numbers become some 1e-37 of themselves.
  for (const Precision precision : {Precision::kFloat32, Precision::kBFloat16}) {
    if (precision == Precision::kBFloat16 && !CpuHasBFloat16()) continue;
    Graph graph;
    const Value x = graph.Conv(graph.Input(1, 8, 8), at::ones({16, 1, 1, 1}), at::Tensor(), {});
    graph.Output(graph.Conv(x, at::eye(16).reshape({16, 16, 1, 1}), at::Tensor(),
                            {.activation = Activation::kSilu}));
    const auto program = graph.Compile({.precision = precision, .kernel = ConvKernel::kDirect});
    ASSERT_TRUE(program.ok()) << program.status();
    const at::Tensor got = ResultOf(**program, image).index({0, 0, 0});
    const at::Tensor want = at::silu(image).index({0, 0, 0});
    EXPECT_TRUE(at::allclose(got, want, /*rtol=*/1e-2, /*atol=*/1e-6)) << got << want;
  }
}

TEST_F(OneDnnGraphTest, WinogradEqualsDirectWithinItsRounding) {
  const at::Tensor image = at::rand({1, 3, 40, 40});
  const at::Tensor first = Weight(32, 3, 3);
  const at::Tensor weight = Weight(48, 32, 3);
  const at::Tensor bias = at::rand({48});
  Graph graph;
  const Value x = graph.Conv(graph.Input(3, 40, 40), first, at::Tensor(), {});
  graph.Output(graph.Conv(x, weight, bias, {.activation = Activation::kSilu}));
  const auto program = graph.Compile({.kernel = ConvKernel::kWinograd});
  ASSERT_TRUE(program.ok()) << program.status();
  ASSERT_EQ((*program)->winograd_count(), 1);  // not the one that reads the picture

  const at::Tensor got = ResultOf(**program, image);

  const at::Tensor want =
      at::silu(at::conv2d(at::conv2d(image, first, {}, 1, 1), weight, bias, 1, 1));
  // F(4x4, 3x3) transforms amplify fp32 rounding about tenfold (Lavin and Gray, 2016, section 5).
  EXPECT_LT(Error(got, want), 1e-4);
}

TEST_F(OneDnnGraphTest, WinogradOfFewTilesKeepsPlainWeights) {
  constexpr std::size_t kPlain = sizeof(float) * 64 * 64 * 9;
  // 25 tiles, as the deepest maps of a detector have, and 100.
  for (const auto& [side, most] : {std::pair{20, kPlain + 4096}, {40, 4 * kPlain + 4096}}) {
    Graph graph;
    const Value x = graph.Conv(graph.Input(3, side, side), Weight(64, 3, 1), at::Tensor(), {});
    graph.Output(graph.Conv(x, Weight(64, 64, 3), at::Tensor(), {}));
    const auto program = graph.Compile({.kernel = ConvKernel::kWinograd});
    ASSERT_TRUE(program.ok()) << program.status();
    ASSERT_EQ((*program)->winograd_count(), 1);
    EXPECT_LT((*program)->weight_bytes(), most) << side;
  }
}

TEST_P(OneDnnLayoutTest, ConcatOfUnevenPartsKeepsTheirOrder) {
  const at::Tensor image = at::rand({1, 3, 16, 16});
  const at::Tensor wa = Weight(24, 3, 3);
  const at::Tensor wb = Weight(7, 3, 3);
  const at::Tensor last = Weight(10, 31, 1);
  Graph graph;
  const Value input = graph.Input(3, 16, 16);
  const Value a = graph.Conv(input, wa, at::Tensor(), {});
  const Value b = graph.Conv(input, wb, at::Tensor(), {});
  graph.Output(graph.Conv(graph.Concat({b, a}), last, at::Tensor(), {}));
  const auto program = graph.Compile({.layout = GetParam()});
  ASSERT_TRUE(program.ok()) << program.status();

  const at::Tensor got = ResultOf(**program, image);

  const at::Tensor want = at::conv2d(
      at::cat({at::conv2d(image, wb, {}, 1, 1), at::conv2d(image, wa, {}, 1, 1)}, 1), last);
  EXPECT_LT(Error(got, want), 1e-5);
}

TEST_P(OneDnnLayoutTest, AValueInTwoConcatsIsInBoth) {
  const at::Tensor image = at::rand({1, 3, 16, 16});
  const at::Tensor wa = Weight(16, 3, 3);
  const at::Tensor wb = Weight(16, 3, 3);
  const at::Tensor last = Weight(8, 32, 1);
  Graph graph;
  const Value input = graph.Input(3, 16, 16);
  const Value a = graph.Conv(input, wa, at::Tensor(), {});
  const Value b = graph.Conv(input, wb, at::Tensor(), {});
  graph.Output(graph.Conv(graph.Concat({a, b}), last, at::Tensor(), {}));
  graph.Output(graph.Conv(graph.Concat({b, a}), last, at::Tensor(), {}));
  const auto program = graph.Compile({.layout = GetParam()});
  ASSERT_TRUE(program.ok()) << program.status();

  const at::Tensor ab = ResultOf(**program, image, 0);
  const at::Tensor ba = ResultOf(**program, image, 1);

  const at::Tensor ca = at::conv2d(image, wa, {}, 1, 1);
  const at::Tensor cb = at::conv2d(image, wb, {}, 1, 1);
  EXPECT_LT(Error(ab, at::conv2d(at::cat({ca, cb}, 1), last)), 1e-5);
  EXPECT_LT(Error(ba, at::conv2d(at::cat({cb, ca}, 1), last)), 1e-5);
}

// All that RTMDet is made of: depthwise, residual, gate, pools, upsampling, a branch used twice.
struct Block {
  at::Tensor image = at::rand({1, 3, 32, 32});
  at::Tensor stem = Weight(24, 3, 3);
  at::Tensor depthwise = Weight(24, 1, 5);
  at::Tensor pointwise = Weight(24, 24, 1);
  at::Tensor bias = at::rand({24}) - 0.5;
  at::Tensor fc = Weight(96, 96, 1);
  at::Tensor fc_bias = at::rand({96});
  at::Tensor last = Weight(20, 120, 3);

  void Build(Graph& graph) const {
    const ConvOptions silu{.activation = Activation::kSilu};
    const Value x = graph.Conv(graph.Input(3, 32, 32), stem, at::Tensor(),
                               {.stride = 2, .activation = Activation::kSilu});
    const Value d = graph.Conv(x, depthwise, bias, {.groups = 24, .activation = Activation::kSilu});
    const Value r =
        graph.Conv(d, pointwise, bias, {.activation = Activation::kSilu, .residual = x});
    const Value pooled = graph.Concat({r, graph.MaxPool(r, 5), graph.MaxPool(r, 9), d});
    const Value gated = graph.ChannelGate(pooled, fc, fc_bias, Activation::kHardSigmoid);
    const Value up = graph.Upsample2x(graph.Concat({gated, x}));
    graph.Output(graph.Conv(up, last, at::Tensor(), silu));
  }

  at::Tensor Reference() const {
    const at::Tensor x = at::silu(at::conv2d(image, stem, {}, 2, 1));
    const at::Tensor d = at::silu(at::conv2d(x, depthwise, bias, 1, 2, 1, 24));
    const at::Tensor r = at::silu(at::conv2d(d, pointwise, bias)) + x;
    const at::Tensor pooled =
        at::cat({r, at::max_pool2d(r, 5, 1, 2), at::max_pool2d(r, 9, 1, 4), d}, 1);
    const at::Tensor gate = at::hardsigmoid(at::conv2d(pooled.mean({2, 3}, true), fc, fc_bias));
    const at::Tensor up = at::upsample_nearest2d(at::cat({pooled * gate, x}, 1), {32, 32});
    return at::silu(at::conv2d(up, last, {}, 1, 1));
  }
};

TEST_P(OneDnnLayoutTest, AWholeBlockEqualsAtens) {
  const Block block;
  Graph graph;
  block.Build(graph);
  const auto program = graph.Compile({.layout = GetParam(), .kernel = ConvKernel::kDirect});
  ASSERT_TRUE(program.ok()) << program.status();

  const at::Tensor first = ResultOf(**program, block.image);
  const at::Tensor again = ResultOf(**program, block.image);

  EXPECT_LT(Error(first, block.Reference()), 1e-5);
  EXPECT_TRUE(at::equal(first, again));  // nothing of one run is left over in the next
}

TEST_P(OneDnnLayoutTest, BFloat16StaysWithinItsPrecision) {
  if (!CpuHasBFloat16()) GTEST_SKIP() << "no bf16 on this CPU";
  const Block block;
  Graph graph;
  block.Build(graph);
  const auto program = graph.Compile({.precision = Precision::kBFloat16, .layout = GetParam()});
  ASSERT_TRUE(program.ok()) << program.status();

  // bf16 keeps 8 bits: 0.4 % per rounding, five roundings deep.
  EXPECT_LT(Error(ResultOf(**program, block.image), block.Reference()), 3e-2);
}

TEST_F(OneDnnGraphTest, AProgramKeepsNoParameterAlive) {
  std::vector<float> storage(24 * 24);
  bool is_gone = false;
  absl::StatusOr<std::unique_ptr<Program>> program = absl::InternalError("not compiled");
  {
    const at::Tensor fc = at::from_blob(
        storage.data(), {24, 24, 1, 1}, [&](void*) { is_gone = true; }, at::kFloat);
    fc.set_requires_grad(true);
    Graph graph;
    const Value x = graph.Conv(graph.Input(3, 16, 16), Weight(24, 3, 3), at::Tensor(), {});
    graph.Output(graph.ChannelGate(x, fc, at::zeros({24}), Activation::kSigmoid));
    program = graph.Compile({});
    ASSERT_TRUE(program.ok()) << program.status();
  }

  EXPECT_TRUE(is_gone);
}

TEST_P(OneDnnLayoutTest, BilinearUpsamplingEqualsAtens) {
  for (const int factor : {2, 4}) {
    const at::Tensor image = at::rand({1, 3, 9, 14});
    const at::Tensor weight = Weight(24, 3, 3);  // one and a half blocks
    Graph graph;
    const Value x = graph.Conv(graph.Input(3, 9, 14), weight, at::Tensor(), {});
    graph.Output(graph.UpsampleBilinear(x, factor));
    const auto program = graph.Compile({.layout = GetParam(), .kernel = ConvKernel::kDirect});
    ASSERT_TRUE(program.ok()) << program.status();

    const at::Tensor got = ResultOf(**program, image);

    const at::Tensor want = at::upsample_bilinear2d(at::conv2d(image, weight, {}, 1, 1),
                                                    {9 * factor, 14 * factor}, false);
    ASSERT_EQ(got.sizes(), want.sizes());
    EXPECT_LT(Error(got, want), 1e-5) << factor;
  }
}

TEST(ArenaTest, BuffersThatNeverLiveTogetherShareMemory) {
  const ArenaPlan plan = PlanArena({{100, 0, 1}, {100, 2, 3}, {64, 1, 2}});

  EXPECT_EQ(plan.offsets[0], plan.offsets[1]);
  EXPECT_GE(plan.offsets[2], 128U);
  EXPECT_EQ(plan.bytes, 192U);
}

}  // namespace
}  // namespace nn::onednn
