#include "backends/replica_set.h"

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdint>

#include "hash/fnv.h"
#include "text/authority.h"

namespace backends {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

// All gateways must agree, so it is the same in every process. FNV-1a spreads little into the upper
// bits; MurmurHash3's finish does.
std::uint64_t StableHash(std::string_view a, std::string_view b) {
  std::uint64_t hash = hash::Fnv1a(b, hash::Fnv1a(std::string_view("\0", 1), hash::Fnv1a(a)));
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccd;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53;
  return hash ^ (hash >> 33);
}

std::string AddressOf(const tcp::endpoint& endpoint) {
  return text::JoinHostPort(endpoint.address().to_string(), endpoint.port());
}

}  // namespace

Replica::Replica(std::string address, std::string host, std::shared_ptr<grpc::Channel> channel)
    : address(std::move(address)), host(std::move(host)), channel(std::move(channel)) {}

bool Replica::IsDown() const {
  return channel->GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_TRANSIENT_FAILURE;
}

void Replica::ConnectSoon() const {
  grpc::experimental::ChannelResetConnectionBackoff(channel.get());
}

Replica::Offer Replica::offer() const {
  const std::lock_guard lock(mutex_);
  Offer offer{.versions = versions_, .unknown = {}, .has_told_names = has_told_names_};
  for (const NameStatus& status : names_) {
    // Of what is stored and can't be loaded, nobody can have anything.
    const bool has_one =
        !status.version.empty() || (status.stored_version != 0 && status.error.empty());
    if (has_one && !versions_.contains(status.name)) offer.unknown.insert(status.name);
  }
  return offer;
}

std::vector<NameStatus> Replica::names() const {
  const std::lock_guard lock(mutex_);
  return names_;
}

void Replica::set_versions(Versions versions, std::vector<NameStatus> names) {
  const std::lock_guard lock(mutex_);
  has_told_names_ = !versions.empty();
  versions_ = std::move(versions);
  names_ = std::move(names);
  lacks_.clear();
}

void Replica::set_default_version(std::string version) {
  const std::lock_guard lock(mutex_);
  versions_[kDefaultModel] = std::move(version);
  lacks_.erase(kDefaultModel);
}

bool Replica::ServesOther(const ModelChoice& wanted) const {
  if (wanted.version.empty()) return false;
  const std::lock_guard lock(mutex_);
  const auto lacks = lacks_.find(wanted.name);
  if (lacks != lacks_.end() && lacks->second == wanted.version) return true;
  const auto serves = versions_.find(wanted.name);
  // A replica of which the default is known has told all its names.
  if (serves == versions_.end()) {
    return wanted.name != kDefaultModel && versions_.contains(kDefaultModel);
  }
  return serves->second != wanted.version;
}

void Replica::Lacks(const ModelChoice& wanted) {
  const std::lock_guard lock(mutex_);
  const auto serves = versions_.find(wanted.name);
  if (serves != versions_.end() && serves->second == wanted.version) versions_.erase(serves);
  lacks_[wanted.name] = wanted.version;
}

absl::StatusOr<std::unique_ptr<ReplicaSet>> ReplicaSet::Create(std::string_view targets,
                                                               const GrpcOptions& options) {
  std::vector<Name> names;
  const std::string text(targets);
  for (const absl::string_view entry : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const absl::string_view target = absl::StripAsciiWhitespace(entry);
    const std::size_t colon = target.rfind(':');
    int port = 0;
    if (colon == target.npos || colon == 0 || !absl::SimpleAtoi(target.substr(colon + 1), &port) ||
        port < 1 || port > 65535) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", target, "' is not host:port (several are separated by commas)"));
    }
    absl::string_view host = target.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']')
      host = host.substr(1, host.size() - 2);
    names.push_back({std::string(host), absl::StrCat(port), {}});
  }
  if (names.empty()) return absl::InvalidArgumentError("no host:port is given");
  return std::unique_ptr<ReplicaSet>(new ReplicaSet(text, std::move(names), options));
}

