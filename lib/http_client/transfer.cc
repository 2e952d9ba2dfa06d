#include "http_client/transfer.h"

#include <absl/base/call_once.h>
#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <curl/curl.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <new>
#include <optional>
#include <string_view>
#include <utility>

#include "hash/sha256.h"
#include "http_client/s3_access.h"
#include "http_client/socket_address.h"
#include "http_client/url.h"
#include "text/str_cat.h"

namespace http_client {
namespace {

namespace ip = boost::asio::ip;

// Room for one picture at a time and its siblings; idle connections beyond are closed.
constexpr long kMaxIdleConnections = 64;
constexpr auto kLongestPoll = absl::Seconds(1);

std::optional<ip::address> LiteralAddress(const std::string& host) {
  boost::system::error_code error;
  const ip::address address = ip::make_address(host, error);
  if (error) return std::nullopt;
  return address;
}

bool IsKnownEncoding(std::string_view encoding) {
  for (const char* known : {"", "identity", "none", "gzip", "x-gzip", "deflate", "br", "zstd"}) {
    if (absl::EqualsIgnoreCase(text::View(encoding), known)) return true;
  }
  return false;
}

// libcurl is C: nothing may be thrown through it.
template <typename Call, typename Result>
Result WithoutThrowing(const Call& call, Result otherwise) noexcept {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return otherwise;
  }
}

}  // namespace

struct TransferLoop::Curl {
  CURLM* multi = nullptr;
};

// Callbacks below get a Transfer*; it lives until its easy handle is gone.
struct TransferLoop::Transfer {
  HttpRequest request;
  HttpResponse response;
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  curl_slist* resolved = nullptr;
  const AddressPolicy* policy = nullptr;
  const Network* network = nullptr;
  UrlParts url;
  const Proxy* proxy = nullptr;  // null: asked directly
  bool decode = true;
  std::string content_encoding;
  std::string refused_address;  // "" unless one was refused
  bool too_large = false;
  bool no_memory = false;
  absl::AnyInvocable<void(absl::StatusOr<HttpResponse>)> done;
  TransferId* id_slot = nullptr;
  bool* unknown_encoding = nullptr;

  ~Transfer() {
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    curl_slist_free_all(resolved);
  }

  const std::string& connect_host() const { return proxy != nullptr ? proxy->host : url.host; }
  int connect_port() const { return proxy != nullptr ? proxy->port : url.port; }
  bool important() const { return request.trusted || proxy != nullptr; }

  bool Allows(const ip::address& address) {
    if (request.trusted || policy->Allows(url.host, url.port, address)) return true;
    refused_address = address.to_string();
    return false;
  }

  static curl_socket_t OpenSocket(void* self, curlsocktype purpose, curl_sockaddr* address) {
    auto* transfer = static_cast<Transfer*>(self);
    return WithoutThrowing(
        [&]() -> curl_socket_t {
          const std::optional<ip::address> target = AddressOf(&address->addr, address->addrlen);
          if (purpose != CURLSOCKTYPE_IPCXN || !target ||
              (transfer->proxy == nullptr && !transfer->Allows(*target))) {
            return CURL_SOCKET_BAD;
          }
          return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
        },
        curl_socket_t{CURL_SOCKET_BAD});
  }

  // Before the request goes out, also on a connection that another fetch has opened.
  static int BeforeRequest(void* self, char* address, char*, int, int) {
    auto* transfer = static_cast<Transfer*>(self);
    if (transfer->proxy != nullptr) return CURL_PREREQFUNC_OK;
    return WithoutThrowing(
        [&] {
          const std::optional<ip::address> target = LiteralAddress(address);
          return target && transfer->Allows(*target) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
        },
        CURL_PREREQFUNC_ABORT);
  }

  static std::size_t Write(char* data, std::size_t, std::size_t size, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    std::string& body = transfer->response.body;
    if (static_cast<std::int64_t>(body.size() + size) > transfer->request.max_bytes) {
      transfer->too_large = true;
      return 0;
    }
    const bool kept = WithoutThrowing(
        [&] {
          if (body.empty()) {
            curl_off_t length = -1;
            curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
            // Trusted as far as the limit goes: a lie costs at most that.
            if (length > 0) {
              body.reserve(std::min<std::int64_t>(length, transfer->request.max_bytes));
            }
          }
          body.append(data, size);
          return true;
        },
        false);
    transfer->no_memory = !kept;
    return kept ? size : 0;
  }

