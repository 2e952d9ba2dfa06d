#include "gateway/media/image_source.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/strip.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "gateway/media/url.h"
#include "gateway/text.h"
#include "text/utf8.h"

namespace gateway::media {
namespace {

constexpr std::size_t kRedactedLength = 200;

bool HasScheme(std::string_view uri, std::string_view scheme) {
  return absl::StartsWithIgnoreCase(View(uri), View(scheme));
}

// "imgs/a.jpg" of "/data/local-files/?d=imgs/a.jpg"; false for any other path.
bool IsLocalFile(std::string_view path, std::string* file) {
  constexpr std::string_view kPrefix = "/data/local-files";
  if (path.substr(0, kPrefix.size()) != kPrefix) return false;
  const std::size_t query = path.find('?');
  if (query == std::string_view::npos) return false;
  for (std::string_view rest = path.substr(query + 1); !rest.empty();) {
    const std::string_view field = rest.substr(0, rest.find('&'));
    if (field.substr(0, 2) == "d=") {
      *file = PercentDecode(field.substr(2), /*plus_is_space=*/true);
      return true;
    }
    rest.remove_prefix(std::min(rest.size(), field.size() + 1));
  }
  return false;
}

// A path of Label Studio's ("/data/upload/1/x.jpg", escaped): read from the root or asked from
// Label Studio.
ImageSource OnLabelStudio(std::string_view path, const LabelStudioSite& site,
                          bool has_local_files_root) {
  std::string file;
  if (has_local_files_root && IsLocalFile(path, &file)) {
    return {SourceKind::kLocalFile, std::move(file)};
  }
  return {SourceKind::kLabelStudio, StrCat(site.url, path)};
}

}  // namespace

absl::StatusOr<ImageSource> ClassifyUri(std::string_view raw, const LabelStudioSite& site,
                                        bool has_local_files_root) {
  const std::string_view uri = StdView(absl::StripAsciiWhitespace(View(raw)));
  if (uri.empty()) return absl::InvalidArgumentError("the image's address is empty");
  if (HasScheme(uri, "data:")) return ImageSource{SourceKind::kData, std::string(uri)};
  for (const std::string_view scheme : {"s3://", "gs://", "azure-blob://"}) {
    if (HasScheme(uri, scheme)) return ImageSource{SourceKind::kObjectStore, std::string(uri)};
  }
  if (uri.front() == '/' && uri.substr(0, 2) != "//") {
    const std::string escaped = EscapePath(uri.substr(0, uri.find('#')));
    const std::string_view path = WithoutSitePath(site, escaped);
    ImageSource source = OnLabelStudio(path, site, has_local_files_root);
    if (site.url.empty() && source.kind != SourceKind::kLocalFile) {
      return absl::FailedPreconditionError(
          StrCat(RedactUri(uri),
                 " is on Label Studio, whose address is not known; start the "
                 "gateway with --label_studio_url"));
    }
    return source;
  }
  if (!HasScheme(uri, "http://") && !HasScheme(uri, "https://")) {
    return absl::InvalidArgumentError(
        StrCat("'", RedactUri(uri),
               "' is not an address that can be fetched; known: http(s)://, /data/..., data:, "
               "s3://, gs://, azure-blob://"));
  }
  const absl::StatusOr<std::string> normalized = NormalizeUrl(uri);
  const std::string url = normalized.ok() ? *normalized : "";
  const std::optional<SplitUrl> parsed = Split(url);
  if (!parsed) {
    return absl::InvalidArgumentError(StrCat("'", RedactUri(uri), "' is not a valid URL"));
  }
  if (parsed->authority.has_userinfo) {
    return absl::InvalidArgumentError(
        StrCat("'", RedactUri(uri), "' has a user name or password in it, which is not accepted"));
  }
  if (const std::optional<std::string> path = PathOnSite(site, url)) {
    return OnLabelStudio(*path, site, has_local_files_root);
  }
  return ImageSource{SourceKind::kHttp, url};
}

std::string Origin(std::string_view url) {
  const std::optional<SplitUrl> parsed = Split(url);
  if (!parsed) return "";
  std::string_view port = parsed->authority.port;
  if (port.empty()) port = parsed->https ? "443" : "80";
  return StrCat(parsed->https ? "https" : "http", "://",
                absl::AsciiStrToLower(View(parsed->authority.host)), ":", port);
}

std::string RedactUri(std::string_view uri) {
  std::string_view shown = uri.substr(0, uri.find_first_of(HasScheme(uri, "data:") ? ";," : "?#"));
  std::string text;
  // Credentials: what stands before the last @ of the authority.
  const std::size_t slashes = shown.find("://");
  if (slashes != std::string_view::npos) {
    const std::size_t authority = slashes + 3;
    const std::size_t end = std::min(shown.find('/', authority), shown.size());
    const std::size_t at = shown.substr(0, end).rfind('@');
    if (at != std::string_view::npos && at >= authority) {
      text = StrCat(shown.substr(0, authority), shown.substr(at + 1));
      shown = text;
    }
  }
  std::string redacted = text::ToUtf8(text::Utf8Prefix(shown, kRedactedLength));
  if (shown.size() > kRedactedLength) redacted += "...";
  for (char& c : redacted) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = '?';
  }
  return redacted;
}

std::string PercentDecode(std::string_view text, bool plus_is_space) {
  const auto digit = [](char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); };
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '%' && at + 2 < text.size() && digit(text[at + 1]) && digit(text[at + 2])) {
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
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || std::string_view("-._~").find(c) != std::string_view::npos ||
        keep.find(c) != std::string_view::npos) {
      encoded.push_back(c);
    } else {
      encoded.push_back('%');
      encoded.push_back("0123456789ABCDEF"[byte >> 4]);
      encoded.push_back("0123456789ABCDEF"[byte & 15]);
    }
  }
  return encoded;
}

absl::StatusOr<std::string> DecodeDataUri(std::string_view uri, std::int64_t max_bytes) {
  const std::size_t comma = uri.find(',');
  if (comma == std::string_view::npos) {
    return absl::InvalidArgumentError("the data URI has no comma before its content");
  }
  const std::string_view kind = uri.substr(0, comma);
  const bool base64 = absl::EndsWithIgnoreCase(View(kind), ";base64");
  const std::string_view content = uri.substr(comma + 1);
  // Each byte takes at most three characters, in base64 at least four thirds.
  if (static_cast<std::int64_t>(content.size()) / 4 > max_bytes) {
    return absl::InvalidArgumentError(
        StrCat("the data URI is larger than the limit of ", max_bytes, " bytes"));
  }
  std::string bytes = PercentDecode(content, /*plus_is_space=*/false);
  if (base64) {
    std::string decoded;
    if (!absl::Base64Unescape(bytes, &decoded) && !absl::WebSafeBase64Unescape(bytes, &decoded)) {
      return absl::InvalidArgumentError("the data URI's content is not base64");
    }
    bytes = std::move(decoded);
  }
  if (static_cast<std::int64_t>(bytes.size()) > max_bytes) {
    return absl::InvalidArgumentError(
        StrCat("the data URI is larger than the limit of ", max_bytes, " bytes"));
  }
  return bytes;
}

}  // namespace gateway::media
