#include "segmenter_service/inference/embedder.h"

#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <new>
#include <stdexcept>
#include <thread>

#include "tests/testing/status_matchers.h"
#include "tests/unit/segmenter_service/inference/fake_network.h"

namespace segmenter {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::HasSubstr;

PreparedImage Picture() {
  return {{{64, 64}, {64, 64}, 64}, cv::Mat(64, 64, CV_8UC3, cv::Scalar(1, 2, 3))};
}

class EmbedderTest : public testing::Test {
 protected:
  absl::StatusOr<EmbedOutcome> Embed(const std::string& key, const EmbedCall& call = {}) {
    return embedder_.Embed(
        key, network_,
        [&] {
          ++prepared_;
          return absl::StatusOr<PreparedImage>(Picture());
        },
        call);
  }
  std::future<absl::StatusOr<EmbedOutcome>> EmbedAsync(const std::string& key,
                                                       EmbedCall call = {}) {
    return std::async(std::launch::async, [=, this] { return Embed(key, call); });
  }

  std::shared_ptr<FakeNetwork> network_ = std::make_shared<FakeNetwork>();
  std::atomic<int> prepared_{0};
  EmbeddingCache cache_{1 << 20};
  Embedder embedder_{cache_, /*store=*/nullptr, queue_, serving::Clock::Real()};
  serving::WorkQueue queue_{{.name = "test", .capacity = 8}, serving::Clock::Real(), nullptr};
};

// A gate that the encoder waits at in its first block.
struct Gate {
  explicit Gate(FakeNetwork& network) {
    network.on_block = [this, &network](int block) {
      last_block = block;
      if (block == 2 && encodes_begun == 0) encodes_begun = network.encodes.load();
      if (block != 0 || passed.exchange(true)) return;
      reached.set_value();
      open.get_future().wait();
    };
  }
  std::atomic<bool> passed{false};
  std::atomic<int> last_block{-1};
  std::atomic<int> encodes_begun{0};  // by the time that one of them reached its last block
  std::promise<void> reached, open;
};

TEST_F(EmbedderTest, TheSecondCallIsAnsweredFromTheCache) {
  ASSERT_THAT(Embed("cat"), IsOk());

  const absl::StatusOr<EmbedOutcome> again = Embed("cat");

  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->cached);
  EXPECT_EQ(network_->encodes, 1);
}

// Keeps what it is given, unless it is told to fail.
class FakeStore final : public EmbeddingStore {
 public:
  std::shared_ptr<const ImageEmbedding> Find(const std::string&, const NetworkSpec&) override {
    return nullptr;
  }
  void Insert(const std::string&, const ImageEmbedding&) override { ++inserted; }
  absl::Status Keep(const std::string&, const ImageEmbedding&, absl::Time) override {
    ++kept;
    return fails ? absl::AbortedError("full") : absl::OkStatus();
  }
  Retention retention() const override { return {}; }

  std::atomic<int> inserted{0}, kept{0};
  bool fails = false;
};

TEST_F(EmbedderTest, WhoKeepsWaitsForTheStoreAndTheOthersDoNot) {
  FakeStore store;
  EmbeddingCache cache(1 << 20);
  serving::WorkQueue queue({.name = "test", .capacity = 8}, serving::Clock::Real(), nullptr);
  Embedder embedder(cache, &store, queue, serving::Clock::Real());
  const auto embed = [&](const std::string& key, bool keep) {
    return embedder.Embed(key, network_, [] { return absl::StatusOr<PreparedImage>(Picture()); },
                          {.keep = keep});
  };
  ASSERT_THAT(embed("cat", true), IsOk());
  EXPECT_EQ(store.kept, 1);
  EXPECT_EQ(store.inserted, 0) << "one of both is enough";
  ASSERT_THAT(embed("cat", true), IsOk());
  EXPECT_EQ(store.kept, 2) << "it is in memory, and may not be in the store any more";

  store.fails = true;
  EXPECT_THAT(embed("dog", true), StatusIs(absl::StatusCode::kAborted, HasSubstr("full")));
  EXPECT_THAT(embed("dog", false), IsOk()) << "nobody else is harmed";
  EXPECT_EQ(network_->encodes, 2);
  ASSERT_THAT(embed("bus", false), IsOk());
  while (store.inserted < 1) std::this_thread::yield();  // after the answer
}

TEST_F(EmbedderTest, ConcurrentCallsForOnePictureEncodeOnce) {
  Gate gate(*network_);
  auto first = EmbedAsync("cat");
  gate.reached.get_future().wait();
  auto second = EmbedAsync("cat");
  auto third = EmbedAsync("cat", {.priority = serving::Priority::kPrefetch});
  // Both have joined once their work waits in the queue.
  while (queue_.waiting() < 2) std::this_thread::yield();

  gate.open.set_value();

  EXPECT_THAT(first.get(), IsOk());
  EXPECT_THAT(second.get(), IsOk());
  EXPECT_THAT(third.get(), IsOk());
  EXPECT_EQ(network_->encodes, 1);
  EXPECT_EQ(prepared_, 1);
}

