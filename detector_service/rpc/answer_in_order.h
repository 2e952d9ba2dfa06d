// Answers a stream of requests, several at a time, in the order in which they came.
#ifndef DUET_DETECTOR_SERVICE_RPC_ANSWER_IN_ORDER_H_
#define DUET_DETECTOR_SERVICE_RPC_ANSWER_IN_ORDER_H_

#include <absl/status/status.h>

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "serving/exceptions.h"

namespace detector {

// `read(Request*)` reads the next request, or returns false at the end of the stream.
// `answer(const Request&, Response*)` ends the stream with a status that is not OK: nothing is
// written after it. `write(const Response&)` returns false if the client reads no further answers.
// AnswerInOrder returns when none of them runs any more: OK, or the status that ended the stream.
//
// `width` threads, the caller's among them, each read a request, answer it and write the answer. So
// at most `width` requests exist at a time, and a client that waits for each answer before it sends
// the next request gets it. One thread at a time is in `read`, and one in `write`.
template <typename Request, typename Response, typename Read, typename Answer, typename Write>
absl::Status AnswerInOrder(int width, Read read, Answer answer, Write write) {
  std::mutex reading;
  std::uint64_t read_count = 0;  // guarded by `reading`
  std::mutex writing;
  std::condition_variable turn;
  std::uint64_t written_count = 0;  // guarded by `writing`, as the next two are
  bool ended = false;
  absl::Status ending;

  const auto answer_all = [&] {
    while (true) {
      Request request;
      std::uint64_t place = 0;
      {
        const std::lock_guard lock(reading);
        if (!read(&request)) return;
        place = read_count++;
      }
      Response response;
      absl::Status status = answer(request, &response);
      std::unique_lock lock(writing);
      turn.wait(lock, [&] { return ended || written_count == place; });
      if (!ended && !(status.ok() && write(response))) {
        ended = true;
        ending = std::move(status);
      }
      ++written_count;
      turn.notify_all();
      if (ended) return;
    }
  };
  // An exception that left a thread would end the process.
  const auto take_turns = [&] {
    absl::Status thrown = serving::CatchAll("answer a stream", answer_all);
    if (thrown.ok()) return;
    const std::lock_guard lock(writing);
    if (!ended) ending = std::move(thrown);
    ended = true;
    turn.notify_all();
  };
  std::vector<std::thread> others;
  others.reserve(static_cast<std::size_t>(width));
  // Without another thread this one does the work.
  (void)serving::CatchAll("start a thread", [&] {
    for (int i = 1; i < width; ++i) others.emplace_back(take_turns);
  });
  take_turns();
  for (std::thread& other : others) other.join();
  return ending;
}

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RPC_ANSWER_IN_ORDER_H_
