#include "image_fetch/fetch_queue.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>

namespace image_fetch {
namespace {

std::shared_ptr<Download> In(const std::string& lane) {
  auto download = std::make_shared<Download>();
  download->location.lane = lane;
  return download;
}

TEST(FetchQueueTest, ALaneLeavesAsManyPlacesAsItTakes) {
  FetchQueue queue(/*max_running=*/4);
  for (int i = 0; i < 4; ++i) queue.Add(In("hanging"));
  const auto other = In("other");
  queue.Add(other);

  EXPECT_NE(queue.TakeNext(), nullptr);
  EXPECT_NE(queue.TakeNext(), nullptr);
  EXPECT_EQ(queue.TakeNext(), other) << "the third of the first lane would leave it one place";
  EXPECT_EQ(queue.TakeNext(), nullptr);
  EXPECT_EQ(queue.running(), 3);
}

TEST(FetchQueueTest, APlaceThatIsFreeAgainGoesToTheFirstThatWaits) {
  FetchQueue queue(/*max_running=*/1);
  const auto first = In("a");
  const auto second = In("b");
  const auto third = In("a");
  for (const auto& download : {first, second, third}) queue.Add(download);

  EXPECT_EQ(queue.TakeNext(), first);
  EXPECT_EQ(queue.TakeNext(), nullptr);
  queue.Finish(*first);
  EXPECT_EQ(queue.TakeNext(), second);
}

TEST(FetchQueueTest, WhatIsRemovedDoesNotStart) {
  FetchQueue queue(/*max_running=*/2);
  const auto first = In("a");
  const auto second = In("b");
  queue.Add(first);
  queue.Add(second);

  queue.Remove(first);

  EXPECT_EQ(queue.TakeNext(), second);
  EXPECT_EQ(queue.TakeNext(), nullptr);
  queue.Remove(second);  // it has started: nothing happens
  EXPECT_EQ(queue.running(), 1);
}

}  // namespace
}  // namespace image_fetch
