// Calls to the replicas of one service: which one, how often, how long. Internal to
// backends.
//
// Every call may be repeated without harm. What happens next depends on the status:
//   UNAVAILABLE          the next replica; after the last one a pause, then the first again. A
//                        budget that all calls share bounds this: when most calls fail, repeating
//                        them only adds load.
//   CANCELLED            that we did not request means the server drains; treated as UNAVAILABLE.
//   RESOURCE_EXHAUSTED   the next replica; repeated for patient calls only.
//   FAILED_PRECONDITION  the replica serves another version than the call asks for: the next one.
//                        Services of older releases don't read what is asked for, so the version in
//                        an answer is checked, too.
//   any other            is final.
// If all replicas serve other versions, or are away, the call ends as Aborted, and the replicas are
// asked at once which model they have.
#ifndef DUET_BACKENDS_UPSTREAM_H_
#define DUET_BACKENDS_UPSTREAM_H_

#include <absl/status/statusor.h>
#include <grpcpp/support/byte_buffer.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "backends/client.h"
#include "backends/detours.h"
#include "backends/model_offer.h"
#include "backends/replica_caller.h"
#include "backends/replica_set.h"

namespace backends {

class Upstream {
 public:
  // `service` as in messages: "detector".
  Upstream(std::string service, std::unique_ptr<ReplicaSet> replicas)
      : service_(std::move(service)), replicas_(std::move(replicas)) {}

  ReplicaSet& replicas() { return *replicas_; }
  BackendHealth health() const;

  // `method`: "/duet.detector.v1.Detector/Detect". `key`: the image id that decides the replica;
  // "": by load. `has_image`: the replica that answers has the image from then on.
  template <typename Response>
  boost::asio::awaitable<absl::StatusOr<Response>> Call(std::string method,
                                                        grpc::ByteBuffer request, std::string key,
                                                        bool has_image, CallOptions options);

  // For a call to one replica, and no other.
  ReplicaCaller& caller() { return caller_; }

  // Asks a replica for its models. Several run at once, on one strand.
  using GetOffer = std::function<boost::asio::awaitable<absl::StatusOr<ModelOffer>>(
      std::shared_ptr<Replica>, CallOptions)>;
  using Announce = std::function<void(const ModelAnnouncement&)>;
  // Never ends: resolves names, asks all replicas that are known then, and calls `announce` with
  // the versions to ask for (ChooseVersion). Every second, more often while a model is loaded or
  // after LookSoon, soon after a failure, and at once when a call found another version than it
  // asked for. Runs on `strand`.
  boost::asio::awaitable<void> PollForever(boost::asio::any_io_executor strand, GetOffer get_offer,
                                           Announce announce);
  // Polls now, and often for some seconds. Any thread.
  void LookSoon();

 private:
  // All replicas, in the order in which to ask them.
  ReplicaSet::Replicas Candidates(const std::string& key, const CallOptions& options);
  // What to do after a round in which every candidate refused.
  bool MayRepeat(const absl::Status& status, int round, const CallOptions& options);
  boost::asio::awaitable<void> Pause(int round, const CallOptions& options);
  void OnSuccess();
  absl::Status ToStatus(const absl::Status& status, const std::string& address) const;
  absl::Status VersionIsGone(const ModelChoice& model) const;
  // The version to ask for isn't this one any more.
  bool HasMovedFrom(const ModelChoice& model) const;
  // Wakes PollForever. Any thread.
  void PollNow();
  struct PollResult {
    bool any_answered = false;  // one replica at least
    bool loading = false;       // one of them loads a model, or is to be asked again soon
    absl::Status error;         // why `away` didn't; OK: all did
    // The first that didn't; a busy one counts only if none answered.
    std::shared_ptr<Replica> away;
  };
  // Asks all replicas, sets their versions, and chooses.
  boost::asio::awaitable<PollResult> Poll(const GetOffer& get_offer, const Announce& announce);
  // What all replicas together offer. REQUIRES: one of them at least has answered.
  ModelAnnouncement Choose(const ReplicaSet::Replicas& replicas);
  // How long to wait for the next poll. REQUIRES: mutex_ is held.
  std::chrono::milliseconds PauseAfter(const PollResult& result,
                                       std::chrono::milliseconds retry) const;
  // Says what is wrong with TLS instead, if that is why the replica isn't connected.
  boost::asio::awaitable<void> Diagnose(PollResult& result);
  // Keeps the result for health(), and logs it if it has changed.
  void Record(const PollResult& result);

