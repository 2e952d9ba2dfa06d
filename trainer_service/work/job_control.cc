#include "trainer_service/work/job_control.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include "text/str_cat.h"

namespace trainer_service {
namespace {

constexpr absl::Duration kFirstPause = absl::Seconds(1);
constexpr absl::Duration kLongestPause = absl::Seconds(30);

bool MayPass(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kResourceExhausted:
      return true;
    default:
      return false;
  }
}

}  // namespace

absl::Status RepeatWhilePassing(absl::Duration patience, JobControl& control,
                                absl::FunctionRef<absl::Status()> attempt) {
  // Since when it fails without getting further. Not the wall clock, which may be set meanwhile.
  std::optional<std::chrono::steady_clock::time_point> failing;
  std::uint32_t step = 0;
  const std::string message = control.job().message;
  for (absl::Duration pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
    if (absl::Status go_on = GoOn(control); !go_on.ok()) return go_on;
    const absl::Status status = attempt();
    if (!status.ok()) {
      // What is done is done, and told, though the job was cancelled meanwhile.
      if (absl::Status go_on = GoOn(control); !go_on.ok()) return go_on;
    }
    const auto now = std::chrono::steady_clock::now();
    if (!failing || control.job().progress.step != step) {
      failing = now;
      step = control.job().progress.step;
      pause = kFirstPause;
    }
    const absl::Duration left = patience - absl::FromChrono(now - *failing);
    if (!MayPass(status) || left <= absl::ZeroDuration()) {
      if (status.ok() && control.job().message != message) control.Say(message);
      return status;
    }
    control.Say(text::StrCat(status.message(), "; it is tried again for ",
                             absl::ToInt64Seconds(left) + 1, " s"));
    control.Pause(std::min(pause, left));
  }
}

}  // namespace trainer_service
