#include "http_client/curl_exchange.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <optional>
#include <string_view>
#include <utility>

#include "hash/sha256.h"
#include "http_client/s3_access.h"
#include "http_client/socket_address.h"
#include "text/str_cat.h"

namespace http_client {
namespace {

namespace ip = boost::asio::ip;

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

std::optional<ip::address> LiteralAddress(const std::string& host) {
  boost::system::error_code error;
  const ip::address address = ip::make_address(host, error);
  if (error) return std::nullopt;
  return address;
}

CurlExchange::CurlExchange(HttpRequest request, const AddressPolicy& policy, const Network& network,
                           bool decode)
    : request_(std::move(request)), policy_(policy), network_(network), decode_(decode) {}

CurlExchange::~CurlExchange() {
  curl_easy_cleanup(easy_);
  curl_slist_free_all(headers_);
  curl_slist_free_all(resolved_);
}

bool CurlExchange::Allows(const ip::address& address) {
  if (request_.trusted || policy_.Allows(url_.host, url_.port, address)) return true;
  refused_address_ = address.to_string();
  return false;
}

absl::Status CurlExchange::SetUp() {
  const absl::StatusOr<UrlParts> parts = ParseUrl(request_.url);
  if (!parts.ok()) {
    return absl::InvalidArgumentError(
        text::StrCat("'", RedactUri(request_.url), "' is not a valid URL"));
  }
  url_ = *parts;
  proxy_ = network_.proxies().For(url_.scheme, url_.host, url_.port);
  if (proxy_ != nullptr) {
    const std::optional<ip::address> address = LiteralAddress(url_.host);
    if (address && !Allows(*address)) return ErrorOf(CURLE_COULDNT_CONNECT);
  }
  const absl::Duration left = request_.deadline - absl::Now();
  if (left <= absl::ZeroDuration()) return absl::DeadlineExceededError("the time is up");
  easy_ = curl_easy_init();
  if (easy_ == nullptr) return absl::ResourceExhaustedError("libcurl has no memory");
  SetConnectionOptions(left);
  if (absl::Status status = SetAuthorities(); !status.ok()) return status;
  SetCallbacks();
  if (absl::Status status = SetFileBody(); !status.ok()) return status;
  SetHeaders();
  return absl::OkStatus();
}

void CurlExchange::SetConnectionOptions(absl::Duration left) {
  const auto milliseconds = [](absl::Duration duration) {
    return static_cast<long>(
        std::clamp<std::int64_t>(absl::ToInt64Milliseconds(duration), 1, 3'600'000));
  };
  curl_easy_setopt(easy_, CURLOPT_URL, request_.url.c_str());
  curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy_, CURLOPT_FOLLOWLOCATION, 0L);
  // "": none, whatever the environment says.
  curl_easy_setopt(easy_, CURLOPT_PROXY, proxy_ == nullptr ? "" : proxy_->url.c_str());
  curl_easy_setopt(easy_, CURLOPT_NOPROXY, "");
  if (proxy_ != nullptr) {
    curl_easy_setopt(easy_, CURLOPT_PROXYPORT, static_cast<long>(proxy_->port));
  }
  curl_easy_setopt(easy_, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy_, CURLOPT_USERAGENT, "duet-gateway");
  curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, milliseconds(left));
  curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS,
                   milliseconds(std::min(left, request_.connect_timeout)));
  curl_easy_setopt(easy_, CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(request_.max_bytes));
  // As the URL is: "/a/../b" is for the server to judge.
  curl_easy_setopt(easy_, CURLOPT_PATH_AS_IS, 1L);
  // Nothing compressed is asked for, but some servers send it.
  if (decode_) curl_easy_setopt(easy_, CURLOPT_ACCEPT_ENCODING, "identity");
}

absl::Status CurlExchange::SetAuthorities() {
  // The authorities are loaded once, not for each connection.
  for (const CURLoption option :
       {CURLOPT_CAINFO, CURLOPT_CAPATH, CURLOPT_PROXY_CAINFO, CURLOPT_PROXY_CAPATH}) {
    curl_easy_setopt(easy_, option, nullptr);
  }
  if (curl_easy_setopt(easy_, CURLOPT_SSL_CTX_FUNCTION, &UseAuthorities) != CURLE_OK) {
    return absl::FailedPreconditionError("this libcurl is not built with OpenSSL");
  }
  curl_easy_setopt(easy_, CURLOPT_SSL_CTX_DATA, this);
  return absl::OkStatus();
}

void CurlExchange::SetCallbacks() {
  curl_easy_setopt(easy_, CURLOPT_OPENSOCKETFUNCTION, &OpenSocket);
  curl_easy_setopt(easy_, CURLOPT_OPENSOCKETDATA, this);
  curl_easy_setopt(easy_, CURLOPT_PREREQFUNCTION, &BeforeRequest);
  curl_easy_setopt(easy_, CURLOPT_PREREQDATA, this);
  curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &Write);
  curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &Header);
  curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
}

