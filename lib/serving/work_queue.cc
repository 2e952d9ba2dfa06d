#include "serving/work_queue.h"

#include <absl/strings/str_cat.h>

#include <memory>
#include <utility>

#include "serving/exceptions.h"
#include "serving/log.h"

namespace serving {
namespace {

// How often a thread that waits in Run looks whether its caller is still there.
constexpr absl::Duration kPoll = absl::Milliseconds(20);

// Label values of kQueueUnserved.
constexpr const char* kFull = "full";
constexpr const char* kExpired = "expired";
constexpr const char* kCancelled = "cancelled";
constexpr const char* kDraining = "draining";

}  // namespace

WorkQueue::WorkQueue(const WorkQueueOptions& options, Clock& clock, Metrics* metrics)
    : options_(options), clock_(clock), metrics_(metrics) {
  if (metrics_ != nullptr) {
    metrics_->Get(kQueueDepth, {options_.name}).Set(0);
    // There from the start, so that a first refusal is seen as an increase.
    for (const char* reason : {kFull, kExpired, kCancelled, kDraining}) {
      metrics_->Get(kQueueUnserved, {options_.name, reason});
    }
  }
  for (int i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { WorkerLoop(); });
}

WorkQueue::~WorkQueue() {
  std::vector<Dropped> dropped;
  {
    std::lock_guard lock(mutex_);
    accepting_ = false;
    quit_ = true;
    DropAll(absl::UnavailableError("the process is stopping"), &dropped);
    changed_.notify_all();
  }
  Tell(std::move(dropped));
  for (std::thread& thread : threads_) thread.join();
}

absl::Status WorkQueue::WhyNotServe(const Work& work) {
  if (work.is_cancelled && work.is_cancelled()) {
    return absl::CancelledError("cancelled by the caller while waiting in the queue");
  }
  if (clock_.Now() >= work.deadline) {
    return absl::DeadlineExceededError("the deadline passed while waiting in the queue");
  }
  return absl::OkStatus();
}

absl::Status WorkQueue::Submit(Work work) {
  std::uint64_t id = 0;
  return SubmitWithId(std::move(work), &id);
}

absl::Status WorkQueue::SubmitWithId(Work work, std::uint64_t* id) {
  std::vector<Dropped> dropped;
  absl::Status status = WhyNotServe(work);
  if (status.ok()) {
    std::lock_guard lock(mutex_);
    if (waiting_count_ >= options_.capacity) Purge(&dropped);
    if (!accepting_) {
      status = absl::UnavailableError("the process is stopping");
    } else {
      // One more than fits, for a moment: then the youngest of the lowest priority goes, which
      // may be this one.
      *id = next_id_++;
      const Priority priority = work.priority;
      waiting_[priority].push_back({*id, std::move(work), clock_.Now()});
      ++waiting_count_;
      if (waiting_count_ > options_.capacity) {
        const auto worst = std::prev(waiting_.end());
        Item last = std::move(worst->second.back());
        worst->second.pop_back();
        if (worst->second.empty()) waiting_.erase(worst);
        --waiting_count_;
        absl::Status full = absl::ResourceExhaustedError(absl::StrCat(
            "the ", options_.name, " queue is full (", options_.capacity, " waiting)"));
        if (last.id == *id) {
          status = std::move(full);
        } else {
          dropped.push_back({std::move(last.work), std::move(full)});
        }
      }
      changed_.notify_all();
    }
    if (metrics_ != nullptr) metrics_->Get(kQueueDepth, {options_.name}).Set(waiting_count_);
  }
  if (!status.ok()) CountUnserved(status);
  Tell(std::move(dropped));
  return status;
}

absl::Status WorkQueue::Run(Work work) {
  struct Outcome {
    std::mutex mutex;
    std::condition_variable changed;
    bool started = false;
    bool done = false;
    absl::Status status;
  };
  auto outcome = std::make_shared<Outcome>();
  const auto finish = [outcome](absl::Status status) {
    std::lock_guard lock(outcome->mutex);
    outcome->status = std::move(status);
    outcome->done = true;
    outcome->changed.notify_all();
  };
  const absl::Time deadline = work.deadline;
  const std::function<bool()> is_cancelled = work.is_cancelled;
  work.run = [run = std::move(work.run), outcome, finish](absl::Duration queued) {
    {
      std::lock_guard lock(outcome->mutex);
      outcome->started = true;
    }
    run(queued);
    finish(absl::OkStatus());
  };
  work.dropped = finish;

  std::uint64_t id = 0;
  if (absl::Status status = SubmitWithId(std::move(work), &id); !status.ok()) return status;
  std::unique_lock lock(outcome->mutex);
  while (!outcome->done) {
    const absl::Time now = clock_.Now();
    const bool expired = !outcome->started && now >= deadline;
    if (!outcome->started && (expired || (is_cancelled && is_cancelled()))) {
      // A thread may take it at this moment: then it is not there any more, and this waits for its
      // end.
      lock.unlock();
      std::vector<Dropped> dropped;
      {
        std::lock_guard queue_lock(mutex_);
        Purge(&dropped);
        changed_.notify_all();
      }
      Tell(std::move(dropped));
      lock.lock();
      if (outcome->done) break;
    }
    const absl::Time wake =
        outcome->started ? absl::InfiniteFuture()
                         : std::min(now + kPoll, std::max(deadline, now + absl::Milliseconds(1)));
    clock_.WaitUntil(lock, outcome->changed, wake, [&] { return outcome->done; });
  }
  return outcome->status;
}

int WorkQueue::RunWaitingAbove(Priority priority) {
  int ran = 0;
  while (true) {
    Item item;
    std::vector<Dropped> dropped;
    bool taken = false;
    {
      std::lock_guard lock(mutex_);
      taken = TakeNext(priority, &item, &dropped);
    }
    Tell(std::move(dropped));
    if (!taken) return ran;
    RunItem(std::move(item));
    ++ran;
  }
}

bool WorkQueue::Drain(absl::Time deadline) {
  std::vector<Dropped> dropped;
  bool drained = false;
  {
    std::unique_lock lock(mutex_);
    accepting_ = false;
    drained = clock_.WaitUntil(lock, changed_, deadline,
                               [&] { return waiting_count_ == 0 && running_count_ == 0; });
    if (!drained) DropAll(absl::UnavailableError("the process is stopping"), &dropped);
    changed_.notify_all();
  }
  Tell(std::move(dropped));
  return drained;
}

int WorkQueue::waiting() const {
  std::lock_guard lock(mutex_);
  return waiting_count_;
}

void WorkQueue::WorkerLoop() {
  while (true) {
    Item item;
    std::vector<Dropped> dropped;
    bool taken = false;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return quit_ || waiting_count_ > 0; });
      if (quit_) return;
      taken = TakeNext(/*than=*/std::nullopt, &item, &dropped);
    }
    Tell(std::move(dropped));
    if (taken) RunItem(std::move(item));
  }
}

