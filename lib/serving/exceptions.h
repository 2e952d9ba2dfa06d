// Turns exceptions into statuses in threads, jobs and callbacks, above which nobody would catch
// them. Libraries throw (the allocator, the standard library, OpenCV, protobuf), and a process must
// not end for one request. What LibTorch and oneDNN throw is caught earlier, by nn/torch_status.h.
#ifndef DUET_SERVING_EXCEPTIONS_H_
#define DUET_SERVING_EXCEPTIONS_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <string_view>
#include <type_traits>
#include <utility>

namespace serving {

// The Status of the exception being handled: ResourceExhausted if memory ran out, else Internal
// with the first line of its text. `what` says what was attempted. REQUIRES: called inside a catch
// block.
absl::Status StatusOfException(std::string_view what);

// Returns what `call` returns, a Status or a StatusOr; what it throws becomes one. A `call` that
// returns void gives a Status.
template <typename Call>
auto CatchAll(std::string_view what, Call&& call) {
  using Result = std::invoke_result_t<Call>;
  if constexpr (std::is_void_v<Result>) {
    try {
      std::forward<Call>(call)();
      return absl::OkStatus();
    } catch (...) {
      return StatusOfException(what);
    }
  } else {
    try {
      return std::forward<Call>(call)();
    } catch (...) {
      return Result(StatusOfException(what));
    }
  }
}

}  // namespace serving

#endif  // DUET_SERVING_EXCEPTIONS_H_
