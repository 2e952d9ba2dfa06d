// All replicas of one service, and which of them to ask.
//
// Targets are "host:port", several separated by commas. A name that resolves to several addresses
// (a headless Kubernetes service) is as many replicas; names are resolved again from time to time.
// gRPC's own balancing is not used, because the segmenter's choice depends on the image.
#ifndef DUET_BACKENDS_REPLICA_SET_H_
#define DUET_BACKENDS_REPLICA_SET_H_

#include <absl/status/statusor.h>
#include <grpcpp/channel.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/channel.h"
#include "backends/client.h"

namespace backends {

// A model by name and version; "": any version.
struct ModelChoice {
  std::string name = kDefaultModel;
  std::string version = {};
};

struct Replica {
  Replica(std::string address, std::string host, std::shared_ptr<grpc::Channel> channel);

  const std::string address;  // "10.0.0.7:50052"
  const std::string host;     // the name that it stands for, as given: "segmenter"
  const std::shared_ptr<grpc::Channel> channel;
  std::atomic<int> in_flight = 0;

  // The last attempt to connect failed and the next one isn't due.
  bool IsDown() const;
  // Makes the next attempt to connect due now.
  void ConnectSoon() const;

  // By the names that models are served under, their versions.
  using Versions = std::map<std::string, std::string>;

  // What it serves.
  struct Offer {
    Versions versions;  // empty: it isn't known
    // Names of which it told that it has a model, while it isn't known which one any more.
    std::set<std::string> unknown;
    bool has_told_names = false;  // false: it may have any
  };
  // As last heard. Any thread, as all of these: calls find out that a version is gone at any time,
  // so what is decided by both parts comes from one offer.
  Offer offer() const;
  Versions versions() const { return offer().versions; }
  // What it says of the names below the model root.
  std::vector<NameStatus> names() const;
  // It has told everything that it serves; empty: it didn't answer.
  void set_versions(Versions versions, std::vector<NameStatus> names = {});
  // The version of its default model; what it told of other names holds.
  void set_default_version(std::string version);
  // It is known to serve another version than `wanted` under that name, or nothing; never for the
  // version "".
  bool ServesOther(const ModelChoice& wanted) const;
  // It has just said that it doesn't serve this one. The name stays its own, of an unknown version.
  void Lacks(const ModelChoice& wanted);

 private:
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Versions versions_;
  std::vector<NameStatus> names_;
  bool has_told_names_ = false;
  Versions lacks_;  // since the last set_versions
};

class ReplicaSet {
 public:
  using Replicas = std::vector<std::shared_ptr<Replica>>;

  // InvalidArgument if `targets` is empty or an entry is not host:port.
  static absl::StatusOr<std::unique_ptr<ReplicaSet>> Create(std::string_view targets,
                                                            const GrpcOptions& options);

  // Looks the names up and adjusts the set; addresses that stay keep their connections, unless the
  // files of options.tls have changed: then new calls use new ones. If a name can't be resolved,
  // the addresses it had stay. By Asio's resolver, not http_client's HostResolver: that one keeps
  // an answer for half a minute, and a new replica must be found within seconds.
  boost::asio::awaitable<void> Resolve();

  // All replicas, best first: the reachable ones with the fewest calls in flight, in turn if equal;
  // then the rest. Those that are known not to serve `wanted` come last.
  Replicas ByLoad(const ModelChoice& wanted = {});
  // All replicas by rendezvous hashing of `key`, the reachable ones first: the same key goes to the
  // same replica from every gateway, and when one goes, only its keys move. `wanted` as above.
  Replicas ByKey(std::string_view key, const ModelChoice& wanted = {}) const;
  // The address of the replica that `key` leads to, reachable or not; "" if there is none.
  std::string HomeOf(std::string_view key) const;
  // In no order.
  Replicas All() const;
  int size() const;

  const std::string& targets() const { return targets_; }
  const GrpcOptions& options() const { return options_; }

 private:
  struct Name {
    std::string host;
    std::string port;
    std::vector<std::string> addresses;  // as last resolved
  };
  ReplicaSet(std::string targets, std::vector<Name> names, const GrpcOptions& options);
  void Update();

  const std::string targets_;
  const GrpcOptions options_;
  std::vector<Name> names_;                               // used by Resolve only
  std::shared_ptr<const serving::TlsIdentity> identity_;  // likewise; what replicas_ use
  mutable std::mutex mutex_;
  Replicas replicas_;  // guarded by mutex_
  std::atomic<unsigned> turn_ = 0;
};

}  // namespace backends

#endif  // DUET_BACKENDS_REPLICA_SET_H_
