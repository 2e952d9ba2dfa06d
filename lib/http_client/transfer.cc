#include "http_client/transfer.h"

#include <absl/base/call_once.h>
#include <absl/status/status.h>
#include <curl/curl.h>

#include <algorithm>
#include <boost/asio/async_result.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <future>
#include <utility>

#include "http_client/curl_exchange.h"
#include "http_client/url.h"
#include "text/str_cat.h"

namespace http_client {
namespace {

// Idle connections beyond this are closed.
constexpr long kMaxIdleConnections = 64;
constexpr auto kLongestPoll = absl::Seconds(1);

}  // namespace

struct TransferLoop::Curl {
  CURLM* multi = nullptr;
};

void TransferLoop::Mailbox::EndWait(TransferId id, absl::Status status) {
  const std::lock_guard lock(mutex);
  if (loop == nullptr) return;
  loop->Post([loop = loop, id, status = std::move(status)]() mutable {
    loop->EndWait(id, std::move(status));
  });
}

TransferLoop::TransferLoop(const AddressPolicy& policy, std::shared_ptr<Network> network)
    : policy_(policy),
      network_(network != nullptr ? std::move(network) : Network::Default()),
      mailbox_(std::make_shared<Mailbox>()),
      curl_(std::make_unique<Curl>()) {
  static absl::once_flag once;
  absl::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  curl_->multi = curl_multi_init();
  curl_multi_setopt(curl_->multi, CURLMOPT_MAXCONNECTS, kMaxIdleConnections);
  mailbox_->loop = this;
  thread_ = std::thread([this] { Run(); });
}

TransferLoop::~TransferLoop() {
  Post([this] { stopping_ = true; });
  thread_.join();
  {
    const std::lock_guard lock(mailbox_->mutex);
    mailbox_->loop = nullptr;
  }
  curl_multi_cleanup(curl_->multi);
}

void TransferLoop::Post(absl::AnyInvocable<void()> work) {
  boost::asio::post(context_, std::move(work));
  curl_multi_wakeup(curl_->multi);
}

void TransferLoop::Run() {
  for (;;) {
    context_.restart();
    context_.poll();
    const absl::Time next = std::min(tick_ ? tick_() : absl::InfiniteFuture(), ExpireWaits());
    if (stopping_) {
      std::vector<TransferId> ids;
      for (const auto& [id, running] : running_) ids.push_back(id);
      for (const auto& [id, wait] : waits_) ids.push_back(id);
      for (const TransferId id : ids) Abort(id);
      context_.restart();
      if (context_.poll() == 0 && running_.empty() && waits_.empty()) return;
      continue;
    }
    // What ticks and waits have ended goes on first.
    if (context_.stopped()) context_.restart();
    if (context_.poll() > 0) continue;
    int still_running = 0;
    curl_multi_perform(curl_->multi, &still_running);
    const std::size_t before = running_.size();
    CollectFinished();
    if (running_.size() != before) continue;  // their coroutines go on first
    const absl::Duration wait =
        std::clamp(next - absl::Now(), absl::ZeroDuration(), absl::Duration(kLongestPoll));
    // Woken by sockets, by curl's own timers and by Post.
    curl_multi_poll(curl_->multi, nullptr, 0, static_cast<int>(absl::ToInt64Milliseconds(wait)) + 1,
                    nullptr);
  }
}

void TransferLoop::CollectFinished() {
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(curl_->multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;  // the message dies with the handle
    for (const auto& [id, running] : running_) {
      if (running.exchange->easy() != message->easy_handle) continue;
      Finish(id, code);
      break;
    }
  }
}

void TransferLoop::Finish(TransferId id, int curl_code) {
  const auto it = running_.find(id);
  if (it == running_.end()) return;
  Running running = std::move(it->second);
  running_.erase(it);
  const auto code = static_cast<CURLcode>(curl_code);
  if (running.exchange->HasUnknownEncoding(code)) *running.unknown_encoding = true;
  absl::StatusOr<HttpResponse> result = running.exchange->TakeResult(code);
  curl_multi_remove_handle(curl_->multi, running.exchange->easy());
  if (running.id_slot != nullptr) *running.id_slot = 0;
  running.done(std::move(result));
}

void TransferLoop::Abort(TransferId id) {
  Finish(id, CURLE_ABORTED_BY_CALLBACK);
  EndWait(id, absl::CancelledError("the fetch was cancelled"));
}

void TransferLoop::EndWait(TransferId id, absl::Status status) {
  const auto it = waits_.find(id);
  if (it == waits_.end()) return;
  Wait wait = std::move(it->second);
  waits_.erase(it);
  if (wait.id_slot != nullptr) *wait.id_slot = 0;
  wait.done(std::move(status));
}

absl::Time TransferLoop::ExpireWaits() {
  const absl::Time now = absl::Now();
  absl::Time next = absl::InfiniteFuture();
  std::vector<TransferId> expired;
  for (const auto& [id, wait] : waits_) {
    if (wait.deadline <= now) {
      expired.push_back(id);
    } else {
      next = std::min(next, wait.deadline);
    }
  }
  for (const TransferId id : expired) EndWait(id, absl::DeadlineExceededError("the time is up"));
  return next;
}

boost::asio::awaitable<absl::Status> TransferLoop::Suspend(
    absl::Time deadline, TransferId* id, absl::AnyInvocable<void(TransferId) &&> begun) {
  if (stopping_) co_return absl::CancelledError("the gateway is stopping");
  co_return co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>&,
                                                 void(absl::Status)>(
      [this, deadline, id](auto handler, absl::AnyInvocable<void(TransferId) &&> start) {
        const TransferId new_id = next_id_++;
        if (id != nullptr) *id = new_id;
        Wait& wait = waits_[new_id];
        wait.deadline = deadline;
        wait.id_slot = id;
        wait.done = [this, handler = std::move(handler)](absl::Status status) mutable {
          boost::asio::post(context_,
                            [handler = std::move(handler), status = std::move(status)]() mutable {
                              std::move(handler)(std::move(status));
                            });
        };
        std::move(start)(new_id);
      },
      boost::asio::use_awaitable, std::move(begun));
}

boost::asio::awaitable<absl::Status> TransferLoop::Offload(DetachedThreads& threads,
                                                           absl::AnyInvocable<void() &&> work,
                                                           absl::Time deadline, TransferId* id) {
  absl::AnyInvocable<void(TransferId)&&> begun = [this, &threads,
                                                  work = std::move(work)](TransferId wait) mutable {
    const bool runs = threads.Run([mailbox = mailbox_, wait, work = std::move(work)]() mutable {
      std::move(work)();
      mailbox->EndWait(wait, absl::OkStatus());
    });
    if (!runs) EndWait(wait, absl::ResourceExhaustedError("too much is at work already"));
  };
  absl::Status status = co_await Suspend(deadline, id, std::move(begun));
  co_return status;
}

boost::asio::awaitable<absl::Status> TransferLoop::Resolve(const CurlExchange& exchange,
                                                           TransferId* id, Addresses* addresses) {
  const std::string host = exchange.connect_host();
  if (LiteralAddress(host)) co_return absl::OkStatus();
  const std::string where = RedactUri(exchange.request().url);
  // Longer ones are not names, and don't fit into what libcurl is told.
  if (host.size() > 253) {
    co_return absl::UnavailableError(text::StrCat(where, ": there is no host of such a long name"));
  }
  const absl::Time deadline =
      std::min(exchange.request().deadline, absl::Now() + exchange.request().connect_timeout);
  const auto found = std::make_shared<absl::StatusOr<Addresses>>(
      absl::DeadlineExceededError(text::StrCat("the name '", host, "' was not resolved in time")));
  const bool important = exchange.important();
  absl::AnyInvocable<void(TransferId)&&> begun = [this, host, important, found](TransferId wait) {
    network_->resolver().Resolve(
        host, important, [mailbox = mailbox_, wait, found](absl::StatusOr<Addresses> result) {
          *found = std::move(result);
          mailbox->EndWait(wait, absl::OkStatus());
        });
  };
  absl::Status status = co_await Suspend(deadline, id, std::move(begun));
  if (absl::IsDeadlineExceeded(status)) {
    co_return absl::DeadlineExceededError(
        text::StrCat(where, ": the name '", host, "' was not resolved in time"));
  }
  if (!status.ok()) co_return status;
  if (!found->ok()) {
    co_return absl::Status(found->status().code(),
                           text::StrCat(where, ": ", text::StdView(found->status().message())));
  }
  *addresses = **found;
  co_return absl::OkStatus();
}

boost::asio::awaitable<absl::StatusOr<HttpResponse>> TransferLoop::Perform(HttpRequest request,
                                                                           TransferId* id) {
  bool unknown_encoding = false;
  HttpRequest first = request;
  absl::StatusOr<HttpResponse> response =
      co_await RunOnce(std::move(first), /*decode=*/true, &unknown_encoding, id);
  if (!unknown_encoding || stopping_) co_return response;
  // Some servers write a charset there, or what only their own clients know: taken as it comes.
  absl::StatusOr<HttpResponse> raw =
      co_await RunOnce(std::move(request), /*decode=*/false, &unknown_encoding, id);
  co_return raw;
}

boost::asio::awaitable<absl::StatusOr<HttpResponse>> TransferLoop::RunOnce(HttpRequest request,
                                                                           bool decode,
                                                                           bool* unknown_encoding,
                                                                           TransferId* id) {
  Running prepared{
      .exchange = std::make_unique<CurlExchange>(std::move(request), policy_, *network_, decode),
      .id_slot = id,
      .unknown_encoding = unknown_encoding};
  CurlExchange& exchange = *prepared.exchange;
  if (stopping_) co_return absl::CancelledError("the gateway is stopping");
  if (absl::Status status = exchange.SetUp(); !status.ok()) co_return status;
  Addresses addresses;
  absl::Status resolved = co_await Resolve(exchange, id, &addresses);
  if (!resolved.ok()) co_return resolved;
  if (stopping_) co_return absl::CancelledError("the gateway is stopping");
  if (!addresses.empty()) exchange.UseAddresses(addresses);
  ++transfers_;
  co_return co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>&,
                                                 void(absl::StatusOr<HttpResponse>)>(
      [this](auto handler, Running running) {
        const TransferId new_id = next_id_++;
        if (running.id_slot != nullptr) *running.id_slot = new_id;
        running.done = [this,
                        handler = std::move(handler)](absl::StatusOr<HttpResponse> result) mutable {
          // Later, not from within curl's bookkeeping.
          boost::asio::post(context_,
                            [handler = std::move(handler), result = std::move(result)]() mutable {
                              std::move(handler)(std::move(result));
                            });
        };
        CURL* const easy = running.exchange->easy();
        running_[new_id] = std::move(running);
        if (curl_multi_add_handle(curl_->multi, easy) != CURLM_OK) {
          Finish(new_id, CURLE_OUT_OF_MEMORY);
        }
      },
      boost::asio::use_awaitable, std::move(prepared));
}

absl::StatusOr<HttpResponse> PerformAndWait(TransferLoop& loop, HttpRequest request) {
  using Result = absl::StatusOr<HttpResponse>;
  // Shared: whoever waits may be gone before set_value has returned.
  const auto promise = std::make_shared<std::promise<Result>>();
  std::future<Result> answer = promise->get_future();
  loop.Post([&loop, promise, request = std::move(request)]() mutable {
    boost::asio::co_spawn(loop.context(), loop.Perform(std::move(request)),
                          [promise](const std::exception_ptr& error, Result result) {
                            if (error) std::rethrow_exception(error);  // a bug
                            promise->set_value(std::move(result));
                          });
  });
  return answer.get();
}

}  // namespace http_client
