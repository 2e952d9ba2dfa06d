// Every official model of every family at its real width: whether it is recognised, and whether
// without a config it is served with the very settings of upstream's.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "detector_service/families/family.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/zero_tensors.h"

namespace detector {
namespace {

using testing::ElementsAre;

// official.json: package/model → names and shapes of its state, and its config's own words
// (tools/make_official_detectors.py).
const boost::json::object& Official() {
  static const auto* const models = [] {
    std::ifstream file(std::string(DUET_TEST_DATA) + "/detector/official.json");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    return new boost::json::value(boost::json::parse(text));
  }();
  return models->as_object();
}

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const auto& [name, model] : Official()) names.emplace_back(name);
  return names;
}

// The state of such a model, all numbers zero.
checkpoint::StateDict StateOf(const boost::json::object& shapes) {
  duet_testing::ZeroTensors tensors;
  for (const auto& [key, value] : shapes) {
    const std::string name(key);
    const auto shape = boost::json::value_to<std::vector<std::int64_t>>(value);
    tensors.Add(name, shape);
    if (name.find(".bn.weight") == std::string::npos &&
        name.find("rbr_identity.weight") == std::string::npos) {
      continue;
    }
    const std::string norm = name.substr(0, name.rfind('.'));
    for (const char* rest : {".bias", ".running_mean", ".running_var"}) {
      tensors.Add(norm + rest, shape);
    }
  }
  return tensors.state();
}