absl::Status CurlExchange::SetFileBody() {
  if (request_.put_file.empty()) return absl::OkStatus();
  body_.reset(std::fopen(request_.put_file.c_str(), "rbe"));
  struct stat info = {};
  if (body_ == nullptr || fstat(fileno(body_.get()), &info) != 0) {
    return absl::ErrnoToStatus(errno, text::StrCat(request_.put_file, ": cannot be read"));
  }
  curl_easy_setopt(easy_, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(easy_, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(info.st_size));
  curl_easy_setopt(easy_, CURLOPT_READFUNCTION, &Read);
  curl_easy_setopt(easy_, CURLOPT_READDATA, this);
  curl_easy_setopt(easy_, CURLOPT_SEEKFUNCTION, &Seek);
  curl_easy_setopt(easy_, CURLOPT_SEEKDATA, this);
  // "Expect:" isn't taken out here: libcurl would sign a header that it doesn't send.
  headers_ = curl_slist_append(headers_, "Content-Type: application/octet-stream");
  return absl::OkStatus();
}

void CurlExchange::SetHeaders() {
  if (!request_.json_body.empty()) {
    // libcurl sends a request once more, unasked, if a connection that it used before ends without
    // an answer: what the first one stored would be stored twice. It doesn't on a new connection.
    curl_easy_setopt(easy_, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request_.json_body.size()));
    curl_easy_setopt(easy_, CURLOPT_COPYPOSTFIELDS, request_.json_body.c_str());
    headers_ = curl_slist_append(headers_, "Content-Type: application/json");
    // Or libcurl waits a second for a "100 Continue" that nobody sends.
    headers_ = curl_slist_append(headers_, "Expect:");
  }
  if (request_.sign_for != nullptr) {
    // Of the file, or of the empty body that a GET has. S3 refuses requests without it, and
    // Debian's curl (7.88) leaves it out.
    request_.headers.push_back("x-amz-content-sha256: " +
                               (body_ == nullptr ? hash::Sha256Hex("") : request_.put_sha256));
    if (!request_.sign_for->session_token.empty()) {
      request_.headers.push_back("x-amz-security-token: " + request_.sign_for->session_token);
    }
  }
  for (const std::string& header : request_.headers) {
    headers_ = curl_slist_append(headers_, header.c_str());
  }
  if (const S3Access* s3 = request_.sign_for; s3 != nullptr) {
    curl_easy_setopt(easy_, CURLOPT_AWS_SIGV4, text::StrCat("aws:amz:", s3->region, ":s3").c_str());
    curl_easy_setopt(easy_, CURLOPT_USERNAME, s3->access_key_id.c_str());
    curl_easy_setopt(easy_, CURLOPT_PASSWORD, s3->secret_access_key.c_str());
  }
  curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_);
}

void CurlExchange::UseAddresses(const Addresses& addresses) {
  // "+": for a minute, as if libcurl had looked the name up itself.
  std::string entry = text::StrCat("+", connect_host(), ":", connect_port(), ":");
  const char* separator = "";
  for (const ip::address& address : addresses) {
    const std::string text = address.to_string();
    text::StrAppend(&entry, separator, address.is_v6() ? text::StrCat("[", text, "]") : text);
    separator = ",";
  }
  resolved_ = curl_slist_append(nullptr, entry.c_str());
  curl_easy_setopt(easy_, CURLOPT_RESOLVE, resolved_);
}

curl_socket_t CurlExchange::OpenSocket(void* self, curlsocktype purpose, curl_sockaddr* address) {
  auto* exchange = static_cast<CurlExchange*>(self);
  return WithoutThrowing(
      [&]() -> curl_socket_t {
        const std::optional<ip::address> target = AddressOf(&address->addr, address->addrlen);
        if (purpose != CURLSOCKTYPE_IPCXN || !target ||
            (exchange->proxy_ == nullptr && !exchange->Allows(*target))) {
          return CURL_SOCKET_BAD;
        }
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
      },
      curl_socket_t{CURL_SOCKET_BAD});
}

int CurlExchange::BeforeRequest(void* self, char* address, char*, int, int) {
  auto* exchange = static_cast<CurlExchange*>(self);
  if (exchange->proxy_ != nullptr) return CURL_PREREQFUNC_OK;
  return WithoutThrowing(
      [&] {
        const std::optional<ip::address> target = LiteralAddress(address);
        return target && exchange->Allows(*target) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
      },
      CURL_PREREQFUNC_ABORT);
}

