// The engine with a network that only notes what it is asked.
#include "segmenter_service/inference/segmenter.h"

#include <gmock/gmock.h>

#include <atomic>
#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <thread>
#include <vector>

#include "serving/clock.h"
#include "serving/metrics.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/segmenter_service/inference/fake_network.h"

namespace segmenter {
namespace {

using testing::AllOf;
using testing::Each;
using testing::IsEmpty;
using testing::SizeIs;

class SegmenterTest : public testing::Test {
 protected:
  SegmenterTest() {
    std::vector<std::uint8_t> bytes;
    cv::imencode(".png", cv::Mat(20, 30, CV_8UC3, cv::Scalar(10, 20, 30)), bytes);
    image_.assign(bytes.begin(), bytes.end());
  }
  std::shared_ptr<ServedModel> Model(const std::string& version) {
    auto model = std::make_shared<ServedModel>();
    model->version = version;
    model->encoder = "one for all";
    model->network = network_;
    return model;
  }
  // Clicks at these points; the last one is what the network is asked with.
  Prompt Click(const std::shared_ptr<ServedModel>& model,
               const std::vector<vision::Point>& points) {
    SegmentRequest request;
    request.model = model;
    request.image = image_;
    request.prompts.resize(1);
    for (const vision::Point& at : points) request.prompts[0].points.push_back({at, 1});
    request.multimask_output = points.size() == 1;
    request.refine = true;
    const auto answer = segmenter_.Segment(request, {});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return network_->last_prompts.at(0);
  }

  serving::Metrics metrics_;
  std::shared_ptr<FakeNetwork> network_ = std::make_shared<FakeNetwork>();
  Segmenter segmenter_{SegmenterOptions(), serving::Clock::Real(), metrics_};
  std::string image_;
};

TEST_F(SegmenterTest, TheNextClickStartsFromTheBestMaskOfTheOneBefore) {
  const auto model = Model("v1");
  EXPECT_THAT(Click(model, {{1, 2}}).mask_logits, IsEmpty());

  // Of the fake's three masks the third has the highest score; its logits are 3.
  EXPECT_THAT(Click(model, {{1, 2}, {3, 4}}).mask_logits, AllOf(SizeIs(256), Each(3.0F)));
}

TEST_F(SegmenterTest, AnotherModelsMasksAreNotWhatAClickStartsFrom) {
  Click(Model("v1"), {{1, 2}});

  EXPECT_THAT(Click(Model("v2"), {{1, 2}, {3, 4}}).mask_logits, IsEmpty());
  EXPECT_EQ(network_->encodes, 1) << "though both have one encoder, hence one embedding";
}

// While one click is answered, the next one waits already.
class BusyNetwork final : public FakeNetwork {
 public:
  explicit BusyNetwork(serving::Metrics& metrics)
      : waiting_(metrics.Get(serving::kQueueDepth, {"segmenter"})) {}

  absl::StatusOr<LowResMasks> DecodeMasks(const Embedding& embedding,
                                          absl::Span<const Prompt> prompts,
                                          bool multimask_output) override {
    while (warm_ups == 0 && waiting_.Value() < 2) std::this_thread::yield();
    return FakeNetwork::DecodeMasks(embedding, prompts, multimask_output);
  }

 private:
  prometheus::Gauge& waiting_;
};

TEST_F(SegmenterTest, AModelIsWarmedUpThoughClicksNeverCease) {
  const auto busy = std::make_shared<BusyNetwork>(metrics_);
  network_ = busy;
  const auto model = Model("v1");
  std::atomic<bool> warm = false;
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&] {
      SegmentRequest request;
      request.model = model;
      request.image = image_;
      request.prompts.resize(1);
      request.prompts[0].points.push_back({{1, 2}, 1});
      while (!warm) EXPECT_TRUE(segmenter_.Segment(request, {}).ok());
    });
  }
  EXPECT_THAT(segmenter_.WarmUp(*model), duet_testing::IsOk());
  warm = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(busy->warm_ups, 1);
}

}  // namespace
}  // namespace segmenter
