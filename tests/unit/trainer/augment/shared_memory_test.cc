#include "trainer/augment/shared_memory.h"

#include <gmock/gmock.h>

#include <atomic>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/testing/status_matchers.h"

namespace trainer {
namespace {

using duet_testing::StatusIs;
using Texts = SharedMemory<std::string>;

std::size_t Size(const std::string& text) { return text.size(); }

TEST(SharedMemoryTest, KeepsWhatFits) {
  Texts texts(4000);
  int made = 0;
  const auto get = [&](std::uint64_t key) {
    return **texts.Get(
        key,
        [&] {
          ++made;
          return absl::StatusOr<Texts::Pointer>(std::make_shared<std::string>(1500, 'a'));
        },
        Size);
  };
  get(1);
  get(2);
  get(1);
  EXPECT_EQ(made, 2);

  get(3);  // 2 was used longest ago
  get(1);
  EXPECT_EQ(made, 3);
  get(2);
  EXPECT_EQ(made, 4);
}

TEST(SharedMemoryTest, AnErrorIsNotKept) {
  Texts texts(4000);
  const auto fail = [] { return absl::StatusOr<Texts::Pointer>(absl::DataLossError("torn")); };
  const auto succeed = [] {
    return absl::StatusOr<Texts::Pointer>(std::make_shared<std::string>());
  };

  EXPECT_THAT(texts.Get(1, fail, Size), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_TRUE(texts.Get(1, succeed, Size).ok());
}

TEST(SharedMemoryTest, WhatAnotherThreadMakesIsWaitedFor) {
  Texts texts(4000);
  std::atomic<int> made = 0;
  std::latch all(4);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      all.arrive_and_wait();
      const auto text = texts.Get(
          7,
          [&] {
            ++made;
            return absl::StatusOr<Texts::Pointer>(std::make_shared<std::string>("one"));
          },
          Size);
      EXPECT_EQ(**text, "one");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 1);
}

TEST(SharedMemoryTest, AnExceptionLetsOthersTry) {
  Texts texts(4000);
  const auto raise = []() -> absl::StatusOr<Texts::Pointer> { throw std::bad_alloc(); };
  const auto succeed = [] {
    return absl::StatusOr<Texts::Pointer>(std::make_shared<std::string>());
  };

  EXPECT_THROW((void)texts.Get(1, raise, Size), std::bad_alloc);
  EXPECT_TRUE(texts.Get(1, succeed, Size).ok());
}

}  // namespace
}  // namespace trainer
