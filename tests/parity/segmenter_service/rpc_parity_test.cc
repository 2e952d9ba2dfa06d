// The same goldens as sam_parity_test.cc, asked for over gRPC as a client does: bytes of a PNG in,
// scores, low-res logits and PNGs of masks out.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <utility>
#include <vector>

#include "segmenter_service/inference/served_model.h"
#include "tests/parity/segmenter_service/golden_image.h"
#include "tests/testing/segmenter_server.h"
#include "tests/testing/status_matchers.h"

namespace segmenter {
namespace {

namespace pb = duet::segmenter::v1;

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// `golden`'s model, served as some prompts were asked.
class Server {
 public:
  Server(const GoldenImage& golden, bool hq_token_only, bool no_dynamic) {
    std::string checkpoint = golden.checkpoint;
    if (no_dynamic) {  // a setting that only a file beside the checkpoint can change
      const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "no_dynamic";
      std::filesystem::create_directories(folder);
      checkpoint = folder / std::filesystem::path(golden.checkpoint).filename();
      std::filesystem::copy_file(golden.checkpoint, checkpoint,
                                 std::filesystem::copy_options::overwrite_existing);
      std::ofstream(checkpoint + ".json") << ReadSidecar(golden, /*dynamic_multimask=*/false);
    }
    absl::StatusOr<std::shared_ptr<const ServedModel>> model =
        LoadModel({checkpoint}, {.threads = 2, .hq_token_only = hq_token_only});
    EXPECT_THAT(model, duet_testing::IsOk());
    server_ = std::make_unique<duet_testing::SegmenterServer>(*std::move(model));
    EXPECT_THAT(server_->WarmUp(), duet_testing::IsOk());
    const absl::StatusOr<pb::EmbedResponse> embedded = server_->Embed(Read(golden.file));
    EXPECT_THAT(embedded, duet_testing::IsOk());
    EXPECT_EQ(static_cast<int>(embedded->width()), golden.bgr.cols);
    EXPECT_EQ(static_cast<int>(embedded->height()), golden.bgr.rows);
    image_id_ = embedded->image_id();
  }

  absl::StatusOr<pb::SegmentResponse> Segment(const GoldenPrompts& golden) {
    pb::SegmentRequest request;
    request.set_image_id(image_id_);
    request.set_multimask_output(golden.multimask);
    request.add_formats(pb::MASK_FORMAT_LOW_RES_LOGITS);
    request.add_formats(pb::MASK_FORMAT_PNG);
    for (const Prompt& prompt : golden.prompts) {
      pb::Prompt* out = request.add_prompts();
      for (const PromptPoint& point : prompt.points) {
        pb::Point* to = out->add_points();
        to->set_x(point.at.x);
        to->set_y(point.at.y);
        to->set_label(point.label);
      }
      if (prompt.box) {
        out->mutable_box()->set_x_min(prompt.box->x_min);
        out->mutable_box()->set_y_min(prompt.box->y_min);
        out->mutable_box()->set_x_max(prompt.box->x_max);
        out->mutable_box()->set_y_max(prompt.box->y_max);
      }
      if (!prompt.mask_logits.empty()) {
        out->set_mask_logits(prompt.mask_logits.data(), prompt.mask_logits.size() * sizeof(float));
      }
    }
    return server_->Segment(request);
  }

 private:
  std::unique_ptr<duet_testing::SegmenterServer> server_;
  std::string image_id_;
};

bool IsEmpty(const Prompt& prompt) {
  return prompt.points.empty() && !prompt.box && prompt.mask_logits.empty();
}

class RpcParityTest : public testing::TestWithParam<const char*> {};

TEST_P(RpcParityTest, AnswersEqualTheReference) {
  const GoldenImage golden = ReadGoldenImage(GetParam());
  std::map<std::pair<bool, bool>, std::unique_ptr<Server>> servers;
  for (const GoldenPrompts& expected : golden.prompts) {
    SCOPED_TRACE(expected.name);
    std::unique_ptr<Server>& server = servers[{expected.hq_token_only, expected.no_dynamic}];
    if (server == nullptr) {
      server = std::make_unique<Server>(golden, expected.hq_token_only, expected.no_dynamic);
    }
    if (IsEmpty(expected.prompts[0])) {  // the network takes it, a client must not
      EXPECT_EQ(server->Segment(expected).status().code(), absl::StatusCode::kInvalidArgument);
      continue;
    }

    ASSERT_OK_AND_ASSIGN(const pb::SegmentResponse response, server->Segment(expected));

    EXPECT_TRUE(response.embedding_cached());
    ASSERT_EQ(static_cast<std::size_t>(response.results_size()), expected.prompts.size());
    std::vector<float> scores, logits;
    std::size_t size = 0;
    for (const pb::PromptResult& result : response.results()) {
      for (const pb::Mask& mask : result.masks()) {
        scores.push_back(mask.iou_score());
        const std::string& bytes = mask.low_res_logits();
        const std::size_t before = logits.size(), count = bytes.size() / sizeof(float);
        logits.resize(before + count);
        std::memcpy(logits.data() + before, bytes.data(), bytes.size());
        while (size * size < count) ++size;
      }
    }
    ASSERT_EQ(scores.size(), expected.iou.values.size());
    for (std::size_t i = 0; i < scores.size(); ++i) {
      EXPECT_NEAR(scores[i], expected.iou.values[i], kIouTolerance);
    }
    EXPECT_LE(LogitError(logits, size, expected), kLogitTolerance);
    const std::string& png = response.results(0).masks(0).png();
    const cv::Mat mask =
        cv::imdecode(std::vector<char>(png.begin(), png.end()), cv::IMREAD_GRAYSCALE);
    ASSERT_EQ(mask.size(), golden.bgr.size());
    EXPECT_GE(MaskIou(mask, expected.first_mask), kMaskIou);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, RpcParityTest, testing::ValuesIn(kGoldenImages), GoldenTestName);

}  // namespace
}  // namespace segmenter
