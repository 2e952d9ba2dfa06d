#include "detector_service/config/network_settings.h"

#include <gmock/gmock.h>

#include "tests/testing/status_matchers.h"

namespace detector {
namespace {

using duet_testing::StatusIs;
using testing::HasSubstr;

absl::StatusOr<NetworkSettings> Read(const std::string& model,
                                     PostprocessRule rule = PostprocessRule::kMmyolo) {
  return ReadNetworkSettings(ParsePythonConfig("model = dict(" + model + ")"), rule);
}

TEST(NetworkSettingsTest, WithoutAConfigNothingIsSaid) {
  ASSERT_OK_AND_ASSIGN(const NetworkSettings settings, ReadNetworkSettings({}, {}));

  EXPECT_EQ(settings.backbone.activation, std::nullopt);
  EXPECT_EQ(settings.head.bn_eps, std::nullopt);
  EXPECT_EQ(settings.point, std::nullopt);
  EXPECT_EQ(settings.box_coder, "");
}

// The defaults of the classes' __init__ in mmdet 3.3.0 and mmyolo 0.6.0.
TEST(NetworkSettingsTest, WhereTheConfigIsSilentTheClassDecides) {
  const struct {
    const char* type;
    PostprocessRule rule;
    const char* activation;
    double eps;
  } kClasses[] = {{"CSPNeXt", PostprocessRule::kMmdet, "SiLU", 1e-3},
                  {"mmdet.CSPNeXt", PostprocessRule::kMmyolo, "SiLU", 1e-5},
                  {"YOLOv5CSPDarknet", PostprocessRule::kMmyolo, "SiLU", 1e-3},
                  {"YOLOv6EfficientRep", PostprocessRule::kMmyolo, "ReLU", 1e-3},
                  {"YOLOv6CSPBep", PostprocessRule::kMmyolo, "SiLU", 1e-3},
                  {"YOLOv7Backbone", PostprocessRule::kMmyolo, "SiLU", 1e-3},
                  {"YOLOXCSPDarknet", PostprocessRule::kMmyolo, "SiLU", 1e-3},
                  {"PPYOLOECSPResNet", PostprocessRule::kMmyolo, "SiLU", 1e-5}};
  for (const auto& row : kClasses) {
    ASSERT_OK_AND_ASSIGN(const NetworkSettings settings,
                         Read(std::string("backbone=dict(type='") + row.type + "')", row.rule));
    EXPECT_EQ(settings.backbone.activation, row.activation) << row.type;
    EXPECT_EQ(settings.backbone.bn_eps, row.eps) << row.type;
  }
  EXPECT_EQ(Read("bbox_head=dict(type='RTMDetHead')", PostprocessRule::kMmdet)->head.activation,
            "ReLU");
  EXPECT_EQ(Read("bbox_head=dict(type='RTMDetInsSepBNHead')", PostprocessRule::kMmdet)->head.bn_eps,
            1e-5);
  EXPECT_EQ(Read("neck=dict(type='YOLOv6CSPRepPAFPN')")->block_activation, "SiLU");
}

TEST(NetworkSettingsTest, ActivationsHaveTheirParameters) {
  const auto activation = [](const std::string& act_cfg) {
    return *Read("neck=dict(act_cfg=" + act_cfg + ")")->neck.activation;
  };
  EXPECT_EQ(activation("dict(type='Swish')"), "SiLU");
  EXPECT_EQ(activation("dict(type='LeakyReLU', negative_slope=0.1)"), "LeakyReLU(0.1)");
  EXPECT_EQ(activation("dict(type='LeakyReLU')"), "LeakyReLU(0.01)");
  EXPECT_EQ(activation("dict(type='HSigmoid')"), "HSigmoid");
  EXPECT_EQ(activation("None"), "none");
}

TEST(NetworkSettingsTest, OpaqueValuesMatterOnlyWhereTheyAreRead) {
  EXPECT_TRUE(Read("backbone=dict(init_cfg=x(), frozen_stages=y), train_cfg=z,"
                   "bbox_head=dict(loss_cls=build(), train_cfg=z)")
                  .ok());
  for (const char* model :
       {"backbone=build()", "neck=dict(act_cfg=x)",
        "backbone=dict(norm_cfg=dict(type='BN', eps=x))", "backbone=dict(out_indices=x)",
        "bbox_head=dict(head_module=x)",
        "bbox_head=dict(prior_generator=dict(type='MlvlPointGenerator', offset=x))",
        "neck=dict(**x)"}) {
    EXPECT_THAT(Read(model),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is not understood")))
        << model;
  }
}

TEST(NetworkSettingsTest, WhatWouldChangeTheNetworkUnseenIsRefusedByName) {
  const std::pair<const char*, const char*> kRefused[] = {
      {"backbone=dict(out_indices=(1, 2, 3))", "out_indices = (1, 2, 3)"},
      {"backbone=dict(spp_kernel_sizes=(3, 5, 7))", "spp_kernel_sizes"},
      {"backbone=dict(norm_cfg=dict(type='GN', num_groups=32))", "GN"},
      {"neck=dict(upsample_cfg=dict(scale_factor=2, mode='bilinear'))", "upsample_cfg"},
      {"bbox_head=dict(angle_coder=dict(type='PSCCoder'))", "angle_coder"},
      {"bbox_head=dict(angle_version='oc')", "angle_version"}};
  for (const auto& [model, what] : kRefused) {
    EXPECT_THAT(Read(model), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(what)));
  }
}

}  // namespace
}  // namespace detector