ReplicaSet::ReplicaSet(std::string targets, std::vector<Name> names, const GrpcOptions& options)
    : targets_(std::move(targets)), options_(options), names_(std::move(names)) {
  // Addresses need no look-up: they are there from the start.
  for (Name& name : names_) {
    boost::system::error_code error;
    const auto address = asio::ip::make_address(name.host, error);
    if (!error)
      name.addresses = {
          AddressOf(tcp::endpoint(address, static_cast<std::uint16_t>(std::stoi(name.port))))};
  }
  Update();
}

asio::awaitable<void> ReplicaSet::Resolve() {
  tcp::resolver resolver(co_await asio::this_coro::executor);
  for (Name& name : names_) {
    auto [error, results] =
        co_await resolver.async_resolve(name.host, name.port, asio::as_tuple(asio::use_awaitable));
    if (error) continue;
    std::vector<std::string> v4;
    std::vector<std::string> v6;
    for (const auto& entry : results) {
      (entry.endpoint().address().is_v4() ? v4 : v6).push_back(AddressOf(entry.endpoint()));
    }
    // One family: "localhost" is one replica, not 127.0.0.1 and ::1.
    name.addresses = v4.empty() ? v6 : v4;
  }
  Update();
}

void ReplicaSet::Update() {
  auto identity = options_.tls ? options_.tls->Current() : nullptr;
  // Calls in flight keep the old replicas, and so their connections.
  const bool renewed = identity != identity_;
  identity_ = std::move(identity);
  const std::lock_guard lock(mutex_);
  Replicas next;
  for (const Name& name : names_) {
    for (const std::string& address : name.addresses) {
      const auto is_it = [&](const auto& replica) { return replica->address == address; };
      if (std::any_of(next.begin(), next.end(), is_it)) continue;
      const auto old = std::find_if(replicas_.begin(), replicas_.end(), is_it);
      if (old != replicas_.end() && !renewed) {
        next.push_back(*old);
      } else {
        next.push_back(std::make_shared<Replica>(
            address, name.host, MakeChannel(address, name.host, options_, identity_.get())));
      }
    }
  }
  replicas_ = std::move(next);
}

ReplicaSet::Replicas ReplicaSet::All() const {
  const std::lock_guard lock(mutex_);
  return replicas_;
}

int ReplicaSet::size() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(replicas_.size());
}

namespace {

// What comes first when replicas are ranked: it may have the model, and it can be reached.
std::pair<bool, bool> Reluctance(const Replica& replica, const ModelChoice& wanted) {
  return {replica.ServesOther(wanted), replica.IsDown()};
}

template <typename Rank>
void SortBy(ReplicaSet::Replicas& replicas, const Rank& rank) {
  using Ranked = std::pair<decltype(rank(*replicas.front())), std::shared_ptr<Replica>>;
  std::vector<Ranked> ranked;
  // Once each: what a rank is made of changes all the time.
  for (auto& replica : replicas) ranked.push_back({rank(*replica), replica});
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const Ranked& a, const Ranked& b) { return a.first < b.first; });
  for (std::size_t i = 0; i < ranked.size(); ++i) replicas[i] = std::move(ranked[i].second);
}

}  // namespace

ReplicaSet::Replicas ReplicaSet::ByLoad(const ModelChoice& wanted) {
  Replicas replicas = All();
  if (replicas.size() < 2) return replicas;
  std::rotate(replicas.begin(), replicas.begin() + turn_++ % replicas.size(), replicas.end());
  SortBy(replicas, [&](const Replica& replica) {
    return std::pair(Reluctance(replica, wanted), replica.in_flight.load());
  });
  return replicas;
}

ReplicaSet::Replicas ReplicaSet::ByKey(std::string_view key, const ModelChoice& wanted) const {
  Replicas replicas = All();
  if (replicas.size() < 2) return replicas;
  SortBy(replicas, [&](const Replica& replica) {
    return std::pair(Reluctance(replica, wanted), ~StableHash(key, replica.address));
  });
  return replicas;
}

std::string ReplicaSet::HomeOf(std::string_view key) const {
  std::string home;
  std::uint64_t highest = 0;
  for (const auto& replica : All()) {
    const std::uint64_t hash = StableHash(key, replica->address);
    if (!home.empty() && hash <= highest) continue;
    home = replica->address;
    highest = hash;
  }
  return home;
}

}  // namespace backends
