// TransferLoop: one thread that runs HTTP exchanges through libcurl's multi interface, and the
// coroutines that wait for them.
//
// Connections and TLS sessions are reused. One exchange never follows a redirect, never takes a
// cookie or password from the environment, and checks the address at connect and, for a reused
// connection, before the request goes out. Through a proxy only addresses in the URL itself can be
// checked.
//
// What can block doesn't run here: names are resolved by the Network's resolver, and what else
// takes long is Offloaded.
#ifndef DUET_HTTP_CLIENT_TRANSFER_H_
#define DUET_HTTP_CLIENT_TRANSFER_H_

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "http_client/address_policy.h"
#include "http_client/detached_threads.h"
#include "http_client/http_message.h"
#include "http_client/network.h"

namespace http_client {

class CurlExchange;

class TransferLoop {
 public:
  // REQUIRES: `policy` outlives the loop. `network`: null for Network::Default().
  TransferLoop(const AddressPolicy& policy, std::shared_ptr<Network> network);
  // Aborts what runs (coroutines get Cancelled), runs everything to its end and joins the thread.
  ~TransferLoop();

  // Any thread: runs `work` on the loop's thread.
  void Post(absl::AnyInvocable<void()> work);

  // The rest: on the loop's thread only.

  boost::asio::io_context& context() { return context_; }

  // For Abort.
  using TransferId = std::uint64_t;

  // Errors: PermissionDenied (the address is refused), InvalidArgument (more than max_bytes, not a
  // URL, an unknown or damaged Content-Encoding), DeadlineExceeded, Unavailable (no such host, no
  // connection, broken off), Cancelled. Any HTTP status is a response. A body that comes compressed
  // is decompressed; max_bytes counts what comes out. `id`, if not null, holds the exchange's id
  // while it runs, else 0.
  boost::asio::awaitable<absl::StatusOr<HttpResponse>> Perform(HttpRequest request,
                                                               TransferId* id = nullptr);
  // Runs `work` on one of `threads` and resumes when it has ended: OK. Or before:
  // DeadlineExceeded, Cancelled (Abort), ResourceExhausted (`threads` has no place, `work` doesn't
  // run); `work` then goes on without anybody, so it owns all that it uses. `id` as above.
  boost::asio::awaitable<absl::Status> Offload(DetachedThreads& threads,
                                               absl::AnyInvocable<void() &&> work,
                                               absl::Time deadline, TransferId* id = nullptr);
  // Ends the exchange, or the wait for what is offloaded, as Cancelled; nothing if it has ended.
  void Abort(TransferId id);
  bool stopping() const { return stopping_; }

  // Called on every turn of the loop; returns when it wants to be called next at the latest.
  void SetTick(std::function<absl::Time()> tick) { tick_ = std::move(tick); }

  // Any thread.
  std::int64_t transfers() const { return transfers_; }

 private:
  struct Curl;  // the multi handle; keeps curl's header out of here
  // An exchange that libcurl runs.
  struct Running {
    std::unique_ptr<CurlExchange> exchange;
    absl::AnyInvocable<void(absl::StatusOr<HttpResponse>)> done;
    TransferId* id_slot = nullptr;
    bool* unknown_encoding = nullptr;
  };
  // A coroutine that waits for something other than an exchange.
  struct Wait {
    absl::Time deadline;
    absl::AnyInvocable<void(absl::Status)> done;
    TransferId* id_slot = nullptr;
  };
  // Reaches the loop from threads that may outlive it.
  struct Mailbox {
    std::mutex mutex;
    TransferLoop* loop = nullptr;  // null once the loop is gone; guarded by mutex

    void EndWait(TransferId id, absl::Status status);
  };

  void Run();
  // `begun`, called at once, sees to it that EndWait is called.
  boost::asio::awaitable<absl::Status> Suspend(absl::Time deadline, TransferId* id,
                                               absl::AnyInvocable<void(TransferId) &&> begun);
  void EndWait(TransferId id, absl::Status status);
  // Returns the next deadline of those that remain.
  absl::Time ExpireWaits();
  // Sets `*addresses` for the host that `exchange` connects to; none if it needs no look-up.
  boost::asio::awaitable<absl::Status> Resolve(const CurlExchange& exchange, TransferId* id,
                                               Addresses* addresses);
  // `unknown_encoding` becomes true if the body is sent in a way that libcurl doesn't know.
  boost::asio::awaitable<absl::StatusOr<HttpResponse>> RunOnce(HttpRequest request, bool decode,
                                                               bool* unknown_encoding,
                                                               TransferId* id);
  void Finish(TransferId id, int curl_code);
  void CollectFinished();

  const AddressPolicy& policy_;
  const std::shared_ptr<Network> network_;
  const std::shared_ptr<Mailbox> mailbox_;
  boost::asio::io_context context_{1};
  std::unique_ptr<Curl> curl_;
  std::unordered_map<TransferId, Wait> waits_;
  std::unordered_map<TransferId, Running> running_;
  TransferId next_id_ = 1;
  std::function<absl::Time()> tick_;
  std::atomic<std::int64_t> transfers_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;  // last: runs Run()
};

// Runs one exchange, as TransferLoop::Perform, and waits for its end. Not on the loop's thread.
absl::StatusOr<HttpResponse> PerformAndWait(TransferLoop& loop, HttpRequest request);

}  // namespace http_client

#endif  // DUET_HTTP_CLIENT_TRANSFER_H_