TEST_F(EmbedderTest, WhatThePassThrowsIsToldToAllWhoWait) {
  Gate gate(*network_);
  const auto first_blocks = network_->on_block;
  network_->on_block = [&](int block) {
    first_blocks(block);
    if (block == 1) throw std::bad_alloc();
  };
  auto first = EmbedAsync("cat");
  gate.reached.get_future().wait();
  auto second = EmbedAsync("cat");
  while (queue_.waiting() < 1) std::this_thread::yield();
  gate.open.set_value();

  EXPECT_THAT(first.get(), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(second.get(), StatusIs(absl::StatusCode::kResourceExhausted));
  network_->on_block = nullptr;
  EXPECT_THAT(Embed("cat"), IsOk());
}

TEST_F(EmbedderTest, WhatPreparingThrowsIsToldAndTriedAgain) {
  const auto embed = [&](bool broken) {
    return embedder_.Embed("cat", network_,
                           [&]() -> absl::StatusOr<PreparedImage> {
                             if (broken) throw std::runtime_error("no pixels");
                             return Picture();
                           },
                           {.deadline = absl::Now() + absl::Seconds(60)});
  };
  EXPECT_THAT(embed(true), StatusIs(absl::StatusCode::kInternal, HasSubstr("no pixels")));
  EXPECT_THAT(embed(false), IsOk());
}

TEST_F(EmbedderTest, GivesWayToMoreUrgentWorkBetweenBlocks) {
  Gate gate(*network_);
  auto batch = EmbedAsync("cat", {.priority = serving::Priority::kBatch});
  gate.reached.get_future().wait();
  std::atomic<bool> encoder_was_running{false};
  auto click = std::async(std::launch::async, [&] {
    return queue_.Run({.priority = serving::Priority::kInteractive, .run = [&](absl::Duration) {
                         encoder_was_running = cache_.Find("cat") == nullptr;
                       }});
  });
  while (queue_.waiting() < 1) std::this_thread::yield();

  gate.open.set_value();

  EXPECT_THAT(click.get(), IsOk());
  EXPECT_TRUE(encoder_was_running);
  EXPECT_THAT(batch.get(), IsOk());
}

TEST_F(EmbedderTest, GivesWayToAClickWithinABlockButNotToAnotherEncode) {
  Gate gate(*network_);
  std::atomic<int> ran{0}, ran_within{-1};
  network_->after_pause = [&] {
    if (ran_within < 0) ran_within = ran.load();
  };
  auto batch = EmbedAsync("cat", {.priority = serving::Priority::kBatch});
  gate.reached.get_future().wait();
  const auto add = [&](serving::Priority priority, int value) {
    return std::async(std::launch::async, [&, priority, value] {
      return queue_.Run(
          {.priority = priority, .run = [&, value](absl::Duration) { ran += value; }});
    });
  };
  auto click = add(serving::Priority::kInteractive, 1);
  auto opened = add(serving::Priority::kOpenedTask, 10);
  while (queue_.waiting() < 2) std::this_thread::yield();

  gate.open.set_value();

  EXPECT_THAT(click.get(), IsOk());
  EXPECT_THAT(opened.get(), IsOk());
  EXPECT_THAT(batch.get(), IsOk());
  EXPECT_EQ(ran_within, 1);
}

TEST_F(EmbedderTest, SomebodyWhoLooksMakesARunningPrefetchUrgent) {
  Gate gate(*network_);
  auto prefetch = EmbedAsync("cat", {.priority = serving::Priority::kPrefetch});
  gate.reached.get_future().wait();
  auto opened = EmbedAsync("cat", {.priority = serving::Priority::kOpenedTask});
  auto batch = EmbedAsync("dog", {.priority = serving::Priority::kBatch});
  while (queue_.waiting() < 2) std::this_thread::yield();

  gate.open.set_value();

  EXPECT_THAT(opened.get(), IsOk());
  EXPECT_THAT(prefetch.get(), IsOk());
  EXPECT_THAT(batch.get(), IsOk());
  EXPECT_EQ(gate.encodes_begun, 1) << "a batch went before an opened task";
}

TEST_F(EmbedderTest, StopsAtTheNextBlockWhenNobodyWaits) {
  Gate gate(*network_);
  std::atomic<bool> cancelled{false};
  auto call = EmbedAsync("cat", {.is_cancelled = [&] { return cancelled.load(); }});
  gate.reached.get_future().wait();
  cancelled = true;
  EXPECT_THAT(call.get(), StatusIs(absl::StatusCode::kCancelled));

  gate.open.set_value();

  // The queue's only thread is free again, and nothing was kept.
  EXPECT_THAT(queue_.Run({.run = [](absl::Duration) {}}), IsOk());
  EXPECT_EQ(gate.last_block, 0);
  EXPECT_EQ(cache_.Find("cat"), nullptr);
}

TEST_F(EmbedderTest, OneWhoHangsUpDoesNotStopTheOthers) {
  Gate gate(*network_);
  std::atomic<bool> cancelled{false};
  auto first = EmbedAsync("cat", {.is_cancelled = [&] { return cancelled.load(); }});
  gate.reached.get_future().wait();
  auto second = EmbedAsync("cat");
  while (queue_.waiting() < 1) std::this_thread::yield();
  cancelled = true;
  EXPECT_THAT(first.get(), StatusIs(absl::StatusCode::kCancelled));

  gate.open.set_value();

  EXPECT_THAT(second.get(), IsOk());
}

TEST_F(EmbedderTest, ABadPictureFailsWithoutTheQueue) {
  const absl::StatusOr<EmbedOutcome> outcome =
      embedder_.Embed("cat", network_, [] { return absl::InvalidArgumentError("no picture"); }, {});

  EXPECT_THAT(outcome, StatusIs(absl::StatusCode::kInvalidArgument, "no picture"));
  EXPECT_THAT(Embed("cat"), IsOk()) << "the failure must not stay";
}

}  // namespace
}  // namespace segmenter
