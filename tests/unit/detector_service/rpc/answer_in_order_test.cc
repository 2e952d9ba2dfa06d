#include "detector_service/rpc/answer_in_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <future>
#include <new>
#include <thread>
#include <vector>

#include "tests/testing/status_matchers.h"

namespace detector {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

// Requests 1, 2, … `count`; answers are the requests, negative.
class AnswerInOrderTest : public testing::Test {
 protected:
  absl::Status Run(int width, int count, const std::function<absl::Status(int)>& answer) {
    return AnswerInOrder<int, int>(
        width,
        [&](int* request) {
          if (read_ == count) return false;
          *request = ++read_;
          return true;
        },
        [&](int request, int* response) {
          *response = -request;
          return answer(request);
        },
        [&](int response) {
          written_.push_back(response);
          return true;
        });
  }

  int read_ = 0;
  std::vector<int> written_;
};

TEST_F(AnswerInOrderTest, WhatAnAnswerThrowsEndsTheStreamNotTheProcess) {
  for (const int width : {1, 2, 4}) {
    read_ = 0;
    EXPECT_THAT(Run(width, 100,
                    [](int request) {
                      if (request == 5) throw std::bad_alloc();
                      return absl::OkStatus();
                    }),
                StatusIs(absl::StatusCode::kResourceExhausted));
  }
}

TEST_F(AnswerInOrderTest, ALaterAnswerThatIsReadyEarlierWaits) {
  std::promise<void> second_done;

  const absl::Status status = Run(2, 3, [&](int request) {
    if (request == 1) second_done.get_future().wait();  // forever, if they came one by one
    if (request == 2) second_done.set_value();
    return absl::OkStatus();
  });

  EXPECT_THAT(status, IsOk());
  EXPECT_THAT(written_, ElementsAre(-1, -2, -3));
}

TEST_F(AnswerInOrderTest, NoMoreThanWidthAreInWork) {
  std::atomic<int> in_work = 0;
  std::atomic<int> most = 0;

  const absl::Status status = Run(3, 200, [&](int) {
    const int now = ++in_work;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    std::this_thread::yield();
    --in_work;
    return absl::OkStatus();
  });

  EXPECT_THAT(status, IsOk());
  EXPECT_LE(most, 3);
  EXPECT_EQ(written_.size(), 200U);
  EXPECT_TRUE(std::is_sorted(written_.rbegin(), written_.rend()));
}

TEST_F(AnswerInOrderTest, AnAnswerIsWrittenBeforeTheNextRequestCame) {
  std::promise<void> answered;
  int reads = 0;

  const absl::Status status = AnswerInOrder<int, int>(
      2,
      [&](int* request) {
        // A caller that sends its second request only when it has the first one's answer.
        if (++reads == 2) answered.get_future().wait();
        *request = reads;
        return reads <= 2;
      },
      [](int, int*) { return absl::OkStatus(); },
      [&](int) {
        if (written_.empty()) answered.set_value();
        written_.push_back(0);
        return true;
      });

  EXPECT_THAT(status, IsOk());
  EXPECT_EQ(written_.size(), 2U);
}

TEST_F(AnswerInOrderTest, AStatusEndsTheStreamAfterTheAnswersBeforeIt) {
  const absl::Status status = Run(2, 1000, [&](int request) {
    return request == 5 ? absl::CancelledError("gone") : absl::OkStatus();
  });

  EXPECT_THAT(status, StatusIs(absl::StatusCode::kCancelled, HasSubstr("gone")));
  EXPECT_THAT(written_, ElementsAre(-1, -2, -3, -4));
  EXPECT_LE(read_, 7);  // the other thread may have had one in work and one just read
}

}  // namespace
}  // namespace detector
