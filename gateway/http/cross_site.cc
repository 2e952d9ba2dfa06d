#include "gateway/http/cross_site.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>

#include "text/authority.h"

namespace gateway::http {
namespace {

// "name:port" in lower case, without a scheme's own port.
struct Name {
  std::string name;
  std::string port;
  bool is_address = false;
  friend bool operator==(const Name& a, const Name& b) {
    return a.name == b.name && a.port == b.port;
  }
};

std::optional<Name> ParseName(std::string_view text, std::string_view own_port) {
  const auto parsed = text::ParseAuthority(text);
  if (!parsed || parsed->has_userinfo || parsed->host.empty()) return std::nullopt;
  return Name{.name = absl::AsciiStrToLower({parsed->host.data(), parsed->host.size()}),
              .port = parsed->port == own_port ? "" : std::string(parsed->port),
              .is_address = parsed->is_address};
}

bool IsNamed(const Name& host, const OwnNames& own) {
  return host.is_address || host.name == "localhost" || absl::EndsWith(host.name, ".localhost") ||
         std::find(own.names.begin(), own.names.end(), host.name) != own.names.end();
}

bool IsKnown(const Name& host, const OwnNames& own) { return own.any || IsNamed(host, own); }

}  // namespace

OwnNames OwnNamesOf(const std::vector<std::string>& names, const std::string& bind) {
  OwnNames own;
  for (const std::string& name : names) {
    if (const auto authority = ParseName(name, "")) own.names.push_back(authority->name);
  }
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(bind, error);
  own.any = own.names.empty() && !error && !address.is_loopback();
  return own;
}

std::optional<std::string> CrossSiteFault(const Request& request, const OwnNames& own) {
  const std::string_view origin = request.Header("Origin");
  const std::string_view site = request.Header("Sec-Fetch-Site");
  if (!site.empty() && site != "same-origin" && site != "none") {
    return "A web page of another site has sent this request (Sec-Fetch-Site); only programs and "
           "this server's own pages may.";
  }
  if (request.headers.count("Origin") == 0) return std::nullopt;

  const std::size_t colon = origin.find("://");
  const std::string_view scheme = origin.substr(0, colon);
  if (colon != origin.npos && (scheme == "http" || scheme == "https")) {
    const std::string_view own_port = scheme == "http" ? "80" : "443";
    const auto from = ParseName(origin.substr(colon + 3), own_port);
    const auto host = ParseName(request.Header("Host"), own_port);
    if (from && host && *from == *host) {
      if (IsKnown(*host, own)) return std::nullopt;
      return absl::StrCat("This server does not know itself as \"",
                          absl::CHexEscape(host->name.substr(0, 100)),
                          "\", by which a web page has addressed it; see --allowed_hosts.");
    }
  }
  return absl::StrCat(
      "A web page of another site (",
      absl::CHexEscape(absl::string_view(origin.data(), std::min<std::size_t>(origin.size(), 100))),
      ") has sent this request; only programs and this server's own pages may.");
}

bool IsCalledByOwnName(const Request& request, const OwnNames& own) {
  const auto host = ParseName(request.Header("Host"), "");
  return host && IsNamed(*host, own);
}

}  // namespace gateway::http
