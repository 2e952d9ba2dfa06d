#include "gateway/media/transfer.h"

#include <absl/base/call_once.h>
#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/strip.h>
#include <curl/curl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "gateway/media/image_fetcher.h"
#include "gateway/media/image_source.h"
#include "gateway/text.h"

namespace gateway::media {
namespace {

namespace ip = boost::asio::ip;

// Room for one picture at a time and its siblings; idle connections beyond are closed.
constexpr long kMaxIdleConnections = 64;
constexpr auto kLongestPoll = absl::Seconds(1);

std::optional<ip::address> AddressOf(const curl_sockaddr& address) {
  if (address.family == AF_INET) {
    sockaddr_in v4;
    if (address.addrlen < sizeof(v4)) return std::nullopt;
    std::copy_n(reinterpret_cast<const char*>(&address.addr), sizeof(v4),
                reinterpret_cast<char*>(&v4));
    return ip::address_v4(ntohl(v4.sin_addr.s_addr));
  }
  if (address.family == AF_INET6) {
    sockaddr_in6 v6;
    if (address.addrlen < sizeof(v6)) return std::nullopt;
    std::copy_n(reinterpret_cast<const char*>(&address.addr), sizeof(v6),
                reinterpret_cast<char*>(&v6));
    ip::address_v6::bytes_type bytes;
    std::copy_n(v6.sin6_addr.s6_addr, bytes.size(), bytes.begin());
    return ip::address_v6(bytes, v6.sin6_scope_id);
  }
  return std::nullopt;
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
  const AddressPolicy* policy = nullptr;
  std::string host;
  int port = 0;
  std::string refused_address;  // "" unless one was refused
  bool too_large = false;
  absl::AnyInvocable<void(absl::StatusOr<HttpResponse>)> done;
  TransferId* id_slot = nullptr;

  ~Transfer() {
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
  }

  bool Allows(const ip::address& address) {
    if (request.trusted || policy->Allows(host, port, address)) return true;
    refused_address = address.to_string();
    return false;
  }

  static curl_socket_t OpenSocket(void* self, curlsocktype purpose, curl_sockaddr* address) {
    const std::optional<ip::address> target = AddressOf(*address);
    if (purpose != CURLSOCKTYPE_IPCXN || !target ||
        !static_cast<Transfer*>(self)->Allows(*target)) {
      return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  }

  // Before the request goes out, also on a connection that another fetch has opened.
  static int BeforeRequest(void* self, char* address, char*, int, int) {
    boost::system::error_code error;
    const ip::address target = ip::make_address(address, error);
    return !error && static_cast<Transfer*>(self)->Allows(target) ? CURL_PREREQFUNC_OK
                                                                  : CURL_PREREQFUNC_ABORT;
  }

  static std::size_t Write(char* data, std::size_t, std::size_t size, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    std::string& body = transfer->response.body;
    if (static_cast<std::int64_t>(body.size() + size) > transfer->request.max_bytes) {
      transfer->too_large = true;
      return 0;
    }
    if (body.empty()) {
      curl_off_t length = -1;
      curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
      // Trusted as far as the limit goes: a lie costs at most that.
      if (length > 0) body.reserve(std::min<std::int64_t>(length, transfer->request.max_bytes));
    }
    body.append(data, size);
    return size;
  }

  static std::size_t Header(char* data, std::size_t, std::size_t size, void* self) {
    HttpResponse& response = static_cast<Transfer*>(self)->response;
    const absl::string_view line(data, size);
    const std::size_t colon = line.find(':');
    if (colon == absl::string_view::npos) return size;
    const absl::string_view name = line.substr(0, colon);
    const std::string value(absl::StripAsciiWhitespace(line.substr(colon + 1)));
    if (absl::EqualsIgnoreCase(name, "etag")) response.etag = value;
    if (absl::EqualsIgnoreCase(name, "last-modified")) response.last_modified = value;
    if (absl::EqualsIgnoreCase(name, "content-type")) response.content_type = value;
    if (absl::EqualsIgnoreCase(name, "x-amz-bucket-region")) response.bucket_region = value;
    return size;
  }

  absl::Status SetUp();
  absl::Status ErrorOf(CURLcode code) const;
};

absl::Status TransferLoop::Transfer::SetUp() {
  const std::string origin = Origin(request.url);
  if (origin.empty()) {
    return absl::InvalidArgumentError(StrCat("'", RedactUri(request.url), "' is not a valid URL"));
  }
  const std::size_t host_at = origin.find("://") + 3;
  const std::size_t colon = origin.rfind(':');
  host = origin.substr(host_at, colon - host_at);
  if (!absl::SimpleAtoi(origin.substr(colon + 1), &port)) port = 0;

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
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "duet-gateway");
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, milliseconds(left));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   milliseconds(std::min(left, request.connect_timeout)));
  curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(request.max_bytes));
  // As the URL is: "/a/../b" is for the server to judge.
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
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
    request.headers.push_back(
        "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    if (!request.sign_for->session_token.empty()) {
      request.headers.push_back("x-amz-security-token: " + request.sign_for->session_token);
    }
  }
  for (const std::string& header : request.headers) {
    headers = curl_slist_append(headers, header.c_str());
  }
  if (const S3Access* s3 = request.sign_for; s3 != nullptr) {
    curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, StrCat("aws:amz:", s3->region, ":s3").c_str());
    curl_easy_setopt(easy, CURLOPT_USERNAME, s3->access_key_id.c_str());
    curl_easy_setopt(easy, CURLOPT_PASSWORD, s3->secret_access_key.c_str());
  }
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, this);
  return absl::OkStatus();
}

