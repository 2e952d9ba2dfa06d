#include "http_client/host_resolver.h"

#include <absl/status/status.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "http_client/detached_threads.h"
#include "http_client/socket_address.h"
#include "text/str_cat.h"

namespace http_client {
namespace {

// Names that are remembered; beyond, all are forgotten.
constexpr std::size_t kMaxKnown = 4096;
// The operator's names are few, and each is looked up once at a time.
constexpr int kImportantLookUps = 64;

}  // namespace

absl::StatusOr<Addresses> SystemLookUp(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  if (error == EAI_NONAME || error == EAI_NODATA) {
    return absl::UnavailableError(text::StrCat("there is no host '", host, "'"));
  }
  if (error != 0) {
    return absl::UnavailableError(
        text::StrCat("the name '", host, "' cannot be resolved now: ", gai_strerror(error)));
  }
  Addresses addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    const auto address = AddressOf(entry->ai_addr, entry->ai_addrlen);
    if (address && std::find(addresses.begin(), addresses.end(), *address) == addresses.end()) {
      addresses.push_back(*address);
    }
  }
  if (addresses.empty()) {
    return absl::UnavailableError(text::StrCat("the host '", host, "' has no address"));
  }
  return addresses;
}

struct HostResolver::Shared {
  struct Known {
    absl::StatusOr<Addresses> result;
    absl::Time until;
  };
  struct Pending {
    absl::Time since;
    std::vector<Callback> waiting;
  };

  explicit Shared(Options given)
      : options(std::move(given)),
        threads(options.max_look_ups),
        important_threads(kImportantLookUps) {}

  void Finish(const std::string& host, const absl::StatusOr<Addresses>& result);

  const Options options;
  DetachedThreads threads;
  DetachedThreads important_threads;
  std::mutex mutex;
  std::unordered_map<std::string, Known> known;      // guarded by mutex
  std::unordered_map<std::string, Pending> pending;  // guarded by mutex
};

void HostResolver::Shared::Finish(const std::string& host,
                                  const absl::StatusOr<Addresses>& result) {
  std::vector<Callback> waiting;
  {
    const std::lock_guard lock(mutex);
    if (known.size() >= kMaxKnown) known.clear();
    known[host] = {result,
                   options.clock() + (result.ok() ? options.fresh_for : options.failure_fresh_for)};
    const auto it = pending.find(host);
    waiting = std::move(it->second.waiting);
    pending.erase(it);
  }
  for (Callback& done : waiting) std::move(done)(result);
}

HostResolver::HostResolver(Options options)
    : shared_(std::make_shared<Shared>(std::move(options))) {}

HostResolver::~HostResolver() = default;

void HostResolver::Resolve(const std::string& host, bool important, Callback done) {
  Shared& shared = *shared_;
  const absl::Time now = shared.options.clock();
  std::unique_lock lock(shared.mutex);
  if (const auto it = shared.known.find(host); it != shared.known.end() && now < it->second.until) {
    const absl::StatusOr<Addresses> result = it->second.result;
    lock.unlock();
    return std::move(done)(result);
  }
  if (const auto it = shared.pending.find(host); it != shared.pending.end()) {
    const absl::Duration waited = now - it->second.since;
    if (waited < shared.options.patience) {
      it->second.waiting.push_back(std::move(done));
      return;
    }
    lock.unlock();
    return std::move(done)(absl::DeadlineExceededError(text::StrCat(
        "the name '", host, "' has not been resolved for ", absl::ToInt64Seconds(waited), " s")));
  }
  Shared::Pending& pending = shared.pending[host];
  pending.since = now;
  pending.waiting.push_back(std::move(done));
  DetachedThreads& threads = important ? shared.important_threads : shared.threads;
  if (threads.Run([owner = shared_, host] { owner->Finish(host, owner->options.look_up(host)); })) {
    return;
  }
  done = std::move(pending.waiting.front());
  shared.pending.erase(host);
  lock.unlock();
  std::move(done)(absl::UnavailableError(
      text::StrCat("the name '", host, "' is not looked up now: ", shared.options.max_look_ups,
                   " other look-ups have not come back")));
}

}  // namespace http_client
