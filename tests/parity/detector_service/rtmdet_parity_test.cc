// RTMDet against mmdet and mmyolo, step by step: the input to the bit, the maps of backbone, neck
// and head, the detections.

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "detector_service/inference/detection_model.h"
#include "detector_service/inference/preprocess.h"
#include "detector_service/model/detector.h"
#include "nn/threads.h"
#include "tests/parity/detector_service/golden.h"

namespace detector {
namespace {

class RtmdetParityTest : public testing::TestWithParam<std::string> {
 protected:
  RtmdetParityTest() { nn::UseThreads(2); }

  // As the checkpoint's config wants it.
  DetectorSettings Settings() const {
    const auto model = DetectionModel::Load({.checkpoint = golden_.checkpoint, .plain = true});
    return model.ok() ? (*model)->settings() : DetectorSettings{};
  }

  const Golden golden_ = ReadGolden(GetParam());
};

TEST_P(RtmdetParityTest, InputEqualsTheReferenceToTheBit) {
  const DetectorSettings settings = Settings();
  for (const GoldenImage& image : golden_.images) {
    Placement placement;
    const auto fitted = FitPicture(ReadPicture(image), settings, &placement);
    ASSERT_TRUE(fitted.ok()) << fitted.status();
    std::vector<float> input(fitted->total() * 3);
    Normalize(*fitted, settings, input.data());

    EXPECT_EQ(Sha256Hex(input.data(), input.size() * sizeof(float)), image.input_sha256)
        << image.path;
    EXPECT_EQ(placement.scale_x, image.scale_x);
    EXPECT_EQ(placement.scale_y, image.scale_y);
  }
}

TEST_P(RtmdetParityTest, MapsOfEveryModuleAreTheReferences) {
  c10::InferenceMode no_autograd;
  const auto file = checkpoint::ReadCheckpoint(golden_.checkpoint);
  ASSERT_TRUE(file.ok()) << file.status();
  auto model = LoadRtmdet(file->state_dict, ParsePythonConfig(file->meta.config_text));
  ASSERT_TRUE(model.ok()) << model.status();
  const auto maps = checkpoint::ReadCheckpoint(golden_.maps);
  ASSERT_TRUE(maps.ok()) << maps.status();
  const DetectorSettings settings = Settings();
  Placement placement;
  const auto fitted = FitPicture(ReadPicture(golden_.images[0]), settings, &placement);
  ASSERT_TRUE(fitted.ok()) << fitted.status();
  at::Tensor input = at::empty({1, 3, 640, 640});
  Normalize(*fitted, settings, input.data_ptr<float>());

  const Features c = (*model)->backbone(input);
  const Features p = (*model)->neck(c);
  const HeadOutput head = (*model)->bbox_head(p);

  const auto unit = [&](int level) {
    return (*model)->config.naming == Naming::kMmyolo ? kStrides[level] : 1;
  };
  int compared = 0;
  for (const auto& [name, view] : maps->state_dict) {
    const int level = name.back() - '0';
    const std::string kind = name.substr(0, name.size() - 2);
    const at::Tensor ours = kind == "backbone"   ? c[level]
                            : kind == "neck"     ? p[level]
                            : kind == "head_cls" ? head.cls_logits[level]
                                                 // mmyolo's head leaves the stride to the decoder.
                                                 : head.distances[level] / unit(level);
    const at::Tensor reference = nn::ToTensor(view);
    ASSERT_EQ(ours.sizes(), reference.sizes()) << name;
    // The reference's own float32 differs from float64 by up to 5e-5 of the range.
    const double range = reference.abs().max().item<double>();
    EXPECT_LE((ours - reference).abs().max().item<double>(), 1e-4 * range) << name;
    ++compared;
  }
  EXPECT_GE(compared, 6);
}

TEST_P(RtmdetParityTest, StateIsSavedInTheReferencesOrder) {
  const auto file = checkpoint::ReadCheckpoint(golden_.checkpoint);
  ASSERT_TRUE(file.ok()) << file.status();
  auto model = LoadRtmdet(file->state_dict, ParsePythonConfig(file->meta.config_text));
  ASSERT_TRUE(model.ok()) << model.status();
  const auto names = [](const checkpoint::StateDict& state) {
    std::vector<std::string> names;
    for (const auto& item : state) names.push_back(item.first);
    return names;
  };

  EXPECT_EQ(names(nn::ToStateDict(**model)), names(file->state_dict));
}

void ExpectDetectionsOfTheReference(const Golden& golden, const LoadOptions& options) {
  auto model = DetectionModel::Load(options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->classes(), golden.classes);
  const DetectOptions as_the_reference{.score_threshold = (*model)->evaluation_score_threshold(),
                                       .clip_to_image = false};
  for (const GoldenImage& image : golden.images) {
    const auto found = (*model)->Detect(ReadPicture(image), as_the_reference);
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

INSTANTIATE_TEST_SUITE_P(Models, RtmdetParityTest, testing::Values("tiny", "exp", "mmyolo_rtmdet"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace detector
