// Coroutines of the libraries, awaited by a thread that works on a job.
#ifndef DUET_TRAINER_SERVICE_WORK_AWAIT_H_
#define DUET_TRAINER_SERVICE_WORK_AWAIT_H_

#include <absl/functional/function_ref.h>
#include <absl/status/statusor.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>

namespace trainer_service {

// Runs `work` to its end on this thread. Once `should_end`, which is asked ten times a second, is
// true, it is cancelled: Cancelled.
template <typename T>
absl::StatusOr<T> Await(boost::asio::awaitable<absl::StatusOr<T>> work,
                        absl::FunctionRef<bool()> should_end) {
  boost::asio::io_context io(1);
  boost::asio::cancellation_signal cancel;
  std::optional<absl::StatusOr<T>> result;
  boost::asio::co_spawn(io, std::move(work),
                        boost::asio::bind_cancellation_slot(
                            cancel.slot(), [&](std::exception_ptr error, absl::StatusOr<T> value) {
                              // Only being cancelled throws.
                              result = error ? absl::StatusOr<T>(absl::CancelledError("cancelled"))
                                             : std::move(value);
                            }));
  bool ended = false;
  while (!result) {
    io.restart();
    io.run_for(std::chrono::milliseconds(100));
    if (result || ended || !should_end()) continue;
    ended = true;
    cancel.emit(boost::asio::cancellation_type::terminal);
  }
  return *std::move(result);
}

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_WORK_AWAIT_H_
