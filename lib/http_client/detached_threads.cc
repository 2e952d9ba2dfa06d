#include "http_client/detached_threads.h"

#include <system_error>
#include <thread>
#include <utility>

namespace http_client {

bool DetachedThreads::Run(absl::AnyInvocable<void() &&> work) {
  if (running_->fetch_add(1) >= max_) {
    --*running_;
    return false;
  }
  try {
    std::thread([running = running_, work = std::move(work)]() mutable {
      std::move(work)();
      work = nullptr;  // what it owns goes before its place is free
      --*running;
    }).detach();
  } catch (const std::system_error&) {  // no more threads
    --*running_;
    return false;
  }
  return true;
}

}  // namespace http_client