std::size_t CurlExchange::Write(char* data, std::size_t, std::size_t size, void* self) {
  auto* exchange = static_cast<CurlExchange*>(self);
  std::string& body = exchange->response_.body;
  if (static_cast<std::int64_t>(body.size() + size) > exchange->request_.max_bytes) {
    exchange->too_large_ = true;
    return 0;
  }
  const bool kept = WithoutThrowing(
      [&] {
        if (body.empty()) {
          curl_off_t length = -1;
          curl_easy_getinfo(exchange->easy_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
          // Trusted as far as the limit goes: a lie costs at most that.
          if (length > 0) {
            body.reserve(std::min<std::int64_t>(length, exchange->request_.max_bytes));
          }
        }
        body.append(data, size);
        return true;
      },
      false);
  exchange->no_memory_ = !kept;
  return kept ? size : 0;
}

std::size_t CurlExchange::Read(char* to, std::size_t size, std::size_t count, void* self) {
  std::FILE* const file = static_cast<CurlExchange*>(self)->body_.get();
  const std::size_t got = std::fread(to, 1, size * count, file);
  return got == 0 && std::ferror(file) != 0 ? CURL_READFUNC_ABORT : got;
}

int CurlExchange::Seek(void* self, curl_off_t offset, int origin) {
  std::FILE* const file = static_cast<CurlExchange*>(self)->body_.get();
  return fseeko(file, offset, origin) == 0 ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

std::size_t CurlExchange::Header(char* data, std::size_t, std::size_t size, void* self) {
  auto* exchange = static_cast<CurlExchange*>(self);
  const bool kept = WithoutThrowing(
      [&] {
        exchange->KeepHeader(absl::string_view(data, size));
        return true;
      },
      false);
  exchange->no_memory_ = !kept;
  return kept ? size : 0;
}

void CurlExchange::KeepHeader(absl::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return;
  const absl::string_view name = line.substr(0, colon);
  const std::string value(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  if (absl::EqualsIgnoreCase(name, "etag")) response_.etag = value;
  if (absl::EqualsIgnoreCase(name, "last-modified")) response_.last_modified = value;
  if (absl::EqualsIgnoreCase(name, "content-type")) response_.content_type = value;
  if (absl::EqualsIgnoreCase(name, "content-range")) response_.content_range = value;
  if (absl::EqualsIgnoreCase(name, "content-encoding")) content_encoding_ = value;
  if (absl::EqualsIgnoreCase(name, "x-amz-bucket-region")) response_.bucket_region = value;
}

CURLcode CurlExchange::UseAuthorities(CURL*, void* context, void* self) {
  SSL_CTX_set1_cert_store(static_cast<SSL_CTX*>(context),
                          static_cast<CurlExchange*>(self)->network_.authorities());
  return CURLE_OK;
}

absl::Status CurlExchange::ProxyRefusal() const {
  if (proxy_ == nullptr) return absl::OkStatus();
  long tunnel = 0;  // 200 for one that stands, 0 if none was asked for
  long status = 0;
  curl_easy_getinfo(easy_, CURLINFO_HTTP_CONNECTCODE, &tunnel);
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  const long answer = tunnel >= 300 ? tunnel : status == 407 ? status : 0;
  if (answer == 0) return absl::OkStatus();
  return absl::UnavailableError(
      text::StrCat(RedactUri(request_.url), ": the proxy ", RedactUri(proxy_->url),
                   answer == 407 ? " wants another user and password than those in --image_proxy: "
                                 : " refuses: ",
                   answer));
}

absl::Status CurlExchange::ErrorOf(CURLcode code) const {
  const std::string where = RedactUri(request_.url);
  if (!refused_address_.empty() && code != CURLE_OK) {
    return absl::PermissionDeniedError(
        text::StrCat(where, " is at ", refused_address_,
                     ", a private address; allow its host with --allowed_private=", url_.host));
  }
  if (too_large_ || code == CURLE_FILESIZE_EXCEEDED) {
    return absl::InvalidArgumentError(
        text::StrCat(where, " is larger than the limit of ", request_.max_bytes, " bytes"));
  }
  if (no_memory_)
    return absl::ResourceExhaustedError(text::StrCat(where, ": no memory to receive it"));
  if (absl::Status refusal = ProxyRefusal(); !refusal.ok()) return refusal;
  const std::string through =
      proxy_ == nullptr ? "" : text::StrCat(" (through the proxy ", RedactUri(proxy_->url), ")");
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return absl::DeadlineExceededError(text::StrCat(where, " did not answer in time", through));
    case CURLE_COULDNT_RESOLVE_HOST:
      return absl::UnavailableError(text::StrCat(where, ": there is no host '", url_.host, "'"));
    case CURLE_BAD_CONTENT_ENCODING:
      return absl::InvalidArgumentError(
          text::StrCat(where, " came with Content-Encoding: ", content_encoding_.substr(0, 40),
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

bool CurlExchange::HasUnknownEncoding(CURLcode code) const {
  return code == CURLE_BAD_CONTENT_ENCODING && !IsKnownEncoding(content_encoding_);
}

absl::StatusOr<HttpResponse> CurlExchange::TakeResult(CURLcode code) {
  if (code == CURLE_ABORTED_BY_CALLBACK && refused_address_.empty()) {
    return absl::CancelledError("the fetch was cancelled");
  }
  if (code != CURLE_OK) return ErrorOf(code);
  if (absl::Status refusal = ProxyRefusal(); !refusal.ok()) return refusal;
  long status = 0;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  response_.status = static_cast<int>(status);
  char* redirect = nullptr;
  curl_easy_getinfo(easy_, CURLINFO_REDIRECT_URL, &redirect);
  if (redirect != nullptr) response_.redirect_url = redirect;
  return std::move(response_);
}

}  // namespace http_client
