// Time as a dependency: whatever waits or compares with "now" takes a Clock&, so that its tests
// move time by hand (tests/testing/fake_clock.h) instead of sleeping.
#ifndef DUET_SERVING_CLOCK_H_
#define DUET_SERVING_CLOCK_H_

#include <absl/time/time.h>

#include <condition_variable>
#include <functional>
#include <mutex>

namespace serving {

class Clock {
 public:
  virtual ~Clock() = default;

  virtual absl::Time Now() = 0;

  // Waits on `changed` until `done()` holds or the time is `deadline`, whichever is first; returns
  // done(), which is called with `lock` held. Standard mutexes, not Abseil's: Debian's Abseil is
  // not instrumented for TSan.
  virtual bool WaitUntil(std::unique_lock<std::mutex>& lock, std::condition_variable& changed,
                         absl::Time deadline, const std::function<bool()>& done) = 0;

  // The machine's clock. Lives forever.
  static Clock& Real();
};

}  // namespace serving

#endif  // DUET_SERVING_CLOCK_H_
