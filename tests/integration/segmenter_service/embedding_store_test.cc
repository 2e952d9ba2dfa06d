// Replicas that share embeddings through a real redis-server, which is killed, frozen and filled
// with rubbish.
#include <gmock/gmock.h>

#include <future>
#include <opencv2/imgcodecs.hpp>
#include <thread>

#include "segmenter_service/inference/embedding_codec.h"
#include "segmenter_service/inference/redis_embedding_store.h"
#include "segmenter_service/inference/segmenter.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/redis_server.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/segmenter_service/inference/fake_network.h"

namespace segmenter {
namespace {

using duet_testing::IsOk;
using duet_testing::RedisServer;
using duet_testing::StatusIs;

std::string PngOf(int width, int height) {
  std::vector<std::uint8_t> bytes;
  cv::imencode(".png", cv::Mat(height, width, CV_8UC3, cv::Scalar(10, 20, 30)), bytes);
  return {bytes.begin(), bytes.end()};
}

serving::RedisClient::Options WithTimeout(absl::Duration timeout) {
  return {.timeout = timeout, .last_retry = absl::Milliseconds(200)};
}

// A segmenter with a fake network, as one process has it.
class Replica {
 public:
  explicit Replica(const std::string& url, const std::string& version = "fake-1",
                   absl::Duration timeout = absl::Seconds(30))
      : redis_(serving::ParseRedisUrl(url).value(), WithTimeout(timeout), metrics_) {
    model_->version = version;
    model_->encoder = version;
    model_->network = network_;
    segmenter_.emplace(SegmenterOptions(), serving::Clock::Real(), metrics_, &store_);
  }

  absl::StatusOr<EmbedResult> Embed(const std::string& picture, bool keep = false) {
    return segmenter_->Embed(model_, picture, serving::Priority::kOpenedTask, {}, keep);
  }
  absl::StatusOr<SegmentResult> Click(const std::string& image_id) {
    SegmentRequest request;
    request.model = model_;
    request.image_id = image_id;
    request.prompts.resize(1);
    request.prompts[0].points.push_back({{5, 5}, 1});
    return segmenter_->Segment(request, {});
  }
  double Count(const char* result) { return metrics_.Get(kEmbeddings, {result}).Value(); }
  // Until Redis has answered to everything that was given to it so far.
  void AwaitStored(int embeddings) {
    while (metrics_.Get(serving::kRedisCommands, {"SET", "stored"}).Value() < embeddings) {
      std::this_thread::yield();
    }
  }
  void AwaitRedis(bool up) {
    while (redis_.up() != up) std::this_thread::yield();
  }

  FakeNetwork& network() { return *network_; }
  serving::RedisClient& redis() { return redis_; }
  serving::Metrics& metrics() { return metrics_; }