  static std::size_t Header(char* data, std::size_t, std::size_t size, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    const bool kept = WithoutThrowing(
        [&] {
          transfer->KeepHeader(absl::string_view(data, size));
          return true;
        },
        false);
    transfer->no_memory = !kept;
    return kept ? size : 0;
  }

  void KeepHeader(absl::string_view line) {
    const std::size_t colon = line.find(':');
    if (colon == absl::string_view::npos) return;
    const absl::string_view name = line.substr(0, colon);
    const std::string value(absl::StripAsciiWhitespace(line.substr(colon + 1)));
    if (absl::EqualsIgnoreCase(name, "etag")) response.etag = value;
    if (absl::EqualsIgnoreCase(name, "last-modified")) response.last_modified = value;
    if (absl::EqualsIgnoreCase(name, "content-type")) response.content_type = value;
    if (absl::EqualsIgnoreCase(name, "content-encoding")) content_encoding = value;
    if (absl::EqualsIgnoreCase(name, "x-amz-bucket-region")) response.bucket_region = value;
  }

  // Also for a TLS connection to a proxy.
  static CURLcode UseAuthorities(CURL*, void* context, void* self) {
    SSL_CTX_set1_cert_store(static_cast<SSL_CTX*>(context),
                            static_cast<Transfer*>(self)->network->authorities());
    return CURLE_OK;
  }

  absl::Status SetUp();
  // What libcurl would otherwise ask the system for, and wait.
  void UseAddresses(const Addresses& addresses);
  absl::Status ErrorOf(CURLcode code) const;
  // What the proxy itself answers instead of the host; OK if it doesn't.
  absl::Status ProxyRefusal() const;
};

absl::Status TransferLoop::Transfer::SetUp() {
  const absl::StatusOr<UrlParts> parts = ParseUrl(request.url);
  if (!parts.ok()) {
    return absl::InvalidArgumentError(
        text::StrCat("'", RedactUri(request.url), "' is not a valid URL"));
  }
  url = *parts;
  proxy = network->proxies().For(url.scheme, url.host, url.port);
  if (proxy != nullptr) {
    const std::optional<ip::address> address = LiteralAddress(url.host);
    if (address && !Allows(*address)) return ErrorOf(CURLE_COULDNT_CONNECT);
  }
  const absl::Duration left = request.deadline - absl::Now();
  if (left <= absl::ZeroDuration()) return absl::DeadlineExceededError("the time is up");
  easy = curl_easy_init();
  if (easy == nullptr) return absl::ResourceExhaustedError("libcurl has no memory");
  const auto milliseconds = [](absl::Duration duration) {
    return static_cast<long>(
        std::clamp<std::int64_t>(absl::ToInt64Milliseconds(duration), 1, 3'600'000));
  };
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  // "": none, whatever the environment says.
  curl_easy_setopt(easy, CURLOPT_PROXY, proxy == nullptr ? "" : proxy->url.c_str());
  curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
  if (proxy != nullptr) {
    curl_easy_setopt(easy, CURLOPT_PROXYPORT, static_cast<long>(proxy->port));
  }
  curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "duet-gateway");
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, milliseconds(left));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   milliseconds(std::min(left, request.connect_timeout)));
  curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(request.max_bytes));
  // As the URL is: "/a/../b" is for the server to judge.
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  // Nothing compressed is asked for, but some servers send it.
  if (decode) curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "identity");
  // The authorities are loaded once, not for each connection.
  for (const CURLoption option :
       {CURLOPT_CAINFO, CURLOPT_CAPATH, CURLOPT_PROXY_CAINFO, CURLOPT_PROXY_CAPATH}) {
    curl_easy_setopt(easy, option, nullptr);
  }
  if (curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, &UseAuthorities) != CURLE_OK) {
    return absl::FailedPreconditionError("this libcurl is not built with OpenSSL");
  }
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, this);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &OpenSocket);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, this);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, &BeforeRequest);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, this);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Write);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  if (!request.json_body.empty()) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.json_body.size()));
    curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request.json_body.c_str());
    headers = curl_slist_append(headers, "Content-Type: application/json");
    // Or libcurl waits a second for a "100 Continue" that nobody sends.
    headers = curl_slist_append(headers, "Expect:");
  }
  if (request.sign_for != nullptr) {
    // Of the empty body that a GET has. S3 refuses requests without it, and Debian's curl (7.88)
    // leaves it out.
    request.headers.push_back("x-amz-content-sha256: " + hash::Sha256Hex(""));
    if (!request.sign_for->session_token.empty()) {
      request.headers.push_back("x-amz-security-token: " + request.sign_for->session_token);
    }
  }
  for (const std::string& header : request.headers) {
    headers = curl_slist_append(headers, header.c_str());
  }
  if (const S3Access* s3 = request.sign_for; s3 != nullptr) {
    curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, text::StrCat("aws:amz:", s3->region, ":s3").c_str());
    curl_easy_setopt(easy, CURLOPT_USERNAME, s3->access_key_id.c_str());
    curl_easy_setopt(easy, CURLOPT_PASSWORD, s3->secret_access_key.c_str());
  }
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, this);
  return absl::OkStatus();
}