// "mmyolo/yolov6_v3_m" → "yolov6-m": versions of one network have one name.
std::string ExpectedName(const std::string& model) {
  std::string name = model.substr(model.find('/') + 1);
  if (const auto version = name.find("_v3"); version != std::string::npos) name.erase(version, 3);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

// By the transforms of the config's test pipeline that change the size.
Resize ExpectedResize(const std::vector<std::string>& steps) {
  const std::map<std::vector<std::string>, Resize> known = {
      {{"Resize", "Pad"}, Resize::kFit},
      {{"YOLOv5KeepRatioResize", "LetterResize"}, Resize::kLetterbox},
      {{"FixShapeResize"}, Resize::kStretch}};
  return known.at(steps);
}

std::vector<float> Floats(const boost::json::value& numbers, float if_none) {
  auto floats = boost::json::value_to<std::vector<float>>(numbers);
  if (floats.empty()) floats.assign(3, if_none);  // no mean: upstream leaves pixels as they are
  return floats;
}

void ExpectInputOf(const boost::json::object& official, const DetectorSettings& settings) {
  EXPECT_EQ(settings.resize,
            ExpectedResize(boost::json::value_to<std::vector<std::string>>(official.at("resize"))));
  EXPECT_THAT(official.at("scale").as_array(),
              ElementsAre(settings.input_size.width, settings.input_size.height));
  if (!official.at("pad_val").is_null()) {
    const int pad = official.at("pad_val").to_number<int>();
    EXPECT_EQ(settings.pad_value, (std::array{pad, pad, pad}));
  }
  EXPECT_THAT(settings.mean,
              testing::Pointwise(testing::FloatEq(), Floats(official.at("mean"), 0)));
  EXPECT_THAT(settings.std, testing::Pointwise(testing::FloatEq(), Floats(official.at("std"), 1)));
  EXPECT_EQ(settings.bgr_to_rgb, official.at("bgr_to_rgb").as_bool());
}

// What is absent is as in get_bboxes of mmdet's RTMDetHead or mmyolo's YOLOv5Head.
void ExpectOutputOf(const boost::json::object& test_cfg, const DetectorSettings& settings) {
  const auto number = [&](const char* key, double absent) {
    const boost::json::value* value = test_cfg.if_contains(key);
    return value == nullptr ? absent : value->to_number<double>();
  };
  const auto flag = [&](const char* key, bool absent) {
    const boost::json::value* value = test_cfg.if_contains(key);
    return value == nullptr ? absent : value->as_bool();
  };
  EXPECT_EQ(settings.score_threshold, number("score_thr", -1));
  EXPECT_EQ(settings.nms_pre, number("nms_pre", 100'000));
  EXPECT_EQ(settings.min_bbox_size, number("min_bbox_size", -1));
  EXPECT_EQ(settings.nms_iou_threshold, number("iou_threshold", -1));
  EXPECT_EQ(settings.multi_label, flag("multi_label", true));
  EXPECT_EQ(settings.yolox_style, flag("yolox_style", false));
  // mmyolo's predict_by_feat never reads max_per_img of a yolox_style head.
  EXPECT_EQ(settings.max_per_img,
            settings.yolox_style ? std::numeric_limits<int>::max() : number("max_per_img", -1));
  EXPECT_EQ(settings.mask_threshold, number("mask_thr_binary", 0.5));
}

class OfficialModelTest : public testing::TestWithParam<std::string> {};

TEST_P(OfficialModelTest, IsRecognisedAndHasItsConfigsSettings) {
  const boost::json::object& official = Official().at(GetParam()).as_object();
  const checkpoint::StateDict state = StateOf(official.at("state").as_object());

  ASSERT_OK_AND_ASSIGN(const LoadedDetector model, LoadDetector(state, {}, nn::Memory::kBorrow));

  EXPECT_EQ(model.name, ExpectedName(GetParam()));
  EXPECT_EQ(model.head.num_classes, 80);
  EXPECT_EQ(model.head.has_masks(), GetParam().find("-ins") != std::string::npos);
  EXPECT_EQ(model.defaults.rule,
            GetParam().starts_with("mmdet/") ? PostprocessRule::kMmdet : PostprocessRule::kMmyolo);
  ExpectInputOf(official, model.defaults);
  ExpectOutputOf(official.at("test_cfg").as_object(), model.defaults);
  if (const auto* rtmdet = std::get_if<Rtmdet>(&model.modules)) {
    EXPECT_EQ((*rtmdet)->config.exp_on_reg, official.at("exp_on_reg").as_bool());
  }
}

INSTANTIATE_TEST_SUITE_P(Configs, OfficialModelTest, testing::ValuesIn(Names()),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = std::isalnum(c) ? c : '_';
                           return name;
                         });

// Of RTMDet-R there is only a reduced file, without a config here. The values are those of
// mmrotate's configs/rotated_rtmdet/rotated_rtmdet_l-3x-dota.py and of mmyolo's
// configs/rtmdet/rotated/rtmdet-r_l_syncbn_fast_2xb4-36e_dota.py.
TEST(OfficialRtmdetRTest, HasItsConfigsSettings) {
  struct Case {
    const char* file;
    PostprocessRule rule;
    double min_bbox_size;
    int nms_pre;
  };
  const Case cases[] = {{"rtmr", PostprocessRule::kMmdet, 0, 2000},
                        {"mmyolo_rtmr", PostprocessRule::kMmyolo, -1, 30'000}};
  for (const Case& want : cases) {
    SCOPED_TRACE(want.file);
    ASSERT_OK_AND_ASSIGN(const auto file,
                         checkpoint::ReadCheckpoint(std::string(DUET_TEST_DATA) + "/detector/" +
                                                    want.file + ".pth"));
    ASSERT_OK_AND_ASSIGN(const LoadedDetector model, LoadDetector(file.state_dict, {}));
    const DetectorSettings& settings = model.defaults;
    EXPECT_EQ(settings.resize, Resize::kFit);
    EXPECT_EQ(settings.input_size, (vision::Size{1024, 1024}));
    EXPECT_EQ(settings.pad_value, (std::array{114, 114, 114}));
    EXPECT_THAT(settings.mean, ElementsAre(103.53F, 116.28F, 123.675F));
    EXPECT_THAT(settings.std, ElementsAre(57.375F, 57.12F, 58.395F));
    EXPECT_FALSE(settings.bgr_to_rgb);
    EXPECT_EQ(settings.rule, want.rule);
    EXPECT_EQ(settings.score_threshold, 0.05);
    EXPECT_EQ(settings.nms_pre, want.nms_pre);
    EXPECT_EQ(settings.min_bbox_size, want.min_bbox_size);
    EXPECT_EQ(settings.nms_iou_threshold, 0.1);
    EXPECT_EQ(settings.max_per_img, 2000);
    EXPECT_TRUE(settings.multi_label);
  }
}

}  // namespace
}  // namespace detector
