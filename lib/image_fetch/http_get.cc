#include "image_fetch/http_get.h"

#include <absl/status/status.h>
#include <absl/strings/match.h>

#include <optional>
#include <utility>

#include "http_client/transfer.h"
#include "http_client/url.h"
#include "label_studio_api/label_studio_site.h"
#include "label_studio_api/label_studio_tokens.h"
#include "text/str_cat.h"

namespace image_fetch {
namespace {

using http_client::HttpRequest;
using http_client::HttpResponse;
using label_studio_api::LabelStudioSite;

// Where the answer came from, if that isn't where the task pointed.
std::string AskedAt(const Download& download, const std::string& url) {
  const std::string origin = http_client::Origin(url);
  if (origin.empty() || origin == http_client::Origin(download.request.uri)) return "";
  return text::StrCat(" (asked at ", origin, ")");
}

// Label Studio answered 401 to a request with its token, or sent it to the login page.
absl::Status TokenRefused(const Download& download, const std::string& url) {
  const std::string shown = http_client::RedactUri(download.request.uri);
  const std::string where = AskedAt(download, url);
  const LabelStudioSite& site = download.request.label_studio;
  // A token needs the address of which the operator says that it may go there.
  const std::string_view flags =
      site.trusted ? "--label_studio_api_key" : "--label_studio_url and --label_studio_api_key";
  switch (label_studio_api::ClassifyToken(site.Token())) {
    case label_studio_api::TokenKind::kNone:
      return absl::UnauthenticatedError(text::StrCat(shown, ": Label Studio wants a token", where,
                                                     "; start the gateway with ", flags));
    case label_studio_api::TokenKind::kLegacy:
      return absl::UnauthenticatedError(
          text::StrCat(shown, ": Label Studio refused the legacy token", where,
                       "; these are off by default: make a personal access token under Account & "
                       "Settings and set ",
                       flags));
    default:
      return absl::UnauthenticatedError(
          text::StrCat(shown, ": Label Studio refused the token", where,
                       "; make a new one under Account & Settings and set ", flags));
  }
}

// What a status that brings no image means. `with_token`: Label Studio was asked for one of its own
// images; `not_found_remedy` as in GetOptions.
absl::Status ErrorOf(const Download& download, const std::string& url, int status,
                     bool with_token = false, std::string_view not_found_remedy = "") {
  if (with_token && status == 401) return TokenRefused(download, url);
  const std::string shown = http_client::RedactUri(download.request.uri);
  const std::string where = AskedAt(download, url);
  if (status == 401 || status == 403) {
    return absl::PermissionDeniedError(text::StrCat(shown, " is not accessible: ", status, where));
  }
  if (status == 404 || status == 410) {
    return absl::NotFoundError(
        text::StrCat(shown, " was not found: ", status, where, with_token ? not_found_remedy : ""));
  }
  if (status == 408 || status == 425 || status == 429 || status >= 500) {
    return absl::UnavailableError(text::StrCat(
        shown, " can't be had now: ", status, where,
        with_token && status == 500 ? "; Label Studio says so for a missing upload too" : ""));
  }
  return absl::InvalidArgumentError(text::StrCat(shown, " can't be fetched: ", status, where));
}

bool HasImage(const Download& download, const HttpResponse& response) {
  return response.status == 200 || (response.status == 304 && download.stale);
}

LoadedImage ImageIn(HttpResponse response) {
  LoadedImage loaded;
  loaded.not_modified = response.status == 304;
  loaded.bytes = std::move(response.body);
  loaded.validators = {std::move(response.etag), std::move(response.last_modified)};
  return loaded;
}

}  // namespace

bool IsRedirect(int http_status) {
  return http_status == 301 || http_status == 302 || http_status == 303 || http_status == 307 ||
         http_status == 308;
}

HttpRequest MakeImageRequest(const Download& download, const FetchContext& context,
                             const std::string& url) {
  HttpRequest request;
  request.url = url;
  request.deadline = download.deadline;
  request.connect_timeout = context.options.connect_timeout;
  request.max_bytes = context.options.max_bytes;
  if (download.stale) {
    const Validators& validators = download.stale->validators;
    if (!validators.etag.empty()) {
      request.headers.push_back("If-None-Match: " + validators.etag);
    } else if (!validators.last_modified.empty()) {
      request.headers.push_back("If-Modified-Since: " + validators.last_modified);
    }
  }
  return request;
}

absl::StatusOr<LoadedImage> TakeImage(const Download& download, const std::string& url,
                                      HttpResponse response) {
  if (!HasImage(download, response)) return ErrorOf(download, url, response.status);
  return ImageIn(std::move(response));
}

boost::asio::awaitable<absl::StatusOr<LoadedImage>> GetImage(std::shared_ptr<Download> download,
                                                             FetchContext& context, std::string url,
                                                             GetOptions options) {
  const LabelStudioSite& site = download->request.label_studio;
  bool on_site = options.on_site;
  for (int redirects = 0; redirects <= context.options.max_redirects; ++redirects) {
    if (download->abandoned()) co_return absl::CancelledError("the fetch was cancelled");
    HttpRequest request = MakeImageRequest(*download, context, url);
    const label_studio_api::Permit permit =
        on_site ? label_studio_api::PermitFor(site, url) : label_studio_api::Permit{};
    on_site = permit.on_site;
    request.trusted = permit.trusted;
    auto exchange = permit.token
                        ? context.tokens.Perform(site, std::move(request), &download->exchange)
                        : context.loop.Perform(std::move(request), &download->exchange);
    absl::StatusOr<HttpResponse> response = co_await std::move(exchange);
    if (absl::IsPermissionDenied(response.status()) && on_site) {
      co_return label_studio_api::NotNamed(site);
    }
    if (!response.ok()) co_return response.status();
    if (!IsRedirect(response->status) || response->redirect_url.empty()) {
      if (HasImage(*download, *response)) co_return ImageIn(*std::move(response));
      co_return ErrorOf(*download, url, response->status, permit.token, options.not_found_remedy);
    }
    if (permit.token && absl::StrContains(response->redirect_url, "/user/login")) {
      co_return TokenRefused(*download, url);
    }
    absl::StatusOr<std::string> next = http_client::NormalizeUrl(response->redirect_url);
    if (!next.ok()) {
      co_return absl::InvalidArgumentError(text::StrCat(
          http_client::RedactUri(download->request.uri), " redirects to '",
          http_client::RedactUri(response->redirect_url), "', which is not a valid URL"));
    }
    url = *std::move(next);
    if (const std::optional<std::string> path = label_studio_api::PathOnSite(site, url);
        on_site && path) {
      url = text::StrCat(site.url, *path);  // Label Studio may redirect to an alias of its own
    }
  }
  co_return absl::InvalidArgumentError(text::StrCat(http_client::RedactUri(download->request.uri),
                                                    " redirects more than ",
                                                    context.options.max_redirects, " times"));
}

}  // namespace image_fetch