bool WorkQueue::TakeNext(std::optional<Priority> than, Item* item, std::vector<Dropped>* dropped) {
  const auto nothing_urgent = [&] {
    return waiting_.empty() || (than.has_value() && waiting_.begin()->first >= *than);
  };
  if (nothing_urgent()) return false;
  Purge(dropped);
  if (nothing_urgent()) return false;
  const auto best = waiting_.begin();
  *item = std::move(best->second.front());
  best->second.pop_front();
  if (best->second.empty()) waiting_.erase(best);
  --waiting_count_;
  ++running_count_;
  if (metrics_ != nullptr) metrics_->Get(kQueueDepth, {options_.name}).Set(waiting_count_);
  return true;
}

void WorkQueue::Purge(std::vector<Dropped>* dropped) {
  for (auto entry = waiting_.begin(); entry != waiting_.end();) {
    std::list<Item>& items = entry->second;
    for (auto it = items.begin(); it != items.end();) {
      absl::Status status = WhyNotServe(it->work);
      if (status.ok()) {
        ++it;
        continue;
      }
      dropped->push_back({std::move(it->work), std::move(status)});
      it = items.erase(it);
      --waiting_count_;
    }
    entry = items.empty() ? waiting_.erase(entry) : std::next(entry);
  }
  if (metrics_ != nullptr && !dropped->empty()) {
    metrics_->Get(kQueueDepth, {options_.name}).Set(waiting_count_);
  }
}

void WorkQueue::DropAll(const absl::Status& status, std::vector<Dropped>* dropped) {
  for (auto& [priority, items] : waiting_) {
    for (Item& item : items) dropped->push_back({std::move(item.work), status});
  }
  waiting_.clear();
  waiting_count_ = 0;
  if (metrics_ != nullptr) metrics_->Get(kQueueDepth, {options_.name}).Set(0);
}

void WorkQueue::RunItem(Item item) {
  const absl::Duration queued = clock_.Now() - item.since;
  if (metrics_ != nullptr) {
    metrics_
        ->Get(kQueueSeconds, {options_.name, std::to_string(static_cast<int>(item.work.priority))})
        .Observe(absl::ToDoubleSeconds(queued));
  }
  absl::Status thrown = CatchAll("the request's work", [&] { item.work.run(queued); });
  if (!thrown.ok()) {
    LogLine("work.threw", LogLevel::kError).Str("queue", options_.name).Status(thrown);
    if (item.work.dropped) item.work.dropped(std::move(thrown));
  }
  item = {};  // what it captured goes before anybody is told that nothing runs
  std::lock_guard lock(mutex_);
  --running_count_;
  changed_.notify_all();
}

void WorkQueue::Tell(std::vector<Dropped> dropped) {
  for (Dropped& one : dropped) {
    CountUnserved(one.status);
    if (one.work.dropped) one.work.dropped(std::move(one.status));
  }
}

void WorkQueue::CountUnserved(const absl::Status& status) {
  if (metrics_ == nullptr) return;
  const char* reason = absl::IsResourceExhausted(status)  ? kFull
                       : absl::IsDeadlineExceeded(status) ? kExpired
                       : absl::IsCancelled(status)        ? kCancelled
                                                          : kDraining;
  metrics_->Get(kQueueUnserved, {options_.name, reason}).Increment();
}

}  // namespace serving