 private:
  serving::Metrics metrics_;
  serving::RedisClient redis_;
  RedisEmbeddingStore store_{redis_, absl::Hours(1), 1'000'000, metrics_};
  std::shared_ptr<FakeNetwork> network_ = std::make_shared<FakeNetwork>();
  std::shared_ptr<ServedModel> model_ = std::make_shared<ServedModel>();
  std::optional<Segmenter> segmenter_;
};

class EmbeddingStoreTest : public testing::Test {
 protected:
  RedisServer server_;
  const std::string picture_ = PngOf(20, 10);
  const std::string image_id_ = ImageIdOf(picture_);
};

TEST_F(EmbeddingStoreTest, AClickIsAnsweredByAReplicaThatNeverSawThePicture) {
  Replica a(server_.url()), b(server_.url());
  ASSERT_THAT(a.Embed(picture_), IsOk());
  a.AwaitStored(1);

  ASSERT_OK_AND_ASSIGN(const SegmentResult answer, b.Click(image_id_));

  EXPECT_TRUE(answer.image.cached);
  EXPECT_EQ(answer.image.embedding->geometry.original, (vision::Size{20, 10}));
  EXPECT_EQ(b.network().encodes, 0);
  EXPECT_EQ(b.Count("shared"), 1);
  ASSERT_THAT(b.Click(image_id_), IsOk());
  EXPECT_EQ(b.Count("hit"), 1) << "the second click asks no Redis";
}

TEST_F(EmbeddingStoreTest, WhatIsAskedToBeKeptIsInRedisWhenTheAnswerComes) {
  Replica a(server_.url()), b(server_.url());
  ASSERT_THAT(a.Embed(picture_, /*keep=*/true), IsOk());

  EXPECT_THAT(b.Click(image_id_), IsOk());
  EXPECT_EQ(b.network().encodes, 0);
  server_.Kill();
  a.AwaitRedis(false);
  EXPECT_THAT(a.Embed(picture_, /*keep=*/true), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(a.Embed(picture_), IsOk());
}

TEST_F(EmbeddingStoreTest, APictureThatAnotherReplicaEncodedIsNotEncodedAgain) {
  Replica a(server_.url()), b(server_.url());
  ASSERT_THAT(a.Embed(picture_), IsOk());
  a.AwaitStored(1);

  ASSERT_OK_AND_ASSIGN(const EmbedResult answer, b.Embed(picture_));

  EXPECT_TRUE(answer.cached);
  EXPECT_EQ(b.network().encodes, 0);
}

TEST_F(EmbeddingStoreTest, NotFoundOnlyIfNeitherTierKnows) {
  Replica a(server_.url()), b(server_.url());

  EXPECT_THAT(b.Click(image_id_), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_THAT(a.Embed(picture_), IsOk());
  a.AwaitStored(1);
  EXPECT_THAT(b.Click(image_id_), IsOk());
}

TEST_F(EmbeddingStoreTest, AnotherModelsEmbeddingsAreNotTaken) {
  Replica a(server_.url(), "fake-1"), b(server_.url(), "fake-2");
  ASSERT_THAT(a.Embed(picture_), IsOk());
  a.AwaitStored(1);

  EXPECT_THAT(b.Click(image_id_), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(EmbeddingStoreTest, ConcurrentCallsForOnePictureStillEncodeOnce) {
  Replica a(server_.url());
  std::promise<void> reached, open;
  a.network().on_block = [&](int block) {
    if (block != 0) return;
    reached.set_value();  // throws if there is a second pass
    open.get_future().wait();
  };
  const auto embed = [&] {
    return std::async(std::launch::async, [&] { return a.Embed(picture_); });
  };
  auto first = embed();
  reached.get_future().wait();
  auto second = embed(), third = embed();

  open.set_value();

  EXPECT_THAT(first.get(), IsOk());
  EXPECT_THAT(second.get(), IsOk());
  EXPECT_THAT(third.get(), IsOk());
  EXPECT_EQ(a.network().encodes, 1);
}

TEST_F(EmbeddingStoreTest, KilledRedisCostsAnEncodeAndNoAnswer) {
  duet_testing::LogCapture log;
  Replica a(server_.url()), b(server_.url());
  ASSERT_THAT(a.Embed(picture_), IsOk());
  a.AwaitStored(1);
  server_.Kill();
  a.AwaitRedis(false);
  b.AwaitRedis(false);

  EXPECT_THAT(a.Click(image_id_), IsOk());
  EXPECT_THAT(b.Click(image_id_), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const EmbedResult encoded, b.Embed(picture_));
  EXPECT_FALSE(encoded.cached);
  EXPECT_THAT(log.lines("redis.down"), testing::SizeIs(2));

  // Back, and empty: what is encoded from now on is shared again.
  server_.Start();
  a.AwaitRedis(true);
  b.AwaitRedis(true);
  const std::string other = PngOf(30, 10);
  ASSERT_THAT(b.Embed(other), IsOk());
  b.AwaitStored(1);
  EXPECT_THAT(a.Click(ImageIdOf(other)), IsOk());
  EXPECT_EQ(a.network().encodes, 1);
}

TEST_F(EmbeddingStoreTest, FrozenRedisIsWaitedForOnce) {
  Replica a(server_.url(), "fake-1", absl::Milliseconds(50));
  a.AwaitRedis(true);
  server_.Freeze();

  ASSERT_THAT(a.Embed(picture_), IsOk());
  a.AwaitRedis(false);
  for (int i = 0; i < 100; ++i) {
    EXPECT_THAT(a.Click("unknown"), StatusIs(absl::StatusCode::kNotFound));
  }
  EXPECT_THAT(a.Click(image_id_), IsOk());
  EXPECT_EQ(a.metrics().Get(serving::kRedisCommands, {"GET", "lost"}).Value(), 1);
  EXPECT_EQ(a.metrics().Get(serving::kRedisUp).Value(), 0);
  server_.Thaw();
  a.AwaitRedis(true);
}

TEST_F(EmbeddingStoreTest, WhatIsDamagedIsAMissThatIsCountedAndReplaced) {
  Replica a(server_.url()), b(server_.url());
  const std::string key = "duet:embedding:fake-1/" + image_id_;
  const auto put = [&](const std::string& value) {
    std::promise<absl::Status> done;
    a.redis().Set(key, value, absl::Hours(1), [&](absl::Status status) { done.set_value(status); });
    ASSERT_THAT(done.get_future().get(), IsOk());
  };
  const FeatureShape shape{8, 4, 5};  // the network's are 8x4x4
  const std::string misshapen =
      EncodeEmbedding({FitInput({20, 10}, 64), {{{shape, std::vector<std::byte>(shape.bytes())}}}});
  const FeatureShape right{8, 4, 4};
  std::string poisoned =
      EncodeEmbedding({FitInput({20, 10}, 64), {{{right, std::vector<std::byte>(right.bytes())}}}});
  poisoned.replace(poisoned.size() - 2, 2, "\xc0\x7f");  // the upper half of a NaN
  duet_testing::LogCapture log;
  for (const std::string& value : {std::string(), std::string("rubbish"), misshapen, poisoned}) {
    put(value);
    EXPECT_THAT(b.Click(image_id_), StatusIs(absl::StatusCode::kNotFound));
  }
  EXPECT_EQ(b.metrics().Get(serving::kRedisRefusedValues).Value(), 4);
  EXPECT_THAT(log.lines("redis.refused"), testing::SizeIs(4));

  ASSERT_THAT(a.Embed(picture_), IsOk());
  a.AwaitStored(5);
  EXPECT_THAT(b.Click(image_id_), IsOk());
}

}  // namespace
}  // namespace segmenter
