#include "serving/clock.h"

#include <absl/time/clock.h>

#include <chrono>

namespace serving {
namespace {

class RealClock final : public Clock {
 public:
  absl::Time Now() override { return absl::Now(); }

  bool WaitUntil(std::unique_lock<std::mutex>& lock, std::condition_variable& changed,
                 absl::Time deadline, const std::function<bool()>& done) override {
    if (deadline == absl::InfiniteFuture()) {
      changed.wait(lock, done);
      return true;
    }
    return changed.wait_for(lock, absl::ToChronoNanoseconds(deadline - Now()), done);
  }
};

}  // namespace

Clock& Clock::Real() {
  static RealClock* const clock = new RealClock;  // never destroyed: threads may outlive main
  return *clock;
}

}  // namespace serving
