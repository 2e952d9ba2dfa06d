#include "detector_service/families/family.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "detector_service/inference/packed_network.h"
#include "detector_service/inference/plain_network.h"
#include "tests/testing/status_matchers.h"

namespace detector {
namespace {

using duet_testing::StatusIs;
using testing::HasSubstr;

// The state of one of tests/data/detector/.
checkpoint::StateDict StateOf(const std::string& model) {
  auto file =
      checkpoint::ReadCheckpoint(std::string(DUET_TEST_DATA) + "/detector/" + model + ".pth");
  if (!file.ok()) ADD_FAILURE() << file.status();
  return file.ok() ? std::move(file->state_dict) : checkpoint::StateDict{};
}

checkpoint::TensorView ViewOf(const at::Tensor& tensor) { return nn::ToTensorView(tensor).value(); }

auto IsRefused(const std::string& reason) {
  return StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(reason));
}

BlueprintModule ModuleOf(const absl::StatusOr<LoadedDetector>& detector) {
  return std::get<BlueprintModule>(detector.value().modules);
}

TEST(FamilyTest, WhatIsNotSupportedIsNamed) {
  const std::pair<const char*, const char*> marks[] = {
      {"backbone.stage5.0.conv.weight", "P6"},
      {"bbox_head.head_module.main_convs_pred.0.0.conv.weight", "P6 model of YOLOv7"},
      {"bbox_head.head_module.proto_pred.conv1.conv.weight", "YOLOv5-ins"},
      {"bbox_head.head_module.multi_level_conv_vis.0.weight", "YOLOX-Pose"},
      {"bbox_head.multi_level_conv_obj.0.weight", "MMDetection's naming"}};
  checkpoint::StateDict state = StateOf("yolov5");
  for (const auto& [name, what] : marks) {
    state.emplace_back(name, state[0].second);
    EXPECT_THAT(LoadDetector({state.back()}, {}), IsRefused(what)) << name;
    EXPECT_THAT(LoadDetector(state, {}), IsRefused(what));
    state.pop_back();
  }
}

TEST(FamilyTest, RtmdetIsAFamilyLikeTheOthers) {
  const std::pair<const char*, const char*> models[] = {
      {"tiny", "rtmdet"}, {"mmyolo_rtmdet", "rtmdet"}, {"ins", "rtmdet-ins"}, {"rtmr", "rtmdet-r"}};
  for (const auto& [file, name] : models) {
    ASSERT_OK_AND_ASSIGN(const LoadedDetector detector, LoadDetector(StateOf(file), {}));
    EXPECT_THAT(detector.name, testing::StartsWith(name));
    EXPECT_TRUE(std::holds_alternative<Rtmdet>(detector.modules)) << file;
    EXPECT_EQ(detector.head.has_masks(), std::string(file) == "ins");
    EXPECT_EQ(detector.head.has_rotated_boxes(), std::string(file) == "rtmr");
  }
}

TEST(FamilyTest, OtherModelsWeightsAreNamed) {
  const auto of = [](const char* name) {
    return LoadDetector({{name, checkpoint::TensorView{}}}, {});
  };
  EXPECT_THAT(of("image_encoder.pos_embed"), IsRefused("Segment Anything"));
  EXPECT_THAT(of("bbox_head.head_module.other.weight"), IsRefused("another model of MMYOLO"));
  EXPECT_THAT(of("backbone.stem.0.conv.weight"), IsRefused("not the whole detector"));
  EXPECT_THAT(of("fc.weight"), IsRefused("its first tensor is 'fc.weight'"));
  EXPECT_THAT(LoadDetector({}, {}), IsRefused("no tensors"));
}

TEST(FamilyTest, FilesMadeForDeploymentAreRefused) {
  checkpoint::StateDict fused = StateOf("yolov5");
  std::erase_if(fused,
                [](const auto& item) { return item.first.find(".bn.") != std::string::npos; });
  fused.emplace_back("backbone.stem.conv.bias", fused[0].second);
  EXPECT_THAT(LoadDetector(fused, {}), IsRefused("made for deployment"));

  checkpoint::StateDict reparam = StateOf("yolov6");
  for (auto& [name, view] : reparam) {
    if (name == "backbone.stem.rbr_dense.conv.weight") name = "backbone.stem.rbr_reparam.weight";
  }
  EXPECT_THAT(LoadDetector(reparam, {}), IsRefused("rbr_reparam"));
}

TEST(FamilyTest, WhatDoesNotFitIsNamed) {
  checkpoint::StateDict state = StateOf("yolov8");
  const std::string gone = "neck.downsample_layers.1.conv.weight";
  std::erase_if(state, [&](const auto& item) { return item.first == gone; });
  EXPECT_THAT(LoadDetector(state, {}), IsRefused("yolov8: tensor '" + gone + "' is missing"));

  state = StateOf("yolov8");
  for (auto& [name, view] : state) {
    if (name == gone) view = ViewOf(at::zeros({8, 5, 3, 3}));
  }
  EXPECT_THAT(LoadDetector(state, {}), IsRefused(gone + "' is [8x5x3x3] but its input has"));

  state = StateOf("yolov8");
  state.emplace_back("backbone.extra.weight", state[0].second);
  EXPECT_THAT(LoadDetector(state, {}), IsRefused("1 unexpected: backbone.extra.weight"));

  state = StateOf("yolov5");
  for (auto& [name, view] : state) {
    if (name == "bbox_head.head_module.convs_pred.1.weight")
      view = ViewOf(at::zeros({28, 32, 1, 1}));
  }
  EXPECT_THAT(LoadDetector(state, {}), IsRefused("convs_pred.1"));
}

TEST(FamilyTest, AnchorsAreTheConfigs) {
  const auto anchors = [](const char* text) {
    return LoadDetector(StateOf("yolov5"), ParsePythonConfig(text)).value().head.coding.anchors;
  };
  EXPECT_EQ(anchors("")[2][1].height, 198);
  const char* own =
      "model = dict(bbox_head=dict(prior_generator=dict(base_sizes=[[(1, 2), (3, 4), (5, 6)],"
      "[(7, 8), (9, 10), (11, 12)], [(13, 14), (15, 16), (17, 18)]])))";
  EXPECT_EQ(anchors(own)[2][1].height, 16);
  EXPECT_THAT(LoadDetector(StateOf("yolov5"),
                           ParsePythonConfig(
                               "model = dict(bbox_head=dict(prior_generator=dict(base_sizes=3)))")),
              IsRefused("base_sizes"));
}

TEST(FamilyTest, TheBatchNormsEpsIsTheConfigs) {
  const auto eps = [](const char* text) {
    const auto loaded = LoadDetector(StateOf("yolov5"), ParsePythonConfig(text));
    const Blueprint& blueprint = ModuleOf(loaded)->blueprint;
    return std::array{blueprint.bn_eps.backbone, blueprint.bn_eps.neck, blueprint.bn_eps.head};
  };
  EXPECT_EQ(eps(""), (std::array{1e-3, 1e-3, 1e-3}));
  EXPECT_EQ(eps("model = dict(backbone=dict(norm_cfg=dict(type='BN', eps=0.01)))"),
            (std::array{0.01, 1e-3, 1e-3}));
  // PyTorch's, where a norm_cfg has none; the class's, where there is no norm_cfg.
  EXPECT_EQ(eps("model = dict(neck=dict(type='YOLOv5PAFPN', norm_cfg=dict(type='SyncBN')),"
                "backbone=dict(type='PPYOLOECSPResNet'))"),
            (std::array{1e-5, 1e-5, 1e-3}));
  const auto refused = [](const char* text) {
    return LoadDetector(StateOf("yolov5"), ParsePythonConfig(text));
  };
  EXPECT_THAT(refused("model = dict(neck=dict(norm_cfg=dict(type='GN')))"), IsRefused("GN"));
  EXPECT_THAT(refused("model = dict(backbone=dict(norm_cfg=dict(type='BN', eps=x())))"),
              IsRefused("backbone norm_cfg eps"));
}

// Each part's batch norms compute with the eps of that part.
TEST(FamilyTest, TheBatchNormsEpsOfAPartChangesItsMaps) {
  const auto run = [](const char* text) {
    const auto loaded = LoadDetector(StateOf("yolov5"), ParsePythonConfig(text));
    at::manual_seed(1);
    return ModuleOf(loaded)->forward(at::rand({1, 3, 64, 64}))[0];
  };
  const at::NoGradGuard no_grad;
  const at::Tensor standard = run("");
  for (const char* part : {"backbone", "neck"}) {
    const std::string text =
        absl::StrCat("model = dict(", part, "=dict(norm_cfg=dict(type='BN', eps=0.5)))");
    EXPECT_FALSE(at::allclose(run(text.c_str()), standard)) << part;
  }
}

TEST(FamilyTest, ActivationsAreTheConfigs) {
  const auto activations = [](const std::string& text) {
    const auto loaded = LoadDetector(StateOf("yolov8"), ParsePythonConfig(text));
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    std::map<std::string, std::set<Activation>> of_part;
    for (const Layer& layer : ModuleOf(loaded)->blueprint.layers) {
      if (layer.type != Layer::Type::kConv || layer.branches[0].bn.empty()) continue;
      of_part[layer.name.substr(0, layer.name.find('.'))].insert(layer.activation);
    }
    return of_part;
  };
  const auto of_silu = activations("model = dict(backbone=dict(act_cfg=dict(type='Swish')))");
  EXPECT_EQ(of_silu.at("backbone"), std::set{Activation::kSilu});
  auto mixed = activations(
      "model = dict(backbone=dict(act_cfg=dict(type='ReLU', inplace=True)),"
      "neck=dict(act_cfg=dict(type='LeakyReLU', negative_slope=0.1)),"
      "bbox_head=dict(head_module=dict(type='YOLOv8HeadModule')))");
  EXPECT_EQ(mixed.at("backbone"), std::set{Activation::kRelu});
  EXPECT_EQ(mixed.at("neck"), std::set{Activation::kLeakyRelu});
  EXPECT_EQ(mixed.at("bbox_head"), std::set{Activation::kSilu});
}

TEST(FamilyTest, ActivationsThatAreNotSupportedAreRefusedByName) {
  const auto of = [](const char* model, const char* text) {
    return LoadDetector(StateOf(model), ParsePythonConfig(text));
  };
  EXPECT_THAT(of("yolov8", "model = dict(backbone=dict(act_cfg=dict(type='HSwish')))"),
              IsRefused("HSwish"));
  EXPECT_THAT(of("yolov8", "model = dict(neck=dict(act_cfg=dict(type='LeakyReLU')))"),
              IsRefused("LeakyReLU(0.01)"));
  EXPECT_THAT(of("yolov6", "model = dict(backbone=dict(act_cfg=dict(type='SiLU')))"),
              IsRefused("only ReLU"));
  EXPECT_THAT(of("yolov6",
                 "model = dict(bbox_head=dict(head_module=dict(act_cfg=dict(type="
                 "'ReLU'))))"),
              IsRefused("head_module act_cfg"));
  // The class takes SiLU where the config is silent, and tiny's tensors look like LeakyReLU's.
  EXPECT_EQ(ModuleOf(of("yolov7_tiny", "model = dict(backbone=dict(type='YOLOv7Backbone'))"))
                ->blueprint.layers[1]
                .activation,
            Activation::kSilu);
}

TEST(FamilyTest, PointsStridesAndCodersAreTheConfigs) {
  const auto of = [](const char* model, const std::string& bbox_head) {
    return LoadDetector(StateOf(model),
                        ParsePythonConfig("model = dict(bbox_head=dict(" + bbox_head + "))"));
  };
  const auto point = [&](const char* model, const std::string& generator) {
    return of(model, "prior_generator=dict(type='mmdet.MlvlPointGenerator', " + generator + ")")
        .value()
        .head.coding.point;
  };
  EXPECT_EQ(point("yolox", "offset=0.25"), 0.25F);
  EXPECT_EQ(point("yolox", "strides=[8, 16, 32]"), 0.5F);  // the generator's, not the family's
  EXPECT_EQ(point("rtmr", "offset=0.25"), 0.25F);
  EXPECT_EQ(point("yolov8", "offset=0, strides=[(8, 8), (16, 16), (32, 32)]"), 0.F);
  EXPECT_THAT(of("yolov8", "prior_generator=dict(type='MlvlPointGenerator', strides=[4, 8, 16])"),
              IsRefused("strides = (4, 8, 16)"));
  EXPECT_THAT(of("yolov8", "head_module=dict(featmap_strides=[16, 32, 64])"),
              IsRefused("featmap_strides"));
  EXPECT_THAT(of("yolov8", "prior_generator=dict(type='AnchorGenerator')"),
              IsRefused("AnchorGenerator"));
  EXPECT_THAT(of("yolov8", "bbox_coder=dict(type='YOLOXBBoxCoder')"), IsRefused("YOLOXBBoxCoder"));
  EXPECT_THAT(of("yolov8", "bbox_coder=dict(type='DistancePointBBoxCoder', clip_border=False)"),
              IsRefused("clip_border"));
  EXPECT_THAT(of("rtmr", "bbox_coder=dict(type='DistanceAnglePointCoder', angle_version='oc')"),
              IsRefused("angle_version"));
  EXPECT_THAT(of("rtmr", "bbox_coder=dict(type='DistanceAnglePointCoder')"),
              IsRefused("angle_version"));
  EXPECT_THAT(of("ins", "anchor_generator=dict(type='MlvlPointGenerator')"), IsRefused("offset"));
  EXPECT_THAT(of("tiny", "loss_cls=dict(type='CrossEntropyLoss')"), IsRefused("use_sigmoid"));
}

TEST(FamilyTest, WhatOfANetworkIsNotKnownIsWarnedAbout) {
  std::vector<std::string> warnings;
  const auto loaded = LoadDetector(
      StateOf("yolov8"),
      ParsePythonConfig("model = dict(backbone=dict(type='MyNet', magic=1), neck=dict(deploy=True),"
                        "bbox_head=dict(loss_bbox=build(), head_module=dict(magic=2)))"),
      nn::Memory::kCopy, &warnings);

  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(warnings, testing::ElementsAre(testing::HasSubstr("backbone magic"),
                                             testing::HasSubstr("MyNet"),
                                             testing::HasSubstr("head_module magic")));
}

// Official files of m, l and x from before the key want True; mmdet's class has False.
TEST(FamilyTest, AHeadWhoseExpIsGuessedIsWarnedAbout) {
  const Rtmdet m = [] {
    const nn::SkipInitialization skip;
    return Rtmdet(ScaledRtmdet(0.75, 0.67, 80));
  }();
  const auto warnings_of = [&](const char* text) {
    std::vector<std::string> warnings;
    const auto loaded =
        LoadDetector(nn::ToStateDict(*m), ParsePythonConfig(text), nn::Memory::kBorrow, &warnings);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return warnings;
  };
  EXPECT_THAT(warnings_of("model = dict(bbox_head=dict(num_classes=80))"),
              testing::ElementsAre(testing::HasSubstr("exp_on_reg")));
  EXPECT_THAT(warnings_of("model = dict(bbox_head=dict(exp_on_reg=True))"), testing::IsEmpty());
  EXPECT_THAT(warnings_of(""), testing::IsEmpty());
}

TEST(FamilyTest, PpyoloeWithoutPlusHasImageNetsMean) {
  checkpoint::StateDict state = StateOf("ppyoloe_plus");
  EXPECT_EQ(LoadDetector(state, {}).value().defaults.std[0], 255);
  std::erase_if(
      state, [](const auto& item) { return item.first.find(".conv2.alpha") != std::string::npos; });
  const auto plain = LoadDetector(state, {});
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->name, "ppyoloe");
  EXPECT_EQ(plain->defaults.mean[0], 123.675F);
}

