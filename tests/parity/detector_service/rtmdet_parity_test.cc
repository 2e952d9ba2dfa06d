// RTMDet against mmdet, step by step: the input to the bit, the maps of backbone, neck and head,
// the detections.

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "detector_service/inference/detection_model.h"
#include "detector_service/inference/preprocess.h"
#include "detector_service/rtmdet/rtmdet.h"
#include "nn/threads.h"
#include "tests/parity/detector_service/golden.h"

namespace detector {
namespace {

class RtmdetParityTest : public testing::TestWithParam<std::string> {
 protected:
  RtmdetParityTest() { nn::UseThreads(2); }

  void SetUp() override {
    auto file = checkpoint::ReadCheckpoint(golden_.checkpoint);
    ASSERT_TRUE(file.ok()) << file.status();
    file_ = *std::move(file);
    const PythonConfig config = ParsePythonConfig(file_.meta.config_text);
    auto model = LoadRtmdet(file_.state_dict, config);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    auto settings = ReadSettings(config, DefaultSettings(model_->config));
    ASSERT_TRUE(settings.ok()) << settings.status();
    settings_ = *std::move(settings);
  }

  // [1, 3, H, W]
  at::Tensor Input(const GoldenImage& image, Placement* placement) {
    const auto fitted = FitImage(ReadImage(image), settings_, placement);
    if (!fitted.ok()) {
      ADD_FAILURE() << fitted.status();
      return {};
    }
    at::Tensor input = at::empty({1, 3, fitted->rows, fitted->cols});
    Normalize(*fitted, settings_, input.data_ptr<float>());
    return input;
  }

  const Golden golden_ = ReadGolden(GetParam());
  checkpoint::Checkpoint file_;
  Rtmdet model_{nullptr};
  DetectorSettings settings_;
};

TEST_P(RtmdetParityTest, InputEqualsTheReferenceToTheBit) {
  for (const GoldenImage& image : golden_.images) {
    Placement placement;
    const at::Tensor input = Input(image, &placement);
    EXPECT_EQ(Sha256Hex(input.data_ptr(), input.nbytes()), image.input_sha256) << image.path;
    // Written with nine digits in some goldens.
    EXPECT_FLOAT_EQ(placement.scale_x, image.scale_x);
    EXPECT_FLOAT_EQ(placement.scale_y, image.scale_y);
  }
}

TEST_P(RtmdetParityTest, MapsOfEveryModuleAreTheReferences) {
  c10::InferenceMode no_autograd;
  const auto maps = checkpoint::ReadCheckpoint(golden_.maps);
  ASSERT_TRUE(maps.ok()) << maps.status();
  Placement placement;

  const Features c = model_->backbone(Input(golden_.images[0], &placement));
  const Features p = model_->neck(c);
  const HeadOutput head = model_->bbox_head(p);

  const std::map<std::string, const Features*> by_level = {
      {"backbone", &c},
      {"neck", &p},
      {"head_cls", &head.cls_logits},
      {"head_reg", &head.distances},
      {"head_ang", &head.angles},
      {"head_kernel", &head.kernels},
  };
  for (const auto& [name, view] : maps->state_dict) {
    const at::Tensor reference = nn::ToTensor(view);
    at::Tensor ours = name == "mask_feat"
                          ? head.mask_features
                          : by_level.at(name.substr(0, name.size() - 2))->at(name.back() - '0');
    if (model_->config.naming == Naming::kMmyolo && name.starts_with("head_reg")) {
      ours = ours / kStrides[name.back() - '0'];  // mmyolo's head leaves that to the decoder
    }
    ASSERT_EQ(ours.sizes(), reference.sizes()) << name;
    // The reference's own float32 differs from float64 by up to 5e-5 of the range.
    const double range = reference.abs().max().item<double>();
    EXPECT_LE((ours - reference).abs().max().item<double>(), 1e-4 * range) << name;
  }
  EXPECT_GE(maps->state_dict.size(), 3U);
}

TEST_P(RtmdetParityTest, StateIsSavedInTheReferencesOrder) {
  const auto names = [](const checkpoint::StateDict& state) {
    std::vector<std::string> names;
    for (const auto& item : state) names.push_back(item.first);
    return names;
  };

  EXPECT_EQ(names(nn::ToStateDict(*model_)), names(file_.state_dict));
}

void ExpectDetectionsOfTheReference(const Golden& golden, const LoadOptions& options) {
  auto model = DetectionModel::Load(options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->classes(), golden.classes);
  const DetectOptions as_the_reference{.score_threshold = (*model)->evaluation_score_threshold(),
                                       .clip_to_image = false};
  for (const GoldenImage& image : golden.images) {
    const auto found = (*model)->Detect(ReadImage(image), as_the_reference);
    ASSERT_TRUE(found.ok()) << found.status();
    // One of 300 may be another where float32 and float64 already disagree.
    EXPECT_NEAR(found->size(), image.detections.size(), 0.01 * image.detections.size())
        << image.path;
    EXPECT_GE(CountMatches(image.detections, *found), 0.99 * image.detections.size()) << image.path;
  }
}

TEST_P(RtmdetParityTest, DetectionsOfThePlainModulesAreTheReferences) {
  ExpectDetectionsOfTheReference(golden_, {.checkpoint = golden_.checkpoint, .plain = true});
}

TEST_P(RtmdetParityTest, DetectionsOfThePackedFormAreTheReferences) {
  ExpectDetectionsOfTheReference(golden_, {.checkpoint = golden_.checkpoint});
}

INSTANTIATE_TEST_SUITE_P(Models, RtmdetParityTest,
                         testing::Values("tiny", "exp", "mmyolo_rtmdet", "ins", "rtmr",
                                         "mmyolo_rtmr", "rtmdet_nano"),
                         [](const auto& info) { return info.param; });

// Models of official size, which are too large to keep: what tools/make_full_size_goldens.py wrote
// into the folder that DUET_FULL_SIZE_GOLDENS names; none without it.
constexpr char kFullSizeFolder[] = "DUET_FULL_SIZE_GOLDENS";

class FullSizeParityTest : public testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(FullSizeParityTest);

std::vector<std::string> FullSizeModels() {
  std::vector<std::string> models;
  const char* folder = std::getenv(kFullSizeFolder);
  if (folder == nullptr) return models;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() == ".json") models.push_back(file.path().stem().string());
  }
  return models;
}

TEST_P(FullSizeParityTest, DetectionsAreTheReferences) {
  nn::UseThreads(2);
  const Golden golden = ReadGoldenIn(std::getenv(kFullSizeFolder), GetParam());
  for (bool plain : {true, false}) {
    SCOPED_TRACE(plain ? "plain modules" : "packed form");
    ExpectDetectionsOfTheReference(golden, {.checkpoint = golden.checkpoint, .plain = plain});
  }
}

INSTANTIATE_TEST_SUITE_P(Models, FullSizeParityTest, testing::ValuesIn(FullSizeModels()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace detector
