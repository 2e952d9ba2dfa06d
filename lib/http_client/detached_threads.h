// DetachedThreads runs calls that may not come back for a long time, such as the look-up of a name
// or a read from a network file system, on threads that nobody waits for.
#ifndef DUET_HTTP_CLIENT_DETACHED_THREADS_H_
#define DUET_HTTP_CLIENT_DETACHED_THREADS_H_

#include <absl/functional/any_invocable.h>

#include <atomic>
#include <memory>

namespace http_client {

class DetachedThreads {
 public:
  // At most `max` calls are at work at once, those that hang included.
  explicit DetachedThreads(int max) : max_(max) {}

  // Any thread. False, and `work` is dropped, if `max` calls are at work or the system has no
  // thread to give. `work` owns all that it uses: it may outlive this object.
  bool Run(absl::AnyInvocable<void() &&> work);

 private:
  const int max_;
  const std::shared_ptr<std::atomic<int>> running_ = std::make_shared<std::atomic<int>>(0);
};

}  // namespace http_client

#endif  // DUET_HTTP_CLIENT_DETACHED_THREADS_H_
