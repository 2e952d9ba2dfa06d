#include "segmenter_service/inference/embedder.h"

#include <absl/status/status.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "serving/exceptions.h"

namespace segmenter {

// One caller of Embed. The queue may look at it after the caller has returned, hence its own mutex.
struct Embedder::Waiter {
  explicit Waiter(const EmbedCall& embed_call) : call(embed_call) {}

  bool IsCancelled() {
    std::lock_guard lock(mutex);
    return left || (call.is_cancelled && call.is_cancelled());
  }

  std::mutex mutex;
  bool left = false;
  EmbedCall call;
  absl::Status dropped;  // why the queue dropped its work; guarded by Embedder::mutex_
};

struct Embedder::Flight {
  // Constant.
  std::string key;
  std::shared_ptr<SamNetwork> network;

  // Guarded by Embedder::mutex_.
  std::vector<std::shared_ptr<Waiter>> waiters;
  enum class State { kPreparing, kWaiting, kRunning, kDone } state = State::kPreparing;
  PreparedImage image;
  absl::Status status;
  std::shared_ptr<const ImageEmbedding> embedding;
  bool found = false;   // by Find: nothing was encoded
  bool shared = false;  // `found`, in the store
  absl::Duration queue_time, encode_time;
  absl::Time encode_begin, encode_end;
};

EmbedOutcome Embedder::Find(const std::string& key, const NetworkSpec& spec) {
  EmbedOutcome outcome;
  outcome.embedding = cache_.Find(key);
  if (outcome.embedding == nullptr && store_ != nullptr) {
    outcome.embedding = store_->Find(key, spec);
    outcome.shared = outcome.embedding != nullptr;
    if (outcome.shared) cache_.Insert(key, outcome.embedding);
  }
  outcome.cached = outcome.embedding != nullptr;
  return outcome;
}

absl::StatusOr<EmbedOutcome> Embedder::Embed(
    const std::string& key, std::shared_ptr<SamNetwork> network,
    const std::function<absl::StatusOr<PreparedImage>()>& prepare, const EmbedCall& call) {
  EmbedOutcome outcome;
  outcome.embedding = cache_.Find(key);
  outcome.cached = outcome.embedding != nullptr;
  if (!outcome.cached) {
    absl::StatusOr<EmbedOutcome> flown = Fly(key, std::move(network), prepare, call);
    if (!flown.ok()) return flown.status();
    outcome = *std::move(flown);
  }
  if (call.keep) {
    absl::Status kept = store_->Keep(key, *outcome.embedding, call.deadline);
    if (!kept.ok()) return kept;
  }
  return outcome;
}

absl::StatusOr<EmbedOutcome> Embedder::Fly(
    const std::string& key, std::shared_ptr<SamNetwork> network,
    const std::function<absl::StatusOr<PreparedImage>()>& prepare, const EmbedCall& call) {
  EmbedOutcome outcome;
  const auto waiter = std::make_shared<Waiter>(call);
  bool created = false;
  const std::shared_ptr<Flight> flight = Join(key, std::move(network), waiter, &created);
  if (created) {
    EmbedOutcome found;
    // Others wait for this flight: it must come down even if memory runs out.
    absl::StatusOr<PreparedImage> image =
        serving::CatchAll("prepare the image", [&]() -> absl::StatusOr<PreparedImage> {
          // In the cache, too: another flight may have ended since we looked.
          found = Find(key, flight->network->spec());
          if (found.cached) return PreparedImage();
          const absl::Time begin = clock_.Now();
          absl::StatusOr<PreparedImage> prepared = prepare();
          outcome.prepare_time = clock_.Now() - begin;
          return prepared;
        });
    std::lock_guard lock(mutex_);
    if (found.cached || !image.ok()) {
      flight->embedding = found.embedding;
      flight->found = found.cached;
      flight->shared = found.shared;
      Finish(*flight, image.status());
    } else {
      flight->image = *std::move(image);
      flight->state = Flight::State::kWaiting;
      changed_.notify_all();
    }
  }

  absl::Status status;
  bool over = false;
  {
    std::unique_lock lock(mutex_);
    status = WaitFor(lock, call, [&] { return flight->state != Flight::State::kPreparing; });
    over = flight->state == Flight::State::kDone;
  }
  if (status.ok() && !over) {
    status = queue_.Submit({
        .priority = call.priority,
        .deadline = call.deadline,
        .is_cancelled = [waiter] { return waiter->IsCancelled(); },
        .run = [this, flight](absl::Duration queued) { Run(flight, queued); },
        .dropped =
            [this, waiter](absl::Status why) {
              std::lock_guard lock(mutex_);
              waiter->dropped = std::move(why);
              changed_.notify_all();
            },
    });
  }
  std::unique_lock lock(mutex_);
  if (status.ok()) {
    status = WaitFor(
        lock, call, [&] { return flight->state == Flight::State::kDone || !waiter->dropped.ok(); });
  }
  if (status.ok())
    status = flight->state == Flight::State::kDone ? flight->status : waiter->dropped;
  outcome.embedding = flight->embedding;
  outcome.cached = flight->found;
  outcome.shared = flight->shared;
  outcome.queue_time = flight->queue_time;
  outcome.encode_time = flight->encode_time;
  outcome.encode_begin = flight->encode_begin;
  outcome.encode_end = flight->encode_end;
  Leave(*flight, waiter);
  if (!status.ok()) return status;
  return outcome;
}

std::shared_ptr<Embedder::Flight> Embedder::Join(const std::string& key,
                                                 std::shared_ptr<SamNetwork> network,
                                                 const std::shared_ptr<Waiter>& waiter,
                                                 bool* created) {
  std::lock_guard lock(mutex_);
  std::shared_ptr<Flight>& flight = flights_[key];
  *created = flight == nullptr;
  if (*created) {
    flight = std::make_shared<Flight>();
    flight->key = key;
    flight->network = std::move(network);
  }
  flight->waiters.push_back(waiter);
  return flight;
}

void Embedder::Leave(Flight& flight, const std::shared_ptr<Waiter>& waiter) {
  std::erase(flight.waiters, waiter);
  {
    std::lock_guard lock(waiter->mutex);
    waiter->left = true;
  }
  // Nobody is left to run it. One that runs finds out by itself.
  if (flight.waiters.empty() && flight.state == Flight::State::kWaiting) {
    Finish(flight, absl::CancelledError("nobody waits for this embedding any more"));
  }
}

void Embedder::Run(const std::shared_ptr<Flight>& flight, absl::Duration queued) {
  PreparedImage image;
  {
    std::lock_guard lock(mutex_);
    if (flight->state != Flight::State::kWaiting) return;
    flight->state = Flight::State::kRunning;
    flight->queue_time = queued;
    image = std::move(flight->image);
  }
  const absl::Time begin = clock_.Now();
  absl::Duration given_away;
  bool is_kept = false;  // by one of those who wait
  const auto embedding = serving::CatchAll(
      "encode the image", [&] { return Encode(*flight, std::move(image), &given_away); });
  {
    std::lock_guard lock(mutex_);
    flight->encode_begin = begin;
    flight->encode_end = clock_.Now();
    flight->encode_time = flight->encode_end - begin - given_away;
    if (embedding.ok()) flight->embedding = *embedding;
    is_kept = std::any_of(flight->waiters.begin(), flight->waiters.end(),
                          [](const auto& waiter) { return waiter->call.keep; });
    // Yield has finished one that was given up; a new flight may be under its key.
    if (flight->state != Flight::State::kDone) Finish(*flight, embedding.status());
  }
  // After those who wait have been told.
  if (embedding.ok() && store_ != nullptr && !is_kept) store_->Insert(flight->key, **embedding);
}

absl::StatusOr<std::shared_ptr<const ImageEmbedding>> Embedder::Encode(Flight& flight,
                                                                       PreparedImage image,
                                                                       absl::Duration* given_away) {
  const std::size_t side = static_cast<std::size_t>(image.geometry.image_size);
  std::vector<float> input(3 * side * side);
  NormalizeAndPad(image.resized, image.geometry, input.data());
  image.resized.release();
  absl::StatusOr<Embedding> features = flight.network->EncodeImage(
      input, [&] { return Yield(flight, given_away); },
      [&] { GiveWay(serving::Priority::kOpenedTask, given_away); });
  if (!features.ok()) return features.status();
  auto embedding = std::make_shared<const ImageEmbedding>(image.geometry, *std::move(features));
  cache_.Insert(flight.key, embedding);
  return embedding;
}

absl::Status Embedder::Yield(Flight& flight, absl::Duration* given_away) {
  std::optional<serving::Priority> priority;  // the highest of those who wait
  {
    std::lock_guard lock(mutex_);
    const absl::Time now = clock_.Now();
    for (const std::shared_ptr<Waiter>& waiter : flight.waiters) {
      if (waiter->call.deadline > now && !waiter->IsCancelled()) {
        priority = std::min(priority.value_or(waiter->call.priority), waiter->call.priority);
      }
    }
    if (!priority.has_value()) {
      const absl::Status status =
          absl::CancelledError("nobody waits for this embedding any more; encoding was stopped");
      Finish(flight, status);
      return status;
    }
  }
  GiveWay(*priority, given_away);
  return absl::OkStatus();
}

void Embedder::GiveWay(serving::Priority priority, absl::Duration* given_away) {
  const absl::Time begin = clock_.Now();
  if (queue_.RunWaitingAbove(priority) > 0) *given_away += clock_.Now() - begin;
}

void Embedder::Finish(Flight& flight, absl::Status status) {
  flight.state = Flight::State::kDone;
  flight.status = std::move(status);
  flights_.erase(flight.key);
  changed_.notify_all();
}

absl::Status Embedder::WaitFor(std::unique_lock<std::mutex>& lock, const EmbedCall& call,
                               const std::function<bool()>& done) {
  // gRPC tells of a cancelled call only when asked.
  constexpr absl::Duration kPoll = absl::Milliseconds(20);
  while (true) {
    const absl::Time now = clock_.Now();
    if (clock_.WaitUntil(lock, changed_, std::min(call.deadline, now + kPoll), done)) {
      return absl::OkStatus();
    }
    if (call.is_cancelled && call.is_cancelled()) {
      return absl::CancelledError("the caller hung up");
    }
    if (clock_.Now() >= call.deadline) {
      return absl::DeadlineExceededError("the deadline passed before the image was encoded");
    }
  }
}

}  // namespace segmenter
