#include "http_client/url.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <curl/curl.h>
#include <locale.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "text/local_files.h"
#include "text/str_cat.h"
#include "text/url.h"
#include "text/utf8.h"

namespace http_client {
namespace {

constexpr std::size_t kRedactedLength = 200;

struct CurlUrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

// "" if the part is missing or can't be had.
std::string Part(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK || text == nullptr) return "";
  std::string copy = text;
  curl_free(text);
  return copy;
}

// While it lives, this thread's text is UTF-8: libidn2, which libcurl asks about international
// names, goes by the locale.
class Utf8Locale {
 public:
  Utf8Locale() : previous_(uselocale(Locale())) {}
  ~Utf8Locale() { uselocale(previous_); }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  static locale_t Locale() {
    static const locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    return utf8 == nullptr ? LC_GLOBAL_LOCALE : utf8;
  }

  const locale_t previous_;
};

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// Fields of a query that say which image is meant. Everything else may be a signature or a token.
bool SaysWhichImage(std::string_view path, std::string_view field) {
  if (field == "d") return text::IsLocalFilesPath(path);
  constexpr std::string_view kNames[] = {"file", "filename", "filepath", "image", "path", "id"};
  return std::find(std::begin(kNames), std::end(kNames), field) != std::end(kNames);
}

// Of the query at the beginning of `rest`, what stands behind `path`: "?d=a.jpg", or "".
std::string ShownQuery(std::string_view path, std::string_view rest) {
  std::string shown;
  if (!rest.starts_with('?')) return shown;
  rest = rest.substr(1, rest.find('#') - 1);
  while (!rest.empty() && shown.size() <= kRedactedLength) {
    const std::string_view field = rest.substr(0, rest.find('&'));
    const std::size_t equals = field.find('=');
    if (equals != std::string_view::npos && SaysWhichImage(path, field.substr(0, equals))) {
      text::StrAppend(&shown, shown.empty() ? "?" : "&", field);
    }
    rest.remove_prefix(std::min(rest.size(), field.size() + 1));
  }
  return shown;
}

}  // namespace

absl::StatusOr<UrlParts> ParseUrl(const std::string& url) {
  const std::unique_ptr<CURLU, CurlUrlDeleter> parsed(curl_url());
  const absl::Status invalid = absl::InvalidArgumentError("not a valid http(s) URL");
  if (parsed == nullptr ||
      curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_PATH_AS_IS) != CURLUE_OK) {
    return invalid;
  }
  UrlParts parts;
  parts.scheme = Part(parsed.get(), CURLUPART_SCHEME);
  const Utf8Locale utf8;
  unsigned flags = 0;
#ifdef CURLU_PUNYCODE  // since 7.88; before, an international name is refused below
  flags |= CURLU_PUNYCODE;
#endif
  parts.host = absl::AsciiStrToLower(Part(parsed.get(), CURLUPART_HOST, flags));
  if (parts.host.size() > 2 && parts.host.front() == '[' && parts.host.back() == ']') {
    parts.host = parts.host.substr(1, parts.host.size() - 2);
  }
  if ((parts.scheme != "http" && parts.scheme != "https") || parts.host.empty() ||
      !IsAscii(parts.host) ||
      !absl::SimpleAtoi(Part(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT), &parts.port)) {
    return invalid;
  }
  return parts;
}

absl::StatusOr<std::string> NormalizeUrl(std::string_view url) {
  url = url.substr(0, url.find('#'));
  const std::size_t start = url.find("://");
  if (start == std::string_view::npos) return absl::InvalidArgumentError("not an absolute URL");
  const std::size_t authority_at = start + 3;
  const std::size_t end = std::min(url.find_first_of("/?", authority_at), url.size());
  std::string authority(url.substr(authority_at, end - authority_at));
  if (!IsAscii(authority)) {
    const std::size_t host_at = authority.rfind('@') + 1;  // 0 if there is none
    const std::size_t host_end = std::min(authority.find(':', host_at), authority.size());
    const std::string host = authority.substr(host_at, host_end - host_at);
    const absl::StatusOr<UrlParts> parts = ParseUrl("http://" + host + "/");
    if (!parts.ok()) return parts.status();
    authority.replace(host_at, host_end - host_at, parts->host);
  }
  const std::string_view path = url.substr(end);
  return text::StrCat(url.substr(0, authority_at), authority, path.substr(0, 1) == "?" ? "/" : "",
                      text::EscapePath(path));
}

std::string Origin(std::string_view url) {
  const std::optional<text::HttpUrl> parsed = text::SplitHttpUrl(url);
  if (!parsed) return "";
  std::string_view port = parsed->authority.port;
  if (port.empty()) port = parsed->https ? "443" : "80";
  return text::StrCat(parsed->https ? "https" : "http", "://",
                      absl::AsciiStrToLower(text::View(parsed->authority.host)), ":", port);
}

std::string RedactUri(std::string_view uri) {
  const bool is_data = absl::StartsWithIgnoreCase(text::View(uri), "data:");
  const std::string_view path = uri.substr(0, uri.find_first_of(is_data ? ";," : "?#"));
  std::string text(path);
  // Credentials: what stands before the last @ of the authority.
  const std::size_t slashes = path.find("://");
  if (slashes != std::string_view::npos) {
    const std::size_t authority = slashes + 3;
    const std::size_t end = std::min(path.find('/', authority), path.size());
    const std::size_t at = path.substr(0, end).rfind('@');
    if (at != std::string_view::npos && at >= authority) text.erase(authority, at + 1 - authority);
  }
  if (!is_data) text += ShownQuery(path, uri.substr(path.size()));
  std::string redacted = text::ToUtf8(text::Utf8Prefix(text, kRedactedLength));
  if (text.size() > kRedactedLength) redacted += "...";
  for (char& c : redacted) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = '?';
  }
  return redacted;
}

}  // namespace http_client
