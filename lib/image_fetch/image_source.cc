#include "image_fetch/image_source.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/strip.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "http_client/url.h"
#include "text/str_cat.h"
#include "text/url.h"
#include "text/utf8.h"

namespace image_fetch {
namespace {

bool HasScheme(std::string_view uri, std::string_view scheme) {
  return absl::StartsWithIgnoreCase(text::View(uri), text::View(scheme));
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
      *file = text::PercentDecode(field.substr(2), /*plus_is_space=*/true);
      return true;
    }
    rest.remove_prefix(std::min(rest.size(), field.size() + 1));
  }
  return false;
}

// A path of Label Studio's ("/data/upload/1/x.jpg", escaped): read from the root or asked from
// Label Studio.
ImageSource OnLabelStudio(std::string_view path, const label_studio_api::LabelStudioSite& site,
                          bool has_local_files_root) {
  std::string file;
  if (has_local_files_root && IsLocalFile(path, &file)) {
    return {SourceKind::kLocalFile, std::move(file)};
  }
  return {SourceKind::kLabelStudio, text::StrCat(site.url, path)};
}

}  // namespace

absl::StatusOr<ImageSource> ClassifyUri(std::string_view raw,
                                        const label_studio_api::LabelStudioSite& site,
                                        bool has_local_files_root) {
  const std::string_view uri = text::StdView(absl::StripAsciiWhitespace(text::View(raw)));
  if (uri.empty()) return absl::InvalidArgumentError("the image's address is empty");
  if (HasScheme(uri, "data:")) return ImageSource{SourceKind::kData, std::string(uri)};
  for (const std::string_view scheme : {"s3://", "gs://", "azure-blob://"}) {
    if (HasScheme(uri, scheme)) return ImageSource{SourceKind::kObjectStore, std::string(uri)};
  }
  if (uri.front() == '/' && uri.substr(0, 2) != "//") {
    const std::string escaped = text::EscapePath(uri.substr(0, uri.find('#')));
    const std::string_view path = label_studio_api::WithoutSitePath(site, escaped);
    ImageSource source = OnLabelStudio(path, site, has_local_files_root);
    if (site.url.empty() && source.kind != SourceKind::kLocalFile) {
      return absl::FailedPreconditionError(
          text::StrCat(http_client::RedactUri(uri),
                       " is on Label Studio, whose address is not known; start the "
                       "gateway with --label_studio_url"));
    }
    return source;
  }
  if (!HasScheme(uri, "http://") && !HasScheme(uri, "https://")) {
    return absl::InvalidArgumentError(text::StrCat(
        "'", http_client::RedactUri(uri),
        "' is not an address that can be fetched; known: http(s)://, /data/..., data:, "
        "s3://, gs://, azure-blob://"));
  }
  const absl::StatusOr<std::string> normalized = http_client::NormalizeUrl(uri);
  const std::string url = normalized.ok() ? *normalized : "";
  const std::optional<text::HttpUrl> parsed = text::SplitHttpUrl(url);
  if (!parsed) {
    return absl::InvalidArgumentError(
        text::StrCat("'", http_client::RedactUri(uri), "' is not a valid URL"));
  }
  if (parsed->authority.has_userinfo) {
    return absl::InvalidArgumentError(
        text::StrCat("'", http_client::RedactUri(uri),
                     "' has a user name or password in it, which is not accepted"));
  }
  if (const std::optional<std::string> path = label_studio_api::PathOnSite(site, url)) {
    return OnLabelStudio(*path, site, has_local_files_root);
  }
  return ImageSource{SourceKind::kHttp, url};
}

absl::StatusOr<std::string> DecodeDataUri(std::string_view uri, std::int64_t max_bytes) {
  const std::size_t comma = uri.find(',');
  if (comma == std::string_view::npos) {
    return absl::InvalidArgumentError("the data URI has no comma before its content");
  }
  const std::string_view kind = uri.substr(0, comma);
  const bool base64 = absl::EndsWithIgnoreCase(text::View(kind), ";base64");
  const std::string_view content = uri.substr(comma + 1);
  // Each byte takes at most three characters, in base64 at least four thirds.
  if (static_cast<std::int64_t>(content.size()) / 4 > max_bytes) {
    return absl::InvalidArgumentError(
        text::StrCat("the data URI is larger than the limit of ", max_bytes, " bytes"));
  }
  std::string bytes = text::PercentDecode(content, /*plus_is_space=*/false);
  if (base64) {
    std::string decoded;
    if (!absl::Base64Unescape(bytes, &decoded) && !absl::WebSafeBase64Unescape(bytes, &decoded)) {
      return absl::InvalidArgumentError("the data URI's content is not base64");
    }
    bytes = std::move(decoded);
  }
  if (static_cast<std::int64_t>(bytes.size()) > max_bytes) {
    return absl::InvalidArgumentError(
        text::StrCat("the data URI is larger than the limit of ", max_bytes, " bytes"));
  }
  return bytes;
}

}  // namespace image_fetch
