// duet prelabel --masks=everything with the demo's segmenter.
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <vector>

#include "duet/segmenter/v1/segmenter.grpc.pb.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"

namespace bulk {
namespace {

namespace json = boost::json;
namespace segmenter = duet::segmenter::v1;
using duet_testing::ReadFile;
using duet_testing::Subprocess;

// What the service itself answers for the image, best first.
std::vector<segmenter::GeneratedMask> Everything(const std::string& address,
                                                 const std::string& image) {
  const auto stub = segmenter::Segmenter::NewStub(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  segmenter::SegmentEverythingRequest request;
  request.mutable_image()->set_data(image);
  request.set_points_per_side(8);
  request.set_pred_iou_thresh(0.5F);
  request.set_stability_score_thresh(0.5F);
  request.set_crop_n_layers(1);
  request.add_formats(segmenter::MASK_FORMAT_COCO_RLE);
  grpc::ClientContext call;
  const auto stream = stub->SegmentEverything(&call, request);
  std::vector<segmenter::GeneratedMask> masks;
  for (segmenter::SegmentEverythingResponse response; stream->Read(&response);) {
    if (response.has_mask()) masks.push_back(response.mask());
  }
  EXPECT_TRUE(stream->Finish().ok());
  std::stable_sort(masks.begin(), masks.end(), [](const auto& a, const auto& b) {
    return a.mask().iou_score() > b.mask().iou_score();
  });
  return masks;
}

TEST(EverythingOfTheDemoTest, IsWhatTheSegmenterItselfAnswers) {
  const duet_testing::TempDir folder;
  Subprocess service({DUET_SEGMENTER, "--checkpoint=models/demo/sam-demo.pth", "--port=0",
                      "--metrics_port=0", "--log_level=info"});
  ASSERT_OK_AND_ASSIGN(const std::string line, service.WaitForLine("\"event\":\"serving\""));
  const std::string address = absl::StrCat("127.0.0.1:", duet_testing::IntField(line, "port"));
  std::vector<std::string> images;
  for (int i = 0; i < 2; ++i) {
    images.push_back(ReadFile(absl::StrCat("tests/data/scenes/scene_", i, ".jpg")));
    folder.Write(absl::StrCat("images/", i, ".jpg"), images.back());
  }

  Subprocess run({DUET_COMMAND, "prelabel", folder.path() + "/images", "--segmenter=" + address,
                  "--out=" + folder.path() + "/found.json", "--masks=everything",
                  R"(--mask_generator={"points_per_side": 8, "pred_iou_thresh": 0.5, )"
                  R"("stability_score_thresh": 0.5, "crop_n_layers": 1})"});
  ASSERT_EQ(run.Wait(), 0) << run.err();

  const json::value coco = json::parse(ReadFile(folder.path() + "/found.json"));
  const json::array& annotations = coco.at("annotations").as_array();
  std::size_t next = 0;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const auto masks = Everything(address, images[i]);
    EXPECT_GT(masks.size(), 1U) << "scenes have several shapes";
    for (const segmenter::GeneratedMask& mask : masks) {
      ASSERT_LT(next, annotations.size());
      const json::value& found = annotations[next++];
      EXPECT_EQ(found.at("image_id").to_number<std::size_t>(), i + 1);
      EXPECT_EQ(found.at("segmentation").at("counts"), json::value(mask.mask().rle().counts()));
      EXPECT_EQ(found.at("bbox").at(0).to_number<float>(), mask.mask().box().x_min());
      EXPECT_EQ(found.at("area").to_number<unsigned>(), mask.mask().area());
      EXPECT_NEAR(found.at("score").to_number<float>(), std::min(mask.mask().iou_score(), 1.0F),
                  1e-6)
          << "of which the file has six digits";
    }
  }
  EXPECT_EQ(next, annotations.size());
}

}  // namespace
}  // namespace bulk
