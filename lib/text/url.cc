#include "text/url.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>

#include <algorithm>
#include <cstddef>

#include "text/str_cat.h"

namespace text {
namespace {

bool IsHexDigit(char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); }

// Whether an escape such as "%2F" is at `at`.
bool IsEscape(std::string_view text, std::size_t at) {
  return text[at] == '%' && at + 2 < text.size() && IsHexDigit(text[at + 1]) &&
         IsHexDigit(text[at + 2]);
}

void AppendEscape(char c, std::string* out) {
  const auto byte = static_cast<unsigned char>(c);
  out->push_back('%');
  out->push_back("0123456789ABCDEF"[byte >> 4]);
  out->push_back("0123456789ABCDEF"[byte & 15]);
}

}  // namespace

std::optional<HttpUrl> SplitHttpUrl(std::string_view url) {
  HttpUrl split;
  const std::size_t colon = std::min(url.find("://"), url.size());
  split.https = absl::EqualsIgnoreCase(View(url.substr(0, colon)), "https");
  if (!split.https && !absl::EqualsIgnoreCase(View(url.substr(0, colon)), "http")) {
    return std::nullopt;
  }
  if (colon == url.size()) return std::nullopt;
  url = url.substr(0, url.find('#'));
  const std::string_view rest = url.substr(colon + 3);
  const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
  const auto authority = ParseAuthority(rest.substr(0, end));
  if (!authority || authority->host.empty()) return std::nullopt;
  split.authority = *authority;
  split.target = rest.substr(end);
  if (EscapePath(split.target) != split.target) return std::nullopt;
  return split;
}

std::string EscapePath(std::string_view path) {
  std::string escaped;
  escaped.reserve(path.size());
  for (std::size_t at = 0; at < path.size(); ++at) {
    const char c = path[at];
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f ||
        std::string_view("\"<>[\\]^`{|}").find(c) != std::string_view::npos ||
        (c == '%' && !IsEscape(path, at))) {
      AppendEscape(c, &escaped);
    } else {
      escaped.push_back(c);
    }
  }
  return escaped;
}

std::string PercentDecode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (IsEscape(text, at)) {
      decoded += absl::HexStringToBytes(View(text.substr(at + 1, 2)));
      at += 2;
    } else {
      decoded.push_back(plus_is_space && text[at] == '+' ? ' ' : text[at]);
    }
  }
  return decoded;
}

std::string PercentEncode(std::string_view text, std::string_view keep) {
  std::string encoded;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
        std::string_view("-._~").find(c) != std::string_view::npos ||
        keep.find(c) != std::string_view::npos) {
      encoded.push_back(c);
    } else {
      AppendEscape(c, &encoded);
    }
  }
  return encoded;
}

std::string_view WithoutTrailingSlashes(std::string_view url_or_path) {
  while (url_or_path.ends_with('/')) url_or_path.remove_suffix(1);
  return url_or_path;
}

}  // namespace text
