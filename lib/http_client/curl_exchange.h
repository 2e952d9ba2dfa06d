// One HTTP exchange as libcurl runs it: the handle, its settings, what arrives, and what its end
// means. Internal to http_client: TransferLoop runs it.
#ifndef DUET_HTTP_CLIENT_CURL_EXCHANGE_H_
#define DUET_HTTP_CLIENT_CURL_EXCHANGE_H_

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <curl/curl.h>

#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "http_client/address_policy.h"
#include "http_client/http_message.h"
#include "http_client/network.h"
#include "http_client/url.h"

namespace http_client {

// libcurl calls back into it: it stays where it is, and outlives its use by a multi handle.
class CurlExchange {
 public:
  // `policy` and `network` outlive it. `decode`: a compressed body is decompressed.
  CurlExchange(HttpRequest request, const AddressPolicy& policy, const Network& network,
               bool decode);
  ~CurlExchange();
  CurlExchange(const CurlExchange&) = delete;
  CurlExchange& operator=(const CurlExchange&) = delete;

  // Makes the handle and gives it all its settings. Errors are those of TransferLoop::Perform.
  absl::Status SetUp();
  // Where connect_host() is, which libcurl would otherwise ask the system for, and wait.
  void UseAddresses(const Addresses& addresses);
  // What the end of the exchange means: the response, which is taken out, or an error.
  absl::StatusOr<HttpResponse> TakeResult(CURLcode code);

  const HttpRequest& request() const { return request_; }
  CURL* easy() const { return easy_; }
  // The host that the connection goes to: the URL's, or the proxy's.
  const std::string& connect_host() const { return proxy_ != nullptr ? proxy_->host : url_.host; }
  // The operator named the host that the connection goes to.
  bool important() const { return request_.trusted || proxy_ != nullptr; }
  // The exchange failed because libcurl doesn't know how the body is encoded.
  bool HasUnknownEncoding(CURLcode code) const;

 private:
  int connect_port() const { return proxy_ != nullptr ? proxy_->port : url_.port; }
  bool Allows(const boost::asio::ip::address& address);
  void SetConnectionOptions(absl::Duration left);
  absl::Status SetAuthorities();
  absl::Status SetFileBody();
  void SetCallbacks();
  void SetHeaders();
  void KeepHeader(absl::string_view line);
  absl::Status ErrorOf(CURLcode code) const;
  // What the proxy itself answers instead of the host; OK if it doesn't.
  absl::Status ProxyRefusal() const;

  // libcurl's callbacks; `self` is the exchange.
  static curl_socket_t OpenSocket(void* self, curlsocktype purpose, curl_sockaddr* address);
  // Before the request goes out, also on a connection that another exchange has opened.
  static int BeforeRequest(void* self, char* address, char*, int, int);
  static std::size_t Write(char* data, std::size_t, std::size_t size, void* self);
  static std::size_t Read(char* to, std::size_t size, std::size_t count, void* self);
  // libcurl may begin to send again, on another connection.
  static int Seek(void* self, curl_off_t offset, int origin);
  static std::size_t Header(char* data, std::size_t, std::size_t size, void* self);
  // Also for a TLS connection to a proxy.
  static CURLcode UseAuthorities(CURL*, void* context, void* self);

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  HttpRequest request_;
  const AddressPolicy& policy_;
  const Network& network_;
  const bool decode_;
  UrlParts url_;
  const Proxy* proxy_ = nullptr;  // null: asked directly
  CURL* easy_ = nullptr;
  curl_slist* headers_ = nullptr;
  curl_slist* resolved_ = nullptr;
  std::unique_ptr<std::FILE, Close> body_;  // the file that is PUT; null: none
  HttpResponse response_;
  std::string content_encoding_;
  std::string refused_address_;  // "" unless one was refused
  bool too_large_ = false;
  bool no_memory_ = false;
};

// Absent unless `host` is an IP address.
std::optional<boost::asio::ip::address> LiteralAddress(const std::string& host);

}  // namespace http_client

#endif  // DUET_HTTP_CLIENT_CURL_EXCHANGE_H_