  const std::string service_;
  const std::unique_ptr<ReplicaSet> replicas_;
  mutable std::mutex mutex_;
  double repeat_budget_ = 10;            // guarded by mutex_
  bool reachable_ = false;               // guarded by mutex_
  std::string error_ = "not asked yet";  // guarded by mutex_
  std::string logged_;                   // guarded by mutex_; the state that the log told last
  std::string tls_error_;                // guarded by mutex_; why TLS fails; "": it doesn't
  std::string tls_error_at_;             // guarded by mutex_; the address where it does
  Replica::Versions announced_;          // guarded by mutex_
  std::chrono::steady_clock::time_point often_until_;  // guarded by mutex_
  // PollForever's; guarded by mutex_, which is not held while it waits.
  std::shared_ptr<boost::asio::steady_timer> poll_timer_;
  bool poll_now_ = false;  // guarded by mutex_
  Detours detours_;
  ReplicaCaller caller_;  // last: goes first
};

template <typename Response>
boost::asio::awaitable<absl::StatusOr<Response>> Upstream::Call(std::string method,
                                                                grpc::ByteBuffer request,
                                                                std::string key, bool has_image,
                                                                CallOptions options) {
  constexpr int kMaxAway = 3;
  const ModelChoice model = {options.model, options.version};
  const std::string& version = model.version;
  for (int round = 0;; ++round) {
    absl::Status status = absl::UnavailableError("no address is known");
    std::string address = replicas_->targets();
    const std::string home = has_image ? replicas_->HomeOf(key) : "";
    int away = 0;
    bool other_version = false;
    const ReplicaSet::Replicas candidates = Candidates(key, options);
    for (const auto& replica : candidates) {
      const bool detour = has_image && replica->address != home;
      // From now on, since others may ask about the image while it is encoded.
      if (detour) detours_.Put(key, replica->address);
      auto calling = caller_.Call<Response>(replica, method, request, options);  // shares slices
      auto answer = co_await std::move(calling);
      if (answer.ok() && (version.empty() || answer->model_version() == version)) {
        // Nothing is noted of the replica: what it told meanwhile is newer.
        if (has_image && !detour) detours_.Erase(key);
        OnSuccess();
        co_return answer;
      }
      if (answer.ok() || (!version.empty() && absl::IsFailedPrecondition(answer.status()))) {
        replica->Lacks(model);
        other_version = true;
        continue;
      }
      status = answer.status();
      address = replica->address;
      if (!absl::IsUnavailable(status) && !absl::IsResourceExhausted(status)) {
        co_return ToStatus(status, address);
      }
      if (++away == kMaxAway) break;
    }
    if (other_version) PollNow();
    if (has_image) detours_.Erase(key);  // nobody took it
    // Those that are away may have been the last ones that had it: no reason to wait for them.
    if (other_version && (away == 0 || absl::IsUnavailable(status))) {
      co_return VersionIsGone(model);
    }
    if (!MayRepeat(status, round, options)) co_return ToStatus(status, address);
    // A replica that has just come back is found out during the pause; by itself the channel may
    // wait for longer than all the rounds take.
    for (const auto& replica : candidates) {
      if (replica->IsDown()) replica->ConnectSoon();
    }
    co_await Pause(round, options);
    if (other_version && HasMovedFrom(model)) co_return VersionIsGone(model);
  }
}

}  // namespace backends

#endif  // DUET_BACKENDS_UPSTREAM_H_
