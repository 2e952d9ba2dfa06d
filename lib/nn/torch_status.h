// The one place where Torch's exceptions end. Torch throws c10::Error for anything that goes wrong
// inside an operator; above this layer errors are absl::Status. Wrap the outermost call into Torch,
// not each one:
//
//   return nn::CatchTorch("detect", [&] { return model.Forward(input); });
#ifndef DUET_NN_TORCH_STATUS_H_
#define DUET_NN_TORCH_STATUS_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include <exception>
#include <type_traits>
#include <utility>

namespace nn {

// The Status of the exception being handled: ResourceExhausted if memory ran out, else Internal
// with the first line of its text (no stack trace). `what` says what was attempted. REQUIRES:
// called inside a catch block.
absl::Status StatusOfCurrentException(absl::string_view what);

namespace internal {
template <typename T>
struct CatchResult {
  using type = absl::StatusOr<T>;
};
template <>
struct CatchResult<void> {
  using type = absl::Status;
};
template <>
struct CatchResult<absl::Status> {
  using type = absl::Status;
};
template <typename T>
struct CatchResult<absl::StatusOr<T>> {
  using type = absl::StatusOr<T>;
};
}  // namespace internal

// Runs `call` and returns its result; what it throws becomes a Status. A `call` that returns void
// gives a Status, one that returns T a StatusOr<T>; Status and StatusOr pass through.
template <typename Call>
typename internal::CatchResult<std::invoke_result_t<Call>>::type CatchTorch(absl::string_view what,
                                                                            Call&& call) {
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<Call>>) {
      std::forward<Call>(call)();
      return absl::OkStatus();
    } else {
      return std::forward<Call>(call)();
    }
  } catch (...) {
    return StatusOfCurrentException(what);
  }
}

}  // namespace nn

#endif  // DUET_NN_TORCH_STATUS_H_
