// Trained weights on photographs: the whole chain, from an image file's bytes to labels, against
// what the reference implementations found. Neither may be kept here: the files are those of the
// folder that DUET_REAL_GOLDENS names, which has for each model NAME.pth and NAME.json (photograph
// → boxes, scores, labels), and the photographs in photos/. Nothing runs without it.

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <utility>
#include <vector>

#include "detector_service/inference/detection_model.h"
#include "nn/threads.h"
#include "tests/parity/detector_service/golden.h"

namespace detector {
namespace {

constexpr char kFolder[] = "DUET_REAL_GOLDENS";

std::vector<std::string> Models() {
  std::vector<std::string> models;
  const char* folder = std::getenv(kFolder);
  if (folder == nullptr) return models;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() == ".json") models.push_back(file.path().stem().string());
  }
  return models;
}

class RealWeightsTest : public testing::TestWithParam<std::string> {
 protected:
  RealWeightsTest() { nn::UseThreads(2); }

  static std::string Path(const std::string& name) {
    return std::string(std::getenv(kFolder)) + "/" + name;
  }

  // Best first. The references' lists end at a score of their own.
  static std::vector<Detection> ReadDetections(const boost::json::value& golden) {
    std::vector<Detection> detections;
    const boost::json::value* labels = golden.as_object().if_contains("labels");  // none: one class
    for (std::size_t i = 0; i < golden.at("boxes").as_array().size(); ++i) {
      const auto side = [&](int k) { return golden.at("boxes").at(i).at(k).to_number<float>(); };
      detections.push_back({.box = {side(0), side(1), side(2), side(3)},
                            .score = golden.at("scores").at(i).to_number<float>(),
                            .class_id = labels ? labels->at(i).to_number<int>() : 0});
    }
    return detections;
  }

  static void ExpectDetectionsOfTheReference(bool plain) {
    auto model = DetectionModel::Load({.checkpoint = Path(GetParam() + ".pth"), .plain = plain});
    ASSERT_TRUE(model.ok()) << model.status();
    std::ifstream file(Path(GetParam() + ".json"));
    const boost::json::value goldens =
        boost::json::parse(std::string{std::istreambuf_iterator<char>(file), {}});
    for (const auto& [photograph, golden] : goldens.as_object()) {
      const cv::Mat image = cv::imread(Path("photos/" + std::string(photograph)), cv::IMREAD_COLOR);
      ASSERT_FALSE(image.empty()) << photograph;
      const std::vector<Detection> expected = ReadDetections(golden);
      float least = 1;
      for (const Detection& detection : expected) least = std::min(least, detection.score);
      const auto found = (*model)->Detect(
          image,
          {.score_threshold = (*model)->evaluation_score_threshold(), .clip_to_image = false});
      ASSERT_TRUE(found.ok()) << found.status();
      const auto listed = std::count_if(found->begin(), found->end(),
                                        [&](const Detection& d) { return d.score >= least; });
      EXPECT_EQ(CountMatches(expected, *found), expected.size()) << photograph;
      // What is as good as the weakest that is listed is listed too; rounding decides on the last.
      EXPECT_NEAR(listed, expected.size(), 1) << photograph;
    }
  }
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RealWeightsTest);

TEST_P(RealWeightsTest, DetectionsOfThePlainModulesAreTheReferences) {
  ExpectDetectionsOfTheReference(/*plain=*/true);
}

TEST_P(RealWeightsTest, DetectionsOfThePackedFormAreTheReferences) {
  ExpectDetectionsOfTheReference(/*plain=*/false);
}

INSTANTIATE_TEST_SUITE_P(Models, RealWeightsTest, testing::ValuesIn(Models()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace detector
