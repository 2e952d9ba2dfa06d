#include "gateway/http/framing.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include <algorithm>

#include "text/authority.h"

namespace gateway::http {
namespace {

using boost::beast::http::field;

absl::string_view Text(boost::beast::string_view text) { return {text.data(), text.size()}; }

// Of somebody else's text, as much as a sentence bears.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, 100)), "\"");
}

}  // namespace

std::optional<std::string> FramingFault(const boost::beast::http::fields& fields,
                                        unsigned version) {
  const std::size_t hosts = fields.count(field::host);
  if (hosts > 1) return "the request has several Host fields";
  if (hosts == 0 && version == 11) return "the request has no Host field";
  const absl::string_view host = Text(fields[field::host]);
  // Empty is legal. A field that was continued on a second line is not.
  const auto authority = text::ParseAuthority({host.data(), host.size()});
  if (!authority || authority->has_userinfo) {
    return absl::StrCat("its Host is ", Quoted(host), "; needed: a host's name or address");
  }

  const std::size_t lengths = fields.count(field::content_length);
  const std::size_t codings = fields.count(field::transfer_encoding);
  if (codings > 0) {
    if (version == 10) return "an HTTP/1.0 request has a Transfer-Encoding";
    if (lengths > 0) return "the request has both a Content-Length and a Transfer-Encoding";
    const absl::string_view coding = Text(fields[field::transfer_encoding]);
    if (codings > 1 || !absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(coding), "chunked")) {
      return absl::StrCat("the Transfer-Encoding is ",
                          codings > 1 ? "given several times" : Quoted(coding),
                          "; understood: chunked");
    }
  }
  if (lengths > 1) return "the request has several Content-Length fields";
  if (lengths == 1) {
    const absl::string_view length = Text(fields[field::content_length]);
    if (length.empty() || !std::all_of(length.begin(), length.end(), absl::ascii_isdigit)) {
      return absl::StrCat("the Content-Length is ", Quoted(length), "; needed: a whole number");
    }
  }
  return std::nullopt;
}

}  // namespace gateway::http
