// A bounded queue between the threads that receive requests and the few that compute.
//
// A model is fastest with one request at a time on all cores, so requests wait here and not inside
// the model. Waiting has limits: a full queue refuses at once (the caller can try another replica),
// and work whose deadline passed or whose caller hung up leaves without being run. Work of a higher
// priority goes first, work of equal priority in order of arrival. Room goes to the urgent too:
// when the queue is full, a newcomer displaces the youngest work of the lowest priority, if that is
// lower than its own.
//
// Priorities alone don't help a click that arrives while an encoder pass of ten seconds is running.
// Such a job yields by hand: between its blocks it calls RunWaitingAbove(its own priority), which
// runs, on the job's own thread, whatever more urgent work is waiting, and returns. So the click
// waits for one block, all cores work on one thing at a time, and nothing has to be locked or
// resumed. What it runs may yield in turn, to higher priorities still: the stack is as deep as
// there are priorities. A job must not be in the middle of something that the other job uses.
#ifndef DUET_SERVING_WORK_QUEUE_H_
#define DUET_SERVING_WORK_QUEUE_H_

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "serving/clock.h"
#include "serving/metrics.h"
#include "serving/priority.h"

namespace serving {

struct WorkQueueOptions {
  std::string name = "work";  // label of the metrics
  int capacity = 64;          // work that waits; what runs doesn't count
  int threads = 1;
};

struct Work {
  Priority priority = Priority::kInteractive;
  absl::Time deadline = absl::InfiniteFuture();
  // Polled, from any thread; null: never. Must not block or call the queue.
  std::function<bool()> is_cancelled;
  // Runs on a thread of the queue. `queued` is how long it waited. What it throws ends there.
  std::function<void(absl::Duration queued)> run;
  // Called instead of `run` if the work leaves unserved, on some thread that holds no lock of the
  // queue: DeadlineExceeded, Cancelled, ResourceExhausted (displaced) or Unavailable (the queue
  // shuts down). And after a `run` that threw: ResourceExhausted (out of memory) or Internal.
  std::function<void(absl::Status)> dropped;
};

// Thread-safe.
class WorkQueue {
 public:
  // `metrics` may be null; it and `clock` must outlive the queue.
  WorkQueue(const WorkQueueOptions& options, Clock& clock, Metrics* metrics);
  // Shuts down; what is waiting is dropped, what runs is waited for.
  ~WorkQueue();

  // OK: exactly one of run and dropped will be called, both if run throws. Otherwise neither:
  // ResourceExhausted (full), DeadlineExceeded, Cancelled, Unavailable (draining). Never waits.
  // Expired and cancelled work is looked for here and when a thread takes the next one, so
  // `dropped` may come later than the deadline.
  absl::Status Submit(Work work);

  // For threads that may block, such as a synchronous gRPC handler's: submits and waits until `run`
  // has returned, or until the work left unserved, which here happens within 20 ms of its deadline
  // or cancellation. What `run` throws is returned as a Status. Must not be called from a thread of
  // the queue. `work.dropped` is not used.
  absl::Status Run(Work work);

  // Runs all waiting work more urgent than `priority` on this thread and returns how many ran. To
  // be called by running work of that priority, often: with nothing waiting it costs one
  // uncontended lock.
  int RunWaitingAbove(Priority priority);

  // Refuses new work (Unavailable) and returns when all that was accepted has run or was dropped,
  // or at `deadline`, when it drops what still waits. Returns false then.
  bool Drain(absl::Time deadline);

  int waiting() const;

 private:
  struct Item {
    std::uint64_t id;
    Work work;
    absl::Time since;
  };
  struct Dropped {
    Work work;
    absl::Status status;
  };
  using Waiting = std::map<Priority, std::list<Item>>;  // no list is empty

  absl::Status SubmitWithId(Work work, std::uint64_t* id);
  void WorkerLoop();
  // Takes the most urgent item, if it is more urgent than `than` (nothing: than none), or returns
  // false. REQUIRES: `mutex_` is held.
  bool TakeNext(std::optional<Priority> than, Item* item, std::vector<Dropped>* dropped);
  // Removes expired and cancelled items. REQUIRES: `mutex_` is held.
  void Purge(std::vector<Dropped>* dropped);
  // REQUIRES: `mutex_` is held.
  void DropAll(const absl::Status& status, std::vector<Dropped>* dropped);
  // Runs it with no lock held.
  void RunItem(Item item);
  void Tell(std::vector<Dropped> dropped);
  void CountUnserved(const absl::Status& status);
  absl::Status WhyNotServe(const Work& work);

  const WorkQueueOptions options_;
  Clock& clock_;
  Metrics* const metrics_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Waiting waiting_;
  int waiting_count_ = 0;
  int running_count_ = 0;
  std::uint64_t next_id_ = 1;
  bool accepting_ = true;
  bool quit_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace serving

#endif  // DUET_SERVING_WORK_QUEUE_H_