void TransferLoop::Transfer::UseAddresses(const Addresses& addresses) {
  // "+": for a minute, as if libcurl had looked the name up itself.
  std::string entry = text::StrCat("+", connect_host(), ":", connect_port(), ":");
  const char* separator = "";
  for (const ip::address& address : addresses) {
    const std::string text = address.to_string();
    text::StrAppend(&entry, separator, address.is_v6() ? text::StrCat("[", text, "]") : text);
    separator = ",";
  }
  resolved = curl_slist_append(nullptr, entry.c_str());
  curl_easy_setopt(easy, CURLOPT_RESOLVE, resolved);
}

absl::Status TransferLoop::Transfer::ProxyRefusal() const {
  if (proxy == nullptr) return absl::OkStatus();
  long tunnel = 0;  // 200 for one that stands, 0 if none was asked for
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &tunnel);
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  const long answer = tunnel >= 300 ? tunnel : status == 407 ? status : 0;
  if (answer == 0) return absl::OkStatus();
  return absl::UnavailableError(
      text::StrCat(RedactUri(request.url), ": the proxy ", RedactUri(proxy->url),
                   answer == 407 ? " wants another user and password than those in --image_proxy: "
                                 : " refuses: ",
                   answer));
}

absl::Status TransferLoop::Transfer::ErrorOf(CURLcode code) const {
  const std::string where = RedactUri(request.url);
  if (!refused_address.empty() && code != CURLE_OK) {
    return absl::PermissionDeniedError(
        text::StrCat(where, " is at ", refused_address,
                     ", a private address; allow its host with --allowed_private=", url.host));
  }
  if (too_large || code == CURLE_FILESIZE_EXCEEDED) {
    return absl::InvalidArgumentError(
        text::StrCat(where, " is larger than the limit of ", request.max_bytes, " bytes"));
  }
  if (no_memory)
    return absl::ResourceExhaustedError(text::StrCat(where, ": no memory to receive it"));
  if (absl::Status refusal = ProxyRefusal(); !refusal.ok()) return refusal;
  const std::string through =
      proxy == nullptr ? "" : text::StrCat(" (through the proxy ", RedactUri(proxy->url), ")");
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return absl::DeadlineExceededError(text::StrCat(where, " did not answer in time", through));
    case CURLE_COULDNT_RESOLVE_HOST:
      return absl::UnavailableError(text::StrCat(where, ": there is no host '", url.host, "'"));
    case CURLE_BAD_CONTENT_ENCODING:
      return absl::InvalidArgumentError(
          text::StrCat(where, " came with Content-Encoding: ", content_encoding.substr(0, 40),
                       ", which is damaged or cannot be undone here"));
    case CURLE_PEER_FAILED_VERIFICATION:
      return absl::UnavailableError(
          text::StrCat(where, ": its certificate is not trusted", through,
                       "; an authority of your own is given with --ca_certificates"));
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return absl::InvalidArgumentError(text::StrCat("'", where, "' is not a valid URL"));
    default:
      return absl::UnavailableError(text::StrCat(where, ": ", curl_easy_strerror(code), through));
  }
}

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
      for (const auto& [id, transfer] : running_) ids.push_back(id);
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
    for (const auto& [id, transfer] : running_) {
      if (transfer->easy != message->easy_handle) continue;
      Finish(id, code);
      break;
    }
  }
}