TEST(FamilyTest, TrainingReachesEveryParameter) {
  for (const char* model : {"yolov6_v3_m", "yolov7", "ppyoloe_plus"}) {
    const auto loaded = LoadDetector(StateOf(model), {});
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    BlueprintModule module = ModuleOf(loaded);
    module->train();
    at::Tensor loss = at::zeros({});
    for (const at::Tensor& map : module->forward(at::rand({2, 3, 64, 64}))) {
      loss = loss + map.pow(2).mean();
    }
    loss.backward();
    for (const auto& item : module->named_parameters()) {
      EXPECT_TRUE(item.value().grad().defined()) << model << " " << item.key();
    }
  }
}

// YOLOv6-l, of which there is no small golden: its blocks are plain convolutions with bias and
// batch norm. Made of m's by leaving one branch.
checkpoint::StateDict WithConvWrappers(const checkpoint::StateDict& state) {
  checkpoint::StateDict result;
  for (const auto& [name, view] : state) {
    if (name.find(".rbr_1x1.") != std::string::npos ||
        name.find(".rbr_identity.") != std::string::npos) {
      continue;
    }
    std::string renamed = name;
    const std::string dense = ".rbr_dense.";
    if (const auto at = renamed.find(dense); at != std::string::npos) {
      renamed.replace(at, dense.size(), ".block.");
      if (renamed.ends_with(".conv.weight")) {
        result.emplace_back(renamed.substr(0, renamed.size() - 6) + "bias",
                            ViewOf(at::randn({view.shape[0]})));
      }
    }
    result.emplace_back(renamed, view);
  }
  return result;
}

