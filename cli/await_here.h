// Coroutines for a program of one thread.
#ifndef DUET_CLI_AWAIT_HERE_H_
#define DUET_CLI_AWAIT_HERE_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>
#include <utility>

namespace cli {

// Runs the io_context in this thread until the coroutine has ended; its result. An exception of it
// is thrown on.
template <typename T>
T AwaitHere(boost::asio::io_context& io, boost::asio::awaitable<T> work) {
  std::optional<T> result;
  std::exception_ptr thrown;
  boost::asio::co_spawn(io, std::move(work), [&](std::exception_ptr error, T value) {
    thrown = error;
    result = std::move(value);
  });
  while (!result) {
    if (io.run_one() == 0) io.restart();
  }
  if (thrown) std::rethrow_exception(thrown);
  return *std::move(result);
}

}  // namespace cli

#endif  // DUET_CLI_AWAIT_HERE_H_
