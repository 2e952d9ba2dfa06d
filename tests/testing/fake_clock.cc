#include "tests/testing/fake_clock.h"

#include <chrono>

namespace duet_testing {

FakeClock::FakeClock()
    : now_(absl::FromCivil(absl::CivilSecond(2026, 1, 1), absl::UTCTimeZone())) {}

absl::Time FakeClock::Now() {
  std::lock_guard lock(mutex_);
  return now_;
}

bool FakeClock::WaitUntil(std::unique_lock<std::mutex>& lock, std::condition_variable& changed,
                          absl::Time deadline, const std::function<bool()>& done) {
  // Advance doesn't know who waits on what, so this looks at the time now and then.
  while (!done()) {
    if (Now() >= deadline) return false;
    changed.wait_for(lock, std::chrono::milliseconds(1));
  }
  return true;
}

void FakeClock::Advance(absl::Duration by) {
  std::lock_guard lock(mutex_);
  now_ += by;
}

}  // namespace duet_testing