// The largest difference between the outputs of the two forms, relative to the largest value.
double Difference(const checkpoint::StateDict& state) {
  auto model = LoadDetector(state, {});
  if (!model.ok()) {
    ADD_FAILURE() << model.status();
    return 0;
  }
  const vision::Size size = {128, 96};
  const at::Tensor image = at::rand({1, 3, size.height, size.width});
  const auto plain = MakePlainNetwork(model->modules, "cpu");
  const auto packed = MakePackedNetwork(model->modules, size, {});
  EXPECT_TRUE(packed.ok()) << packed.status();
  RawOutput want, got;
  EXPECT_TRUE((*plain)->Run(image.data_ptr<float>(), size, &want).ok());
  EXPECT_TRUE((*packed)->Run(image.data_ptr<float>(), size, &got).ok());
  double difference = 0, range = 0;
  const auto compare = [&](const RawRows& a, const RawRows& b, std::size_t rows, int numbers) {
    if (a.data == nullptr) return;
    for (std::size_t row = 0; row < rows; ++row) {
      for (int i = 0; i < numbers; ++i) {
        difference = std::max<double>(difference, std::abs(a[row][i] - b[row][i]));
        range = std::max<double>(range, std::abs(a[row][i]));
      }
    }
  };
  for (int i = 0; i < kLevels; ++i) {
    EXPECT_EQ(got.levels[i].grid, want.levels[i].grid);
    const vision::Size grid = want.levels[i].grid;
    const std::size_t rows =
        static_cast<std::size_t>(grid.width) * grid.height * want.coding.per_cell();
    compare(want.levels[i].logits, got.levels[i].logits, rows, want.num_classes);
    compare(want.levels[i].boxes, got.levels[i].boxes, rows, want.coding.numbers());
    compare(want.levels[i].objectness, got.levels[i].objectness, rows, 1);
  }
  return difference / range;
}

