#include "bulk/patience.h"

#include <absl/time/clock.h>

#include <algorithm>

#include "prelabel/predictor.h"

namespace bulk {
namespace {

constexpr absl::Duration kFirstPause = absl::Seconds(1);
constexpr absl::Duration kLongestPause = absl::Seconds(30);

}  // namespace

absl::Status Patiently(const Patience& patience, absl::FunctionRef<absl::Status()> attempt) {
  const absl::Time begun = absl::Now();
  for (absl::Duration pause = kFirstPause;; pause = std::min(2 * pause, kLongestPause)) {
    const bool waited = pause > kFirstPause;
    const absl::Status status = attempt();
    const absl::Duration lasted = absl::Now() - begun;
    if (status.ok() && waited && patience.on_end) patience.on_end(lasted);
    if (status.ok() || !prelabel::IsRetryable(status) || lasted + pause > patience.lasts) {
      return status;
    }
    if (!waited && patience.on_wait) patience.on_wait(status);
    absl::SleepFor(pause);
  }
}

}  // namespace bulk
