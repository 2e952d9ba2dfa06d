// What the calls of a service have met lately: how many are under way, how long the last ones
// waited in its queue, and how often an image was encoded already. It is what this process sees:
// others may call the same replicas.
#ifndef DUET_BACKENDS_SERVICE_CALLS_H_
#define DUET_BACKENDS_SERVICE_CALLS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "backends/client.h"

namespace backends {

// Thread-safe.
class ServiceCalls {
 public:
  // Calls whose waiting times are remembered.
  static constexpr std::size_t kRemembered = 100;

  struct Seen {
    int under_way = 0;            // sent and not answered: they wait or are worked at
    std::int64_t answered = 0;    // since the process began, without those that failed
    std::int64_t failed = 0;      // with those that were cancelled
    std::vector<float> queue_ms;  // of the last ones, the newest first
    // Of answers that needed an image encoded: how many found it so, and all.
    std::int64_t embeddings_there = 0;
    std::int64_t embeddings = 0;
  };
  Seen seen() const;

  // A call that is under way until it is answered or destroyed, which counts as a failure.
  class Call {
   public:
    explicit Call(ServiceCalls& calls);
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    // `embedded`: whether the image was encoded already; nothing if the call is about something
    // else.
    void Answered(float queue_ms, std::optional<bool> embedded = std::nullopt);

   private:
    ServiceCalls& calls_;
    bool answered_ = false;
  };

 private:
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Seen seen_;  // without queue_ms
  std::deque<float> queue_ms_;
};

// The same client, whose calls are counted. REQUIRES: neither is null.
std::shared_ptr<DetectorClient> Counted(std::shared_ptr<DetectorClient> client,
                                        std::shared_ptr<ServiceCalls> calls);
std::shared_ptr<SegmenterClient> Counted(std::shared_ptr<SegmenterClient> client,
                                         std::shared_ptr<ServiceCalls> calls);

}  // namespace backends

#endif  // DUET_BACKENDS_SERVICE_CALLS_H_