TEST(FamilyTest, ThePackedFormEqualsThePlainModules) {
  at::manual_seed(3);
  const checkpoint::StateDict large = WithConvWrappers(StateOf("yolov6_v3_m"));
  // What another fp32 convolution algorithm may differ by.
  EXPECT_LT(Difference(large), 3e-4);
  for (const char* model : {"yolov5", "yolov6", "yolov6_v3_m", "yolov7", "yolov7_tiny", "yolov8",
                            "yolox", "ppyoloe_plus"}) {
    EXPECT_LT(Difference(StateOf(model)), 3e-4) << model;
  }
}

// Depthwise convolutions, of which YOLOX-nano is made.
TEST(FamilyTest, ADepthwiseSeparableConvolutionIsToldByItsNames) {
  checkpoint::StateDict state;
  for (const auto& [name, view] : StateOf("yolox")) {
    const std::string block = "neck.downsample_layers.0.";
    if (name.rfind(block, 0) != 0) {
      state.emplace_back(name, view);
      continue;
    }
    const std::string rest = name.substr(block.size());
    const std::int64_t channels = view.shape.empty() ? 0 : view.shape[0];
    const bool weight = rest == "conv.weight";
    state.emplace_back(block + "depthwise_conv." + rest,
                       weight ? ViewOf(at::randn({channels, 1, 3, 3})) : view);
    state.emplace_back(block + "pointwise_conv." + rest,
                       weight ? ViewOf(at::randn({channels, channels, 1, 1})) : view);
  }
  EXPECT_LT(Difference(state), 3e-4);
}

}  // namespace
}  // namespace detector
