#include "serving/process.h"

#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <thread>

#include "tests/testing/fake_clock.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/status_matchers.h"

namespace serving {
namespace {

using duet_testing::FakeClock;
using duet_testing::IsOk;
using duet_testing::LogCapture;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

// Has something in flight until `finish` or a drain whose deadline is now.
class FakeListener final : public Listener {
 public:
  explicit FakeListener(Clock& clock) : clock_(clock) {}

  void SetReady(bool ready) override { is_ready = ready; }
  void Drain(absl::Time deadline) override {
    if (deadline <= clock_.Now()) {
      finish.set_value();
      return;
    }
    first_deadline = deadline;
    draining = true;
    finished.wait();
  }
  LogFields Describe() const override { return LogFields().Int("port", 1234); }

  Clock& clock_;
  std::atomic<bool> is_ready = false;
  std::atomic<bool> draining = false;
  absl::Time first_deadline;
  std::promise<void> finish;
  std::shared_future<void> finished = finish.get_future().share();
};

void WaitFor(const std::function<bool()>& condition) {
  while (!condition()) std::this_thread::yield();
}

class ProcessTest : public testing::Test {
 protected:
  LogCapture log_;
  FakeClock clock_;
  FakeListener listener_{clock_};
  Process process_{{.drain_grace_ms = 5000, .drain_timeout_s = 30}, clock_};
};

TEST_F(ProcessTest, GoesThroughItsStatesInOrder) {
  EXPECT_EQ(process_.state(), ProcessState::kStarting);
  EXPECT_EQ(process_.metrics().Get(kReady).Value(), 0);

  auto served = std::async(std::launch::async, [&] { return process_.Serve(listener_); });
  WaitFor([&] { return process_.state() == ProcessState::kServing; });
  EXPECT_TRUE(listener_.is_ready);
  EXPECT_EQ(process_.metrics().Get(kReady).Value(), 1);
  ASSERT_THAT(log_.lines("serving"), ElementsAre(HasSubstr("\"port\":1234")));

  // Not ready at once, but taking requests for the grace.
  process_.Stop();
  WaitFor([&] { return !listener_.is_ready; });
  EXPECT_EQ(process_.state(), ProcessState::kDraining);
  clock_.Advance(absl::Milliseconds(4999));
  EXPECT_FALSE(listener_.draining);

  clock_.Advance(absl::Milliseconds(1));
  WaitFor([&] { return listener_.draining.load(); });
  EXPECT_EQ(listener_.first_deadline, clock_.Now() + absl::Seconds(30));
  EXPECT_EQ(process_.state(), ProcessState::kDraining);

  listener_.finish.set_value();
  EXPECT_THAT(served.get(), IsOk());
  EXPECT_EQ(process_.state(), ProcessState::kStopped);
}

TEST_F(ProcessTest, ASecondStopEndsTheGraceAndTheWaiting) {
  auto served = std::async(std::launch::async, [&] { return process_.Serve(listener_); });
  WaitFor([&] { return process_.state() == ProcessState::kServing; });
  process_.Stop();
  WaitFor([&] { return process_.state() == ProcessState::kDraining; });
  EXPECT_FALSE(listener_.draining);

  process_.Stop();

  EXPECT_THAT(served.get(), IsOk());  // nothing moved the clock, nothing finished by itself
}

TEST_F(ProcessTest, AStopBeforeServingIsHeeded) {
  process_.Stop();
  EXPECT_THAT(process_.Serve(listener_), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_FALSE(listener_.is_ready);
  EXPECT_EQ(process_.state(), ProcessState::kStopped);
}

}  // namespace
}  // namespace serving
