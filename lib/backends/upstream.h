// Calls to the replicas of one service: which one, how often, how long. Internal to
// backends.
//
// Every call of ours may be repeated without harm, so UNAVAILABLE goes to the next replica, and
// after the last one, with a pause, to the first again. A budget shared by all calls bounds that:
// when most calls fail, repeating them only adds load. RESOURCE_EXHAUSTED goes to the next replica
// too, and is repeated for patient calls only. CANCELLED, if it wasn't us, is what a call gets that
// reaches a server while that begins to drain: as UNAVAILABLE. FAILED_PRECONDITION says that the
// replica serves another version than the call asks for, and goes to the next; services of older
// releases don't read what is asked for, so their answers' versions are looked at. If all serve
// others, or are away, the call is Aborted, and the replicas are asked at once which model they
// have. Any other code is final.
#ifndef DUET_BACKENDS_UPSTREAM_H_
#define DUET_BACKENDS_UPSTREAM_H_

#include <absl/status/statusor.h>
#include <grpcpp/support/byte_buffer.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "backends/client.h"
#include "backends/detours.h"
#include "backends/replica_set.h"
#include "backends/unary_caller.h"

namespace backends {

class Upstream {
 public:
  // `service` as in messages: "detector".
  Upstream(std::string service, std::unique_ptr<ReplicaSet> replicas)
      : service_(std::move(service)), replicas_(std::move(replicas)) {}

  ReplicaSet& replicas() { return *replicas_; }
  BackendHealth health() const;

  // `method`: "/duet.detector.v1.Detector/Detect". `key`: the image id that decides the replica;
  // "": by load. `has_image`: whoever answers has the picture from then on.
  template <typename Response>
  boost::asio::awaitable<absl::StatusOr<Response>> Call(std::string method,
                                                        grpc::ByteBuffer request, std::string key,
                                                        bool has_image, CallOptions options);

  // For a call to one replica, and no other.
  UnaryCaller& caller() { return caller_; }

  // Asks a replica for its model and says the version. Those that are asked at once run on one
  // strand.
  using Ask = std::function<boost::asio::awaitable<absl::StatusOr<std::string>>(
      std::shared_ptr<Replica>, CallOptions)>;
  // For ever: resolves names, asks all replicas that are known then, and calls `announce` with the
  // version to ask for (ChooseVersion). Every few seconds, soon after a failure, and at once when a
  // call found another version than it asked for. `strand`: where it runs.
  boost::asio::awaitable<void> KeepFresh(boost::asio::any_io_executor strand, Ask ask,
                                         std::function<void(const std::string& version)> announce);

 private:
  // All replicas, in the order in which to ask them.
  ReplicaSet::Replicas Candidates(const std::string& key, const CallOptions& options);
  // What to do after a round in which every candidate refused.
  bool MayRepeat(const absl::Status& status, int round, const CallOptions& options);
  boost::asio::awaitable<void> Pause(int round, const CallOptions& options);
  void OnSuccess();
  absl::Status ToStatus(const absl::Status& status, const std::string& address) const;
  absl::Status VersionIsGone(const std::string& version) const;
  // The version to ask for isn't this one any more.
  bool HasMovedFrom(const std::string& version) const;
  // Wakes KeepFresh. Any thread.
  void LookAgain();
  struct Looked {
    bool heard = false;             // of one replica at least
    absl::Status error;             // why `away` isn't; OK: all are there
    std::shared_ptr<Replica> away;  // the first that didn't answer; busy ones, if none was heard of
  };
  // Asks all replicas, sets their versions, and chooses.
  boost::asio::awaitable<Looked> Look(
      const Ask& ask, const std::function<void(const std::string& version)>& announce);
  // Says what is wrong with TLS instead, if that is why the replica isn't connected.
  boost::asio::awaitable<void> Diagnose(Looked& looked);
  // Takes down the outcome of a look, and logs it if it is news.
  void Note(const Looked& looked);

  const std::string service_;
  const std::unique_ptr<ReplicaSet> replicas_;
  mutable std::mutex mutex_;
  double repeat_budget_ = 10;            // guarded by mutex_
  bool reachable_ = false;               // guarded by mutex_
  std::string error_ = "not asked yet";  // guarded by mutex_
  std::string tls_error_;                // guarded by mutex_; why TLS fails; "": it doesn't
  std::string tls_error_at_;             // guarded by mutex_; the address where it does
  std::string announced_;                // the version; guarded by mutex_
  // Of KeepFresh; guarded by mutex_, which is not held while it waits.
  std::shared_ptr<boost::asio::steady_timer> until_next_look_;
  bool look_again_ = false;  // guarded by mutex_
  Detours detours_;
  UnaryCaller caller_;  // last: goes first
};

template <typename Response>
boost::asio::awaitable<absl::StatusOr<Response>> Upstream::Call(std::string method,
                                                                grpc::ByteBuffer request,
                                                                std::string key, bool has_image,
                                                                CallOptions options) {
  constexpr int kMaxAway = 3;
  const std::string& version = options.version;
  for (int round = 0;; ++round) {
    absl::Status status = absl::UnavailableError("no address is known");
    std::string address = replicas_->targets();
    const std::string home = has_image ? replicas_->HomeOf(key) : "";
    int away = 0;
    bool other_version = false;
    const ReplicaSet::Replicas candidates = Candidates(key, options);
    for (const auto& replica : candidates) {
      const bool detour = has_image && replica->address != home;
      // From now on, since others may ask about the picture while it is encoded.
      if (detour) detours_.Put(key, replica->address);
      auto calling = caller_.Call<Response>(replica, method, request, options);  // shares slices
      auto answer = co_await std::move(calling);
      if (answer.ok()) {
        replica->set_version(answer->model_version());
        if (version.empty() || answer->model_version() == version) {
          if (has_image && !detour) detours_.Erase(key);
          OnSuccess();
          co_return answer;
        }
        other_version = true;
        continue;
      }
      if (!version.empty() && absl::IsFailedPrecondition(answer.status())) {
        replica->Lacks(version);
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
    if (other_version) LookAgain();
    if (has_image) detours_.Erase(key);  // nobody took it
    // Those that are away may have been the last ones that had it: no reason to wait for them.
    if (other_version && (away == 0 || absl::IsUnavailable(status))) {
      co_return VersionIsGone(version);
    }
    if (!MayRepeat(status, round, options)) co_return ToStatus(status, address);
    // A replica that has just come back is found out during the pause; by itself the channel may
    // wait for longer than all the rounds take.
    for (const auto& replica : candidates) {
      if (replica->IsDown()) replica->ConnectSoon();
    }
    co_await Pause(round, options);
    if (other_version && HasMovedFrom(version)) co_return VersionIsGone(version);
  }
}

}  // namespace backends

#endif  // DUET_BACKENDS_UPSTREAM_H_