void TransferLoop::Finish(TransferId id, int curl_code) {
  const auto it = running_.find(id);
  if (it == running_.end()) return;
  std::unique_ptr<Transfer> transfer = std::move(it->second);
  running_.erase(it);
  const auto code = static_cast<CURLcode>(curl_code);
  if (code == CURLE_BAD_CONTENT_ENCODING && !IsKnownEncoding(transfer->content_encoding)) {
    *transfer->unknown_encoding = true;
  }
  absl::StatusOr<HttpResponse> result = absl::CancelledError("the fetch was cancelled");
  if (code == CURLE_OK) {
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    transfer->response.status = static_cast<int>(status);
    char* redirect = nullptr;
    curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &redirect);
    if (redirect != nullptr) transfer->response.redirect_url = redirect;
    if (absl::Status refusal = transfer->ProxyRefusal(); !refusal.ok()) {
      result = std::move(refusal);
    } else {
      result = std::move(transfer->response);
    }
  } else if (code != CURLE_ABORTED_BY_CALLBACK || !transfer->refused_address.empty()) {
    result = transfer->ErrorOf(code);
  }
  curl_multi_remove_handle(curl_->multi, transfer->easy);
  if (transfer->id_slot != nullptr) *transfer->id_slot = 0;
  transfer->done(std::move(result));
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

boost::asio::awaitable<absl::Status> TransferLoop::Resolve(const Transfer& transfer, TransferId* id,
                                                           Addresses* addresses) {
  const std::string host = transfer.connect_host();
  if (LiteralAddress(host)) co_return absl::OkStatus();
  const std::string where = RedactUri(transfer.request.url);
  // Longer ones are not names, and don't fit into what libcurl is told.
  if (host.size() > 253) {
    co_return absl::UnavailableError(text::StrCat(where, ": there is no host of such a long name"));
  }
  const absl::Time deadline =
      std::min(transfer.request.deadline, absl::Now() + transfer.request.connect_timeout);
  const auto found = std::make_shared<absl::StatusOr<Addresses>>(
      absl::DeadlineExceededError(text::StrCat("the name '", host, "' was not resolved in time")));
  const bool important = transfer.important();
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
      co_await Exchange(std::move(first), /*decode=*/true, &unknown_encoding, id);
  if (!unknown_encoding || stopping_) co_return response;
  // Some servers write a charset there, or what only their own clients know: taken as it comes.
  absl::StatusOr<HttpResponse> raw =
      co_await Exchange(std::move(request), /*decode=*/false, &unknown_encoding, id);
  co_return raw;
}

boost::asio::awaitable<absl::StatusOr<HttpResponse>> TransferLoop::Exchange(HttpRequest request,
                                                                            bool decode,
                                                                            bool* unknown_encoding,
                                                                            TransferId* id) {
  auto transfer = std::make_unique<Transfer>();
  transfer->request = std::move(request);
  transfer->policy = &policy_;
  transfer->network = network_.get();
  transfer->decode = decode;
  transfer->unknown_encoding = unknown_encoding;
  transfer->id_slot = id;
  if (stopping_) co_return absl::CancelledError("the gateway is stopping");
  if (absl::Status status = transfer->SetUp(); !status.ok()) co_return status;
  Addresses addresses;
  absl::Status resolved = co_await Resolve(*transfer, id, &addresses);
  if (!resolved.ok()) co_return resolved;
  if (stopping_) co_return absl::CancelledError("the gateway is stopping");
  if (!addresses.empty()) transfer->UseAddresses(addresses);
  ++transfers_;
  co_return co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>&,
                                                 void(absl::StatusOr<HttpResponse>)>(
      [this](auto handler, std::unique_ptr<Transfer> started) {
        const TransferId new_id = next_id_++;
        if (started->id_slot != nullptr) *started->id_slot = new_id;
        started->done =
            [this, handler = std::move(handler)](absl::StatusOr<HttpResponse> result) mutable {
              // Later, not from within curl's bookkeeping.
              boost::asio::post(
                  context_, [handler = std::move(handler), result = std::move(result)]() mutable {
                    std::move(handler)(std::move(result));
                  });
            };
        CURL* easy = started->easy;
        running_[new_id] = std::move(started);
        if (curl_multi_add_handle(curl_->multi, easy) != CURLM_OK) {
          Finish(new_id, CURLE_OUT_OF_MEMORY);
        }
      },
      boost::asio::use_awaitable, std::move(transfer));
}

}  // namespace http_client
