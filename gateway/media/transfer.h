// TransferLoop: one thread that runs HTTP exchanges through libcurl's multi interface, and the
// coroutines that wait for them.
//
// Connections and TLS sessions are reused. One exchange never follows a redirect, never takes a
// proxy, cookie or password from the environment, and checks the address at connect and, for a
// reused connection, before the request goes out.
#ifndef DUET_GATEWAY_MEDIA_TRANSFER_H_
#define DUET_GATEWAY_MEDIA_TRANSFER_H_

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "gateway/media/address_policy.h"

namespace gateway::media {

struct S3Access;

struct HttpRequest {
  std::string url;                     // absolute, escaped
  std::vector<std::string> headers;    // "Name: value"
  std::string json_body;               // POSTed as JSON unless ""
  bool trusted = false;                // named by the operator: any address will do
  const S3Access* sign_for = nullptr;  // SigV4 with these keys; must live until the exchange ends
  absl::Time deadline = absl::InfiniteFuture();
  absl::Duration connect_timeout = absl::Seconds(5);
  std::int64_t max_bytes = 0;
};

struct HttpResponse {
  int status = 0;
  std::string body;
  std::string redirect_url;  // absolute; "" unless there is a Location
  std::string etag;
  std::string last_modified;
  std::string content_type;
  std::string bucket_region;  // x-amz-bucket-region
};

class TransferLoop {
 public:
  // REQUIRES: `policy` outlives the loop.
  explicit TransferLoop(const AddressPolicy& policy);
  // Aborts what runs (coroutines get Cancelled), runs everything to its end and joins the thread.
  ~TransferLoop();

  // Any thread: runs `work` on the loop's thread.
  void Post(absl::AnyInvocable<void()> work);

  // The rest: on the loop's thread only.

  boost::asio::io_context& context() { return context_; }

  // For Abort.
  using TransferId = std::uint64_t;

  // Errors: PermissionDenied (the address is refused), InvalidArgument (more than max_bytes, not a
  // URL), DeadlineExceeded, Unavailable (no such host, no connection, broken off), Cancelled. Any
  // HTTP status is a response. `id`, if not null, holds the exchange's id while it runs, else 0.
  boost::asio::awaitable<absl::StatusOr<HttpResponse>> Perform(HttpRequest request,
                                                               TransferId* id = nullptr);
  // Ends the exchange as Cancelled; nothing if it has ended.
  void Abort(TransferId id);
  bool stopping() const { return stopping_; }

  // Called on every turn of the loop; returns when it wants to be called next at the latest.
  void SetTick(std::function<absl::Time()> tick) { tick_ = std::move(tick); }

  // Any thread.
  std::int64_t transfers() const { return transfers_; }

 private:
  struct Transfer;
  struct Curl;  // the multi handle; keeps curl's header out of here

  void Run();
  void Finish(TransferId id, int curl_code);
  void CollectFinished();

  const AddressPolicy& policy_;
  boost::asio::io_context context_{1};
  std::unique_ptr<Curl> curl_;
  std::unordered_map<TransferId, std::unique_ptr<Transfer>> running_;
  TransferId next_id_ = 1;
  std::function<absl::Time()> tick_;
  std::atomic<std::int64_t> transfers_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;  // last: runs Run()
};

}  // namespace gateway::media

#endif  // DUET_GATEWAY_MEDIA_TRANSFER_H_
