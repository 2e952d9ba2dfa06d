#include "http_client/proxy.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <utility>

#include "http_client/url.h"
#include "text/str_cat.h"

namespace http_client {
namespace {

namespace ip = boost::asio::ip;

absl::StatusOr<std::optional<Proxy>> ParseProxy(const std::string& text, const char* name) {
  if (text.empty()) return std::nullopt;
  const std::string url = text.find("://") == std::string::npos ? "http://" + text : text;
  const absl::StatusOr<UrlParts> parts = ParseUrl(url);
  if (!parts.ok()) {
    return absl::InvalidArgumentError(
        text::StrCat(name, ": '", RedactUri(url),
                     "' is not a proxy's address; http://HOST:PORT or "
                     "https://HOST:PORT is needed"));
  }
  return Proxy{url, parts->host, parts->port};
}

}  // namespace

ProxyRules::Exception ProxyRules::ParseException(std::string entry) {
  Exception exception;
  boost::system::error_code error;
  const bool network = entry.find('/') != std::string::npos;
  if (const auto v4 = ip::make_network_v4(network ? entry : entry + "/32", error); !error) {
    exception.v4 = v4.canonical();
    return exception;
  }
  if (entry.size() > 2 && entry.front() == '[' && entry.back() == ']') {
    entry = entry.substr(1, entry.size() - 2);
  }
  if (const auto v6 = ip::make_network_v6(network ? entry : entry + "/128", error); !error) {
    exception.v6 = v6.canonical();
    return exception;
  }
  if (const std::size_t colon = entry.rfind(':');
      colon != std::string::npos && absl::SimpleAtoi(entry.substr(colon + 1), &exception.port)) {
    entry.resize(colon);
  }
  const std::size_t start = entry.find_first_not_of("*.");
  exception.host = start == std::string::npos ? "" : entry.substr(start);
  return exception;
}

absl::StatusOr<ProxyRules> ProxyRules::Make(
    const std::string& setting, const std::function<std::string(const char*)>& variable) {
  ProxyRules rules;
  if (setting.empty()) return rules;
  const auto either = [&](const char* lower, const char* upper) {
    const std::string value = variable(lower);
    return value.empty() ? variable(upper) : value;
  };
  if (setting == "environment") {
    const std::string all = either("all_proxy", "ALL_PROXY");
    // Not HTTP_PROXY: under CGI that is a header of the request.
    std::string http = variable("http_proxy");
    std::string https = either("https_proxy", "HTTPS_PROXY");
    if (http.empty()) http = all;
    if (https.empty()) https = all;
    absl::StatusOr<std::optional<Proxy>> proxy = ParseProxy(http, "http_proxy");
    if (!proxy.ok()) return proxy.status();
    rules.http_ = *std::move(proxy);
    proxy = ParseProxy(https, "https_proxy");
    if (!proxy.ok()) return proxy.status();
    rules.https_ = *std::move(proxy);
  } else {
    absl::StatusOr<std::optional<Proxy>> proxy = ParseProxy(setting, "--image_proxy");
    if (!proxy.ok()) return proxy.status();
    rules.http_ = rules.https_ = *std::move(proxy);
  }
  const std::string no_proxy = absl::AsciiStrToLower(either("no_proxy", "NO_PROXY"));
  for (const absl::string_view entry :
       absl::StrSplit(no_proxy, absl::ByAnyChar(", \t"), absl::SkipEmpty())) {
    if (entry == "*") rules.all_direct_ = true;
    rules.exceptions_.push_back(ParseException(std::string(entry)));
  }
  return rules;
}

const Proxy* ProxyRules::For(std::string_view scheme, std::string_view host, int port) const {
  const std::optional<Proxy>& proxy = scheme == "https" ? https_ : http_;
  if (!proxy || all_direct_ || host == "localhost" ||
      absl::EndsWith(text::View(host), ".localhost")) {
    return nullptr;
  }
  boost::system::error_code error;
  const ip::address address = ip::make_address(std::string(host), error);
  const bool literal = !error;
  if (literal && address.is_loopback()) return nullptr;
  const auto covers = [&](const Exception& exception) {
    if (exception.v4) {
      return literal && address.is_v4() &&
             ip::network_v4(address.to_v4(), exception.v4->prefix_length()).canonical() ==
                 *exception.v4;
    }
    if (exception.v6) {
      return literal && address.is_v6() &&
             ip::network_v6(address.to_v6(), exception.v6->prefix_length()).canonical() ==
                 *exception.v6;
    }
    if (exception.host.empty() || (exception.port != 0 && exception.port != port)) return false;
    return host == exception.host || absl::EndsWith(text::View(host), "." + exception.host);
  };
  return std::any_of(exceptions_.begin(), exceptions_.end(), covers) ? nullptr : &*proxy;
}

}  // namespace http_client
