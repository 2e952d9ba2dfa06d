#include "detector_service/inference/packed_network.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "detector_service/inference/plain_network.h"

namespace detector {
namespace {

using nn::onednn::ConvKernel;

// Random weights that keep the values' size from layer to layer, and batch norms that do something.
Rtmdet RandomModel(double widen, double deepen, int classes, HeadKind head = HeadKind::kBoxes) {
  torch::NoGradGuard no_grad;
  at::manual_seed(11);
  RtmdetConfig config = ScaledRtmdet(widen, deepen, classes, head);
  Rtmdet model(config);
  for (auto& p : model->named_parameters()) {
    at::Tensor t = p.value();
    if (t.dim() == 4) t.normal_(0, 1.4 / std::sqrt(static_cast<double>(t[0].numel())));
  }
  for (auto& b : model->named_buffers()) {
    at::Tensor t = b.value();
    if (b.key().find("running_mean") != std::string::npos) t.normal_(0, 0.1);
    if (b.key().find("running_var") != std::string::npos) t.uniform_(0.5, 1.5);
  }
  model->eval();
  return model;
}

// The largest difference, relative to the largest value.
double Error(std::span<const float> got, std::span<const float> want) {
  if (got.size() != want.size()) return std::numeric_limits<double>::infinity();
  if (want.empty()) return 0;
  double difference = 0, range = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference = std::max<double>(difference, std::abs(got[i] - want[i]));
    range = std::max<double>(range, std::abs(want[i]));
  }
  return difference / range;
}

// The boxes of a level, decoded: the two forms code them differently.
std::vector<float> Boxes(const RawOutput& output, int level) {
  const RawLevel& raw = output.levels[level];
  std::vector<float> sides;
  for (int cell = 0; cell < raw.grid.width * raw.grid.height; ++cell) {
    // Seen from cell (0, 0), so that only what the network predicts counts.
    const vision::Box box = DecodeBox(output.coding, raw.boxes[cell], level, 0, 0);
    sides.insert(sides.end(), {box.x_min, box.y_min, box.x_max, box.y_max});
  }
  return sides;
}

std::span<const float> All(const RawRows& rows, vision::Size grid) {
  return {rows.data, static_cast<std::size_t>(grid.width) * grid.height * rows.step};
}

void ExpectEqual(Rtmdet& model, const nn::onednn::CompileOptions& options, double tolerance) {
  const vision::Size size = {128, 96};
  const at::Tensor image = at::randn({1, 3, size.height, size.width});
  const auto plain = MakePlainNetwork(model, "cpu");
  ASSERT_TRUE(plain.ok()) << plain.status();
  const auto packed = MakePackedNetwork(model, size, options);
  ASSERT_TRUE(packed.ok()) << packed.status();

  RawOutput want, got;
  ASSERT_TRUE((*plain)->Run(image.data_ptr<float>(), size, &want).ok());
  ASSERT_TRUE((*packed)->Run(image.data_ptr<float>(), size, &got).ok());

  EXPECT_EQ(got.num_classes, want.num_classes);
  for (int level = 0; level < kLevels; ++level) {
    ASSERT_EQ(got.levels[level].grid, want.levels[level].grid);
    const vision::Size grid = want.levels[level].grid;
    const auto error = [&](RawRows RawLevel::*rows) {
      return Error(All(got.levels[level].*rows, grid), All(want.levels[level].*rows, grid));
    };
    EXPECT_LT(error(&RawLevel::logits), tolerance) << level;
    EXPECT_LT(Error(Boxes(got, level), Boxes(want, level)), tolerance) << level;
    EXPECT_LT(error(&RawLevel::angles), tolerance) << level;
    EXPECT_LT(error(&RawLevel::kernels), tolerance) << level;
  }
  const vision::Size finest = want.levels[0].grid;
  EXPECT_LT(Error(All(got.mask_features, finest), All(want.mask_features, finest)), tolerance);
}

// 1e-4 of the range: what another fp32 convolution algorithm may differ by (RTMDet's noise floor is
// 5e-5).
TEST(PackedNetworkTest, EqualsThePlainModules) {
  Rtmdet tiny = RandomModel(0.375, 0.167, 80);  // stage 1 has 24 channels: padded parts
  ExpectEqual(tiny, {.kernel = ConvKernel::kDirect}, 1e-4);
  ExpectEqual(tiny, {.kernel = ConvKernel::kWinograd}, 1e-4);
}

TEST(PackedNetworkTest, NarrowAndDeepEqualsThePlainModules) {
  Rtmdet model = RandomModel(0.2, 0.67, 3);
  ExpectEqual(model, {}, 1e-4);
}

TEST(PackedNetworkTest, HeadsForMasksAndAnglesEqualThePlainModules) {
  Rtmdet instances = RandomModel(0.2, 0.33, 3, HeadKind::kInstances);
  ExpectEqual(instances, {}, 1e-4);
  Rtmdet rotated = RandomModel(0.2, 0.33, 3, HeadKind::kRotated);
  ExpectEqual(rotated, {}, 1e-4);
}

TEST(PackedNetworkTest, InputsOfOtherSizesEqualThePlainModules) {
  Rtmdet model = RandomModel(0.125, 0.33, 3);
  const auto plain = MakePlainNetwork(model, "cpu");
  ASSERT_TRUE(plain.ok()) << plain.status();
  // With room for all, and with room for none but the last one.
  for (const std::size_t bytes : {std::size_t{1} << 30, std::size_t{0}}) {
    const auto packed = MakePackedNetwork(model, {128, 96}, {}, bytes);
    ASSERT_TRUE(packed.ok()) << packed.status();
    for (const vision::Size size :
         {vision::Size{64, 96}, vision::Size{96, 64}, vision::Size{128, 96}, vision::Size{64, 96},
          vision::Size{96, 64}, vision::Size{32, 640}, vision::Size{640, 32},
          vision::Size{32, 640}}) {
      const at::Tensor image = at::randn({1, 3, size.height, size.width});
      RawOutput want, got;
      ASSERT_TRUE((*plain)->Run(image.data_ptr<float>(), size, &want).ok());
      ASSERT_TRUE((*packed)->Run(image.data_ptr<float>(), size, &got).ok());
      const vision::Size grid = want.levels[0].grid;
      ASSERT_EQ(got.levels[0].grid, grid);
      EXPECT_LT(Error(All(got.levels[0].logits, grid), All(want.levels[0].logits, grid)), 1e-4);
    }
  }
}

TEST(PackedNetworkTest, OneSizeIsOneSize) {
  Rtmdet model = RandomModel(0.125, 0.33, 3);
  const auto packed = MakePackedNetwork(model, {64, 64}, {});
  ASSERT_TRUE(packed.ok()) << packed.status();
  const at::Tensor image = at::zeros({1, 3, 32, 32});
  RawOutput output;
  EXPECT_EQ((*packed)->Run(image.data_ptr<float>(), {32, 32}, &output).code(),
            absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace detector
