// How long a run waits for something that is away, and who is told of it.
#ifndef DUET_BULK_PATIENCE_H_
#define DUET_BULK_PATIENCE_H_

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/time/time.h>

#include <functional>

namespace bulk {

struct Patience {
  absl::Duration lasts = absl::ZeroDuration();
  // May be empty. Told why there is a wait when it begins, and how long it was once it is over.
  std::function<void(const absl::Status&)> on_wait = nullptr;
  std::function<void(absl::Duration)> on_end = nullptr;
};

// Repeats `attempt` after ever longer pauses, on this thread, while it fails for a reason that may
// pass and there is patience left. The last attempt's status.
absl::Status Patiently(const Patience& patience, absl::FunctionRef<absl::Status()> attempt);

}  // namespace bulk

#endif  // DUET_BULK_PATIENCE_H_
