#include "serving/work_queue.h"

#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/testing/fake_clock.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/status_matchers.h"

namespace serving {
namespace {

using duet_testing::FakeClock;
using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

// Occupies one thread of a queue until it is let go. The work may outlive this.
class Blocker {
 public:
  explicit Blocker(WorkQueue& queue, Priority priority = Priority::kInteractive) {
    EXPECT_THAT(queue.Submit({.priority = priority,
                              .run =
                                  [gate = gate_](absl::Duration) {
                                    gate->running.set_value();
                                    gate->let_go.get_future().wait();
                                  }}),
                IsOk());
    gate_->running.get_future().wait();
  }
  void LetGo() { gate_->let_go.set_value(); }

 private:
  struct Gate {
    std::promise<void> running;
    std::promise<void> let_go;
  };
  std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
};

// Notes which work ran and which was dropped, in order.
class Journal {
 public:
  Work Entry(Priority priority, const std::string& name) {
    return {.priority = priority,
            .run = [this, name](absl::Duration) { Note(name); },
            .dropped =
                [this, name](absl::Status status) {
                  Note(name + " " + absl::StatusCodeToString(status.code()));
                }};
  }
  void Note(const std::string& what) {
    std::lock_guard lock(mutex_);
    entries_.push_back(what);
  }
  std::vector<std::string> entries() {
    std::lock_guard lock(mutex_);
    return entries_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> entries_;
};

class WorkQueueTest : public testing::Test {
 protected:
  FakeClock clock_;
  Metrics metrics_;
  Journal journal_;
};

TEST(WorkQueueThrowingTest, WhatAJobThrowsIsItsStatusAndTheQueueGoesOn) {
  const duet_testing::LogCapture log;
  WorkQueue queue({}, Clock::Real(), nullptr);
  const auto run = [&](const std::function<void()>& job) {
    return queue.Run({.run = [&](absl::Duration) { job(); }});
  };

  EXPECT_THAT(
      run([] { throw std::runtime_error("could not execute a primitive\nat x.cc:1"); }),
      StatusIs(absl::StatusCode::kInternal, "the request's work: could not execute a primitive"));
  EXPECT_THAT(run([] { throw std::bad_alloc(); }), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(run([] { throw 7; }), StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(run([] {}), IsOk());
  EXPECT_THAT(log.lines("work.threw"), testing::SizeIs(3));
}

TEST(WorkQueueThrowingTest, SubmittedAndNestedJobsEndWhereTheyThrow) {
  WorkQueue queue({}, Clock::Real(), nullptr);
  std::promise<absl::Status> dropped;
  int ran = 0;

  const absl::Status outer = queue.Run(
      {.priority = Priority::kOpenedTask, .run = [&](absl::Duration) {
         ASSERT_THAT(queue.Submit({.priority = Priority::kInteractive,
                                   .run = [](absl::Duration) { throw std::bad_alloc(); },
                                   .dropped = [&](absl::Status why) { dropped.set_value(why); }}),
                     IsOk());
         ran = queue.RunWaitingAbove(Priority::kOpenedTask);
       }});

  EXPECT_THAT(outer, IsOk());
  EXPECT_EQ(ran, 1);
  EXPECT_THAT(dropped.get_future().get(), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(WorkQueueTest, UrgentRanksGoFirstAndEqualOnesInOrderOfArrival) {
  WorkQueue queue({}, clock_, &metrics_);
  Blocker blocker(queue);
  ASSERT_THAT(queue.Submit(journal_.Entry(Priority::kBatch, "prefetch")), IsOk());
  ASSERT_THAT(queue.Submit(journal_.Entry(Priority::kOpenedTask, "embed a")), IsOk());
  ASSERT_THAT(queue.Submit(journal_.Entry(Priority::kInteractive, "segment")), IsOk());
  ASSERT_THAT(queue.Submit(journal_.Entry(Priority::kOpenedTask, "embed b")), IsOk());

  blocker.LetGo();
  ASSERT_TRUE(queue.Drain(absl::InfiniteFuture()));

  EXPECT_THAT(journal_.entries(), ElementsAre("segment", "embed a", "embed b", "prefetch"));
}

TEST_F(WorkQueueTest, AFullQueueRefusesAtOnce) {
  WorkQueue queue({.name = "detect", .capacity = 1}, clock_, &metrics_);
  Blocker blocker(queue);
  ASSERT_THAT(queue.Submit(journal_.Entry(Priority::kInteractive, "first")), IsOk());

  EXPECT_THAT(
      queue.Submit(journal_.Entry(Priority::kInteractive, "second")),
      StatusIs(absl::StatusCode::kResourceExhausted, "the detect queue is full (1 waiting)"));

  blocker.LetGo();
  ASSERT_TRUE(queue.Drain(absl::InfiniteFuture()));
  EXPECT_THAT(journal_.entries(), ElementsAre("first"));
  EXPECT_EQ(metrics_.Get(kQueueUnserved, {"detect", "full"}).Value(), 1);
}

TEST_F(WorkQueueTest, AnUrgentNewcomerDisplacesTheYoungestOfTheWorstRank) {
  WorkQueue queue({.capacity = 2}, clock_, &metrics_);
  Blocker blocker(queue);
  ASSERT_THAT(queue.Submit(journal_.Entry(Priority::kPrefetch, "old prefetch")), IsOk());
  ASSERT_THAT(queue.Submit(journal_.Entry(Priority::kPrefetch, "young prefetch")), IsOk());

  EXPECT_THAT(queue.Submit(journal_.Entry(Priority::kInteractive, "click")), IsOk());

  blocker.LetGo();
  ASSERT_TRUE(queue.Drain(absl::InfiniteFuture()));
  EXPECT_THAT(journal_.entries(),
              ElementsAre("young prefetch RESOURCE_EXHAUSTED", "click", "old prefetch"));
}

TEST_F(WorkQueueTest, ExpiredWorkLeavesUnserved) {
  WorkQueue queue({}, clock_, &metrics_);
  Blocker blocker(queue);
  Work work = journal_.Entry(Priority::kInteractive, "late");
  work.deadline = clock_.Now() + absl::Seconds(1);
  ASSERT_THAT(queue.Submit(std::move(work)), IsOk());
  ASSERT_THAT(queue.Submit(journal_.Entry(Priority::kInteractive, "patient")), IsOk());

  clock_.Advance(absl::Seconds(1));
  blocker.LetGo();
  ASSERT_TRUE(queue.Drain(absl::InfiniteFuture()));

  EXPECT_THAT(journal_.entries(), ElementsAre("late DEADLINE_EXCEEDED", "patient"));
}

TEST_F(WorkQueueTest, ExpiredWorkMakesRoomInAFullQueue) {
  WorkQueue queue({.capacity = 1}, clock_, &metrics_);
  Blocker blocker(queue);
  Work work = journal_.Entry(Priority::kInteractive, "late");
  work.deadline = clock_.Now() + absl::Seconds(1);
  ASSERT_THAT(queue.Submit(std::move(work)), IsOk());
  clock_.Advance(absl::Seconds(1));

  EXPECT_THAT(queue.Submit(journal_.Entry(Priority::kInteractive, "next")), IsOk());

  blocker.LetGo();
  ASSERT_TRUE(queue.Drain(absl::InfiniteFuture()));
  EXPECT_THAT(journal_.entries(), ElementsAre("late DEADLINE_EXCEEDED", "next"));
}

TEST_F(WorkQueueTest, WorkThatIsLateOrCancelledOnArrivalIsRefused) {
  WorkQueue queue({}, clock_, &metrics_);
  Work late = journal_.Entry(Priority::kInteractive, "late");
  late.deadline = clock_.Now();
  Work cancelled = journal_.Entry(Priority::kInteractive, "cancelled");
  cancelled.is_cancelled = [] { return true; };

  EXPECT_THAT(queue.Submit(std::move(late)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(queue.Submit(std::move(cancelled)), StatusIs(absl::StatusCode::kCancelled));
  ASSERT_TRUE(queue.Drain(absl::InfiniteFuture()));
  EXPECT_THAT(journal_.entries(), ElementsAre());
}

TEST_F(WorkQueueTest, RunReportsTheTimeInTheQueue) {
  WorkQueue queue({}, clock_, &metrics_);
  Blocker blocker(queue);
  absl::Duration queued;
  std::thread caller([&] {
    EXPECT_THAT(queue.Run({.run = [&](absl::Duration waited) { queued = waited; }}), IsOk());
  });
  while (queue.waiting() == 0) std::this_thread::yield();

  clock_.Advance(absl::Milliseconds(250));
  blocker.LetGo();
  caller.join();

  EXPECT_EQ(queued, absl::Milliseconds(250));
}

TEST_F(WorkQueueTest, RunReturnsAtItsDeadlineThoughEveryThreadIsBusy) {
  WorkQueue queue({}, clock_, &metrics_);
  Blocker blocker(queue);
  auto caller = std::async(std::launch::async, [&] {
    return queue.Run({.deadline = clock_.Now() + absl::Seconds(1),
                      .run = [&](absl::Duration) { journal_.Note("ran"); }});
  });
  while (queue.waiting() == 0) std::this_thread::yield();

  clock_.Advance(absl::Seconds(1));

  EXPECT_THAT(caller.get(), StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("queue")));
  EXPECT_EQ(queue.waiting(), 0);
  blocker.LetGo();
  ASSERT_TRUE(queue.Drain(absl::InfiniteFuture()));
  EXPECT_THAT(journal_.entries(), ElementsAre());
}

TEST_F(WorkQueueTest, RunReturnsWhenItsCallerHangsUp) {
  WorkQueue queue({}, Clock::Real(), &metrics_);
  Blocker blocker(queue);
  std::atomic<bool> hung_up = false;
  auto caller = std::async(std::launch::async, [&] {
    return queue.Run({.is_cancelled = [&] { return hung_up.load(); },
                      .run = [&](absl::Duration) { journal_.Note("ran"); }});
  });
  while (queue.waiting() == 0) std::this_thread::yield();

  hung_up = true;

  EXPECT_THAT(caller.get(), StatusIs(absl::StatusCode::kCancelled));
  blocker.LetGo();
}

TEST_F(WorkQueueTest, RunWaitsForWorkThatHasBegunEvenPastItsDeadline) {
  WorkQueue queue({}, clock_, &metrics_);
  std::promise<void> begun;
  std::promise<void> go_on;
  auto caller = std::async(std::launch::async, [&] {
    return queue.Run({.deadline = clock_.Now() + absl::Seconds(1), .run = [&](absl::Duration) {
                        begun.set_value();
                        go_on.get_future().wait();
                        journal_.Note("ran to its end");
                      }});
  });
  begun.get_future().wait();

  clock_.Advance(absl::Hours(1));
  go_on.set_value();

  EXPECT_THAT(caller.get(), IsOk());
  EXPECT_THAT(journal_.entries(), ElementsAre("ran to its end"));
}

TEST_F(WorkQueueTest, ARunningJobYieldsToMoreUrgentWorkOnly) {
  WorkQueue queue({}, clock_, &metrics_);
  std::promise<void> block_begun;
  std::promise<void> arrivals_done;
  constexpr Priority kEmbed = Priority::kBatch;
  ASSERT_THAT(queue.Submit({.priority = kEmbed,
                            .run =
                                [&](absl::Duration) {
                                  EXPECT_EQ(queue.RunWaitingAbove(kEmbed), 0);
                                  journal_.Note("block 1");
                                  block_begun.set_value();
                                  arrivals_done.get_future().wait();
                                  EXPECT_EQ(queue.RunWaitingAbove(kEmbed), 2);
                                  journal_.Note("block 2");
                                }}),
              IsOk());
  block_begun.get_future().wait();
  ASSERT_THAT(queue.Submit(journal_.Entry(Priority::kBatch, "another embed")), IsOk());
  ASSERT_THAT(queue.Submit(journal_.Entry(Priority::kOpenedTask, "opened task")), IsOk());
  ASSERT_THAT(queue.Submit(journal_.Entry(Priority::kInteractive, "click")), IsOk());

  arrivals_done.set_value();
  ASSERT_TRUE(queue.Drain(absl::InfiniteFuture()));

  EXPECT_THAT(journal_.entries(),
              ElementsAre("block 1", "click", "opened task", "block 2", "another embed"));
}

TEST_F(WorkQueueTest, DrainRefusesNewWorkAndRunsWhatWasAccepted) {
  WorkQueue queue({}, clock_, &metrics_);
  Blocker blocker(queue);
  ASSERT_THAT(queue.Submit(journal_.Entry(Priority::kInteractive, "accepted")), IsOk());
  auto drain = std::async(std::launch::async, [&] { return queue.Drain(absl::InfiniteFuture()); });
  // Until the other thread drains; the queue may fill up before that.
  while (!absl::IsUnavailable(queue.Submit(journal_.Entry(Priority::kInteractive, "probe")))) {
    std::this_thread::yield();
  }

  EXPECT_THAT(queue.Submit(journal_.Entry(Priority::kInteractive, "too late")),
              StatusIs(absl::StatusCode::kUnavailable));
  blocker.LetGo();

  EXPECT_TRUE(drain.get());
  EXPECT_EQ(journal_.entries().front(), "accepted");
}

TEST_F(WorkQueueTest, DrainDropsWhatStillWaitsAtItsDeadline) {
  WorkQueue queue({}, clock_, &metrics_);
  Blocker blocker(queue);
  ASSERT_THAT(queue.Submit(journal_.Entry(Priority::kInteractive, "waiting")), IsOk());

  EXPECT_FALSE(queue.Drain(clock_.Now()));

  EXPECT_THAT(journal_.entries(), ElementsAre("waiting UNAVAILABLE"));
  blocker.LetGo();
}

TEST_F(WorkQueueTest, EveryAcceptedWorkRunsOrIsDroppedExactlyOnce) {
  constexpr int kProducers = 4;
  constexpr int kEach = 500;
  std::atomic<int> accepted = 0;
  std::atomic<int> finished = 0;
  {
    WorkQueue queue({.capacity = 8, .threads = 3}, Clock::Real(), &metrics_);
    std::vector<std::thread> producers;
    for (int p = 0; p < kProducers; ++p) {
      producers.emplace_back([&, p] {
        for (int i = 0; i < kEach; ++i) {
          const bool ok =
              queue
                  .Submit({.priority = static_cast<Priority>((p + i) % 4),
                           .is_cancelled = [i] { return i % 7 == 6; },
                           .run =
                               [&, priority = static_cast<Priority>((p + i) % 4)](absl::Duration) {
                                 queue.RunWaitingAbove(priority);
                                 ++finished;
                               },
                           .dropped = [&](absl::Status) { ++finished; }})
                  .ok();
          if (ok) ++accepted;
        }
      });
    }
    for (std::thread& producer : producers) producer.join();
  }
  EXPECT_GT(accepted, 0);
  EXPECT_EQ(finished, accepted);
}

}  // namespace
}  // namespace serving