absl::Status TransferLoop::Transfer::ErrorOf(CURLcode code) const {
  const std::string where = RedactUri(request.url);
  if (!refused_address.empty() && code != CURLE_OK) {
    return absl::PermissionDeniedError(
        StrCat(where, " is at ", refused_address,
               ", a private address; allow its host with --allowed_private=", host));
  }
  if (too_large || code == CURLE_FILESIZE_EXCEEDED) {
    return absl::InvalidArgumentError(
        StrCat(where, " is larger than the limit of ", request.max_bytes, " bytes"));
  }
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return absl::DeadlineExceededError(StrCat(where, " did not answer in time"));
    case CURLE_COULDNT_RESOLVE_HOST:
      return absl::UnavailableError(StrCat(where, ": there is no host '", host, "'"));
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return absl::InvalidArgumentError(StrCat("'", where, "' is not a valid URL"));
    default:
      return absl::UnavailableError(StrCat(where, ": ", curl_easy_strerror(code)));
  }
}

TransferLoop::TransferLoop(const AddressPolicy& policy)
    : policy_(policy), curl_(std::make_unique<Curl>()) {
  static absl::once_flag once;
  absl::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  curl_->multi = curl_multi_init();
  curl_multi_setopt(curl_->multi, CURLMOPT_MAXCONNECTS, kMaxIdleConnections);
  thread_ = std::thread([this] { Run(); });
}

TransferLoop::~TransferLoop() {
  Post([this] { stopping_ = true; });
  thread_.join();
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
    absl::Time next = tick_ ? tick_() : absl::InfiniteFuture();
    if (stopping_) {
      std::vector<TransferId> ids;
      for (const auto& [id, transfer] : running_) ids.push_back(id);
      for (const TransferId id : ids) Abort(id);
      context_.restart();
      if (context_.poll() == 0 && running_.empty()) return;
      continue;
    }
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
  absl::StatusOr<HttpResponse> result = absl::CancelledError("the fetch was cancelled");
  if (code == CURLE_OK) {
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    transfer->response.status = static_cast<int>(status);
    char* redirect = nullptr;
    curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &redirect);
    if (redirect != nullptr) transfer->response.redirect_url = redirect;
    result = std::move(transfer->response);
  } else if (code != CURLE_ABORTED_BY_CALLBACK || !transfer->refused_address.empty()) {
    result = transfer->ErrorOf(code);
  }
  curl_multi_remove_handle(curl_->multi, transfer->easy);
  if (transfer->id_slot != nullptr) *transfer->id_slot = 0;
  transfer->done(std::move(result));
}

void TransferLoop::Abort(TransferId id) { Finish(id, CURLE_ABORTED_BY_CALLBACK); }

boost::asio::awaitable<absl::StatusOr<HttpResponse>> TransferLoop::Perform(HttpRequest request,
                                                                           TransferId* id) {
  auto transfer = std::make_unique<Transfer>();
  transfer->request = std::move(request);
  transfer->policy = &policy_;
  transfer->id_slot = id;
  if (stopping_) co_return absl::CancelledError("the gateway is stopping");
  if (absl::Status status = transfer->SetUp(); !status.ok()) co_return status;
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

}  // namespace gateway::media
