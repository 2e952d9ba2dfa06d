// What bf16 changes in the masks of a trained network: the demo's, on images that it has not
// seen.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <iterator>
#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "nn/onednn/cpu.h"
#include "segmenter_service/inference/preprocess.h"
#include "segmenter_service/inference/sam_network.h"
#include "tests/testing/status_matchers.h"

namespace segmenter {
namespace {

// The mask of each box, of the image's size.
std::vector<cv::Mat> MasksOf(const std::string& precision, const cv::Mat& image,
                             const std::vector<Prompt>& prompts) {
  const auto file =
      checkpoint::ReadCheckpoint(std::string(DUET_SOURCE_DIR) + "/models/demo/sam-demo.pth");
  EXPECT_THAT(file, duet_testing::IsOk());
  const auto network =
      LoadNetwork(file->state_dict, {.precision = precision, .threads = 2}).value();
  const int side = network->spec().image_size;
  const InputGeometry geometry = FitInput({image.cols, image.rows}, side);
  std::vector<float> input(3 * static_cast<std::size_t>(side) * side);
  NormalizeAndPad(ResizeToInput(image, geometry), geometry, input.data());
  const Embedding embedding = network->EncodeImage(input, [] { return absl::OkStatus(); }).value();
  std::vector<Prompt> scaled;
  for (const Prompt& prompt : prompts) scaled.push_back(ToInput(prompt, geometry));
  const LowResMasks masks = network->DecodeMasks(embedding, scaled, false).value();
  const vision::MaskRenderer renderer = MakeMaskRenderer(geometry, masks.size);
  std::vector<cv::Mat> rendered;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    rendered.push_back(vision::ToPixels(renderer.Render(masks.Logits(i, 0)).mask));
  }
  return rendered;
}

TEST(PrecisionTest, BFloat16MasksOfTheDemoAreThoseOfFloat32) {
  if (!nn::onednn::CpuHasBFloat16()) GTEST_SKIP() << "no bf16 on this CPU";
  for (int scene = 0; scene < 4; ++scene) {
    const std::string path = std::string(DUET_TEST_DATA) + "/scenes/scene_" + std::to_string(scene);
    const cv::Mat image = cv::imread(path + ".jpg");
    std::ifstream file(path + ".json");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    std::vector<Prompt> prompts;
    const boost::json::value described = boost::json::parse(text);
    for (const auto& object : described.at("objects").as_array()) {
      const auto& box = object.at("box").as_array();
      Prompt& prompt = prompts.emplace_back();
      prompt.box = vision::Box{box[0].to_number<float>(), box[1].to_number<float>(),
                               box[2].to_number<float>(), box[3].to_number<float>()};
    }
    ASSERT_FALSE(prompts.empty());

    const auto fp32 = MasksOf("fp32", image, prompts), bf16 = MasksOf("bf16", image, prompts);

    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const int both = cv::countNonZero(fp32[i] & bf16[i]);
      const int either = cv::countNonZero(fp32[i] | bf16[i]);
      // What users of bf16 are promised; its 8 bits move the edges of a mask by a pixel here and
      // there.
      EXPECT_GE(both, 0.99 * either) << "scene " << scene << ", object " << i;
      EXPECT_GT(both, 0);
      RecordProperty("iou_" + std::to_string(scene) + "_" + std::to_string(i),
                     std::to_string(static_cast<double>(both) / either));
    }
  }
}

}  // namespace
}  // namespace segmenter
