// The automatic mask generator against segment-anything 1.0, as sets of masks. With random weights
// the masks cover the image, so the references were made with a mask_threshold of 10; their boxes
// nearly coincide, so suppression leaves one or two (unit tests have it apart).
#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>

#include "checkpoint/checkpoint.h"
#include "segmenter_service/inference/mask_generator.h"
#include "segmenter_service/inference/preprocess.h"
#include "segmenter_service/inference/sam_network.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "vision/mask_rle.h"

namespace segmenter {
namespace {

const std::string kData = std::string(DUET_TEST_DATA) + "/segmenter/";

MaskGeneratorOptions ReadOptions(const boost::json::value& golden) {
  MaskGeneratorOptions options;
  const boost::json::object& args = golden.at("args").as_object();
  const auto read = [&](const char* name, auto* field) {
    if (const boost::json::value* value = args.if_contains(name)) {
      *field = value->to_number<std::remove_pointer_t<decltype(field)>>();
    }
  };
  read("points_per_side", &options.points_per_side);
  read("points_per_batch", &options.points_per_batch);
  read("pred_iou_thresh", &options.pred_iou_thresh);
  read("stability_score_thresh", &options.stability_score_thresh);
  read("stability_score_offset", &options.stability_score_offset);
  read("box_nms_thresh", &options.box_nms_thresh);
  read("crop_n_layers", &options.crop_n_layers);
  read("crop_nms_thresh", &options.crop_nms_thresh);
  read("crop_n_points_downscale_factor", &options.crop_n_points_downscale_factor);
  read("min_mask_region_area", &options.min_mask_region_area);
  options.mask_threshold = golden.at("mask_threshold").to_number<float>();
  return options;
}

std::int64_t Overlap(const vision::Mask& a, const vision::Mask& b) {
  const cv::Mat both = vision::ToPixels(a, 1) & vision::ToPixels(b, 1);
  return vision::Area(vision::MaskFromPixels(both));
}

class MaskGeneratorParityTest : public testing::TestWithParam<const char*> {};

TEST_P(MaskGeneratorParityTest, FindsTheReferencesMasks) {
  const boost::json::value golden =
      boost::json::parse(duet_testing::ReadFile(kData + GetParam() + ".json"));
  ASSERT_OK_AND_ASSIGN(const checkpoint::Checkpoint file,
                       checkpoint::ReadCheckpoint(kData + "sam_a.pth"));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<SamNetwork> network, LoadNetwork(file.state_dict, {}));
  const cv::Mat image = cv::imread(kData + "a1.png", cv::IMREAD_COLOR);
  const int side = network->spec().image_size;

  const absl::StatusOr<std::vector<GeneratedMask>> masks = GenerateMasks(
      {image.cols, image.rows}, ReadOptions(golden),
      {.embed =
           [&](const vision::Box& crop) -> absl::StatusOr<std::shared_ptr<const ImageEmbedding>> {
         const cv::Mat pixels =
             image(cv::Rect(crop.x_min, crop.y_min, crop.width(), crop.height()));
         const InputGeometry geometry = FitInput({pixels.cols, pixels.rows}, side);
         std::vector<float> input(3 * side * side);
         NormalizeAndPad(ResizeToInput(pixels, geometry), geometry, input.data());
         return std::make_shared<const ImageEmbedding>(
             geometry, network->EncodeImage(input, [] { return absl::OkStatus(); }).value());
       },
       .decode =
           [&](const std::shared_ptr<const ImageEmbedding>& embedding,
               absl::Span<const Prompt> prompts) {
             return network->DecodeMasks(embedding->features, prompts, /*multimask_output=*/true);
           },
       .progress = [](int, int) { return absl::OkStatus(); }});

  ASSERT_THAT(masks, duet_testing::IsOk());
  const boost::json::array& records = golden.at("records").as_array();
  ASSERT_EQ(masks->size(), records.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    SCOPED_TRACE(i);
    const boost::json::object& record = records[i].as_object();
    const GeneratedMask& mask = (*masks)[i];
    EXPECT_NEAR(mask.iou_score, record.at("predicted_iou").to_number<double>(), 1e-5);
    EXPECT_NEAR(mask.stability_score, record.at("stability_score").to_number<double>(), 1e-3);
    const boost::json::array& point = record.at("point_coords").at(0).as_array();
    EXPECT_NEAR(mask.point.x, point[0].to_number<double>(), 1e-3);
    EXPECT_NEAR(mask.point.y, point[1].to_number<double>(), 1e-3);
    ASSERT_OK_AND_ASSIGN(
        const vision::Mask expected,
        vision::DecodeCocoRle(mask.mask.size, record.at("segmentation").at("counts").as_string()));
    const std::int64_t overlap = Overlap(mask.mask, expected);
    const std::int64_t together = vision::Area(mask.mask) + vision::Area(expected) - overlap;
    // A pixel or two of a mask may flip, which counts for more in a small one.
    EXPECT_LE(together - overlap, 3) << "of " << together;
  }
}

INSTANTIATE_TEST_SUITE_P(GridsAndCrops, MaskGeneratorParityTest,
                         testing::Values("amg_grid8", "amg_grid8_nonms", "amg_crops"));

}  // namespace
}  // namespace segmenter
