#include "http_client/s3_access.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_split.h>
#include <absl/strings/string_view.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "files/text_file.h"
#include "http_client/url.h"
#include "text/str_cat.h"
#include "text/url.h"

namespace http_client {
namespace {

constexpr std::size_t kMaxProfileBytes = std::size_t{1} << 20;

// The first of the variables that is set and not empty.
std::string Environment(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  }
  return "";
}

// Values of one [section] of the files that AWS's tools share.
void ReadProfile(const std::string& path, std::string_view section, S3Access* access) {
  const absl::StatusOr<std::string> file = files::ReadText(path, kMaxProfileBytes);
  if (!file.ok()) return;  // not everybody has both files
  bool inside = false;
  for (const absl::string_view line : absl::StrSplit(*file, '\n')) {
    const std::string text(absl::StripAsciiWhitespace(line));
    if (text.empty() || text[0] == '#' || text[0] == ';') continue;
    if (text[0] == '[') {
      inside = text == text::StrCat("[", section, "]");
      continue;
    }
    const std::size_t equals = text.find('=');
    if (!inside || equals == std::string::npos) continue;
    const std::string key(absl::StripAsciiWhitespace(text.substr(0, equals)));
    const std::string value(absl::StripAsciiWhitespace(text.substr(equals + 1)));
    if (key == "aws_access_key_id") access->access_key_id = value;
    if (key == "aws_secret_access_key") access->secret_access_key = value;
    if (key == "aws_session_token") access->session_token = value;
    if (key == "region") access->region = value;
    if (key == "endpoint_url") access->endpoint = value;
  }
}

}  // namespace

S3Access S3AccessFromEnvironment() {
  S3Access access;
  std::string profile = Environment({"AWS_PROFILE", "AWS_DEFAULT_PROFILE"});
  if (profile.empty()) profile = "default";
  const std::string home = Environment({"HOME"}) + "/.aws";
  std::string config = Environment({"AWS_CONFIG_FILE"});
  if (config.empty()) config = home + "/config";
  std::string credentials = Environment({"AWS_SHARED_CREDENTIALS_FILE"});
  if (credentials.empty()) credentials = home + "/credentials";
  ReadProfile(config, profile == "default" ? profile : text::StrCat("profile ", profile), &access);
  ReadProfile(credentials, profile, &access);

  const std::string key = Environment({"AWS_ACCESS_KEY_ID"});
  const std::string secret = Environment({"AWS_SECRET_ACCESS_KEY"});
  if (!key.empty() && !secret.empty()) {
    access.access_key_id = key;
    access.secret_access_key = secret;
    access.session_token = Environment({"AWS_SESSION_TOKEN"});
  }
  if (access.access_key_id.empty() || access.secret_access_key.empty()) return S3Access();
  const std::string region = Environment({"AWS_REGION", "AWS_DEFAULT_REGION"});
  if (!region.empty()) access.region = region;
  const std::string endpoint = Environment({"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"});
  if (!endpoint.empty()) access.endpoint = endpoint;
  return access;
}

absl::StatusOr<std::string> S3Url(const S3Access& s3, std::string_view uri) {
  const std::string_view rest = uri.substr(uri.find("://") + 3);
  const std::size_t slash = rest.find('/');
  const std::string_view bucket = rest.substr(0, slash);
  const std::string_view key = slash == std::string_view::npos ? "" : rest.substr(slash + 1);
  const bool plain = !bucket.empty() && std::all_of(bucket.begin(), bucket.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_';
  });
  if (!plain || key.empty()) {
    return absl::InvalidArgumentError(
        text::StrCat("'", RedactUri(uri), "' is not of the form s3://bucket/key"));
  }
  const std::string escaped = text::PercentEncode(key, "/");
  if (!s3.endpoint.empty()) {
    return text::StrCat(text::WithoutTrailingSlashes(s3.endpoint), "/", bucket, "/", escaped);
  }
  // A dot in the name would not match the certificate's wildcard.
  const bool as_host = bucket.find_first_of("._") == std::string_view::npos &&
                       absl::AsciiStrToLower(text::View(bucket)) == text::View(bucket);
  if (as_host) {
    return text::StrCat("https://", bucket, ".s3.", s3.region, ".amazonaws.com/", escaped);
  }
  return text::StrCat("https://s3.", s3.region, ".amazonaws.com/", bucket, "/", escaped);
}

}  // namespace http_client
