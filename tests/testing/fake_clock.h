// A clock that stands still until the test moves it.
#ifndef DUET_TESTS_TESTING_FAKE_CLOCK_H_
#define DUET_TESTS_TESTING_FAKE_CLOCK_H_

#include "serving/clock.h"

namespace duet_testing {

// Thread-safe. Starts at 2026-01-01 00:00 UTC.
class FakeClock final : public serving::Clock {
 public:
  FakeClock();

  absl::Time Now() override;
  // Notices Advance within milliseconds of real time.
  bool WaitUntil(std::unique_lock<std::mutex>& lock, std::condition_variable& changed,
                 absl::Time deadline, const std::function<bool()>& done) override;

  void Advance(absl::Duration by);

 private:
  std::mutex mutex_;
  absl::Time now_;
};

}  // namespace duet_testing

#endif  // DUET_TESTS_TESTING_FAKE_CLOCK_H_
