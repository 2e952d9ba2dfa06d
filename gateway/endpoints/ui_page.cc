#include "gateway/endpoints/ui_page.h"

#include <absl/strings/match.h>

#include <string>
#include <string_view>

#include "gateway/endpoints/routes.h"
#include "gateway/ui/ui_files.h"
#include "hash/fnv.h"
#include "text/str_cat.h"
#include "text/url.h"

namespace gateway::endpoints {
namespace {

using boost::beast::http::verb;
using http::Context;
using http::Request;
using http::Response;

// The page loads and asks nothing but this server, runs no script but its own, and is in no other
// page's frame.
constexpr char kContentSecurityPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string_view LastSegment(std::string_view path) {
  path = text::WithoutTrailingSlashes(path);
  return path.substr(path.rfind('/') + 1);
}

// To `page`, beside what `path` names. Relative, since a proxy may have put us below a path of its
// own.
Response Redirect(int status, std::string_view path, std::string_view page) {
  const std::string location =
      path.ends_with('/') ? std::string(page) : text::StrCat(LastSegment(path), "/", page);
  return {.status = status,
          .body = "",
          .content_type = "text/plain",
          .headers = {{"Location", location}, {"Vary", "Accept"}, {"Cache-Control", "no-store"}}};
}

Response Serve(const ui::UiFile& file, const Request& request) {
  const bool gzip = !file.gzip.empty() &&
                    absl::StrContains(text::View(request.Header("Accept-Encoding")), "gzip");
  const std::string_view bytes = gzip ? file.gzip : file.bytes;
  const std::string tag = text::StrCat("\"", hash::Fnv1a(bytes), "\"");
  Response response{.body = "", .content_type = std::string(file.content_type)};
  response.headers = {{"ETag", tag},
                      {"Cache-Control", "no-cache"},
                      {"Vary", "Accept-Encoding"},
                      {"Content-Security-Policy", kContentSecurityPolicy},
                      {"X-Content-Type-Options", "nosniff"},
                      {"Referrer-Policy", "no-referrer"}};
  if (absl::StrContains(text::View(request.Header("If-None-Match")), text::View(tag))) {
    response.status = 304;
    return response;
  }
  if (gzip) response.headers.emplace_back("Content-Encoding", "gzip");
  response.body = std::string(bytes);
  return response;
}

Response Page(const Request& request, Context&) {
  // What the page names lies beside it.
  if (!request.path.ends_with('/')) return Redirect(308, request.path, "");
  return Serve(*ui::FindUiFile("index.html"), request);
}

Response File(const Request& request, Context&) {
  const ui::UiFile* const file = ui::FindUiFile(LastSegment(request.path));
  if (file == nullptr) return http::ErrorResponse(404, "The page has no file of this name.");
  return Serve(*file, request);
}

}  // namespace

std::optional<Response> LeadToPage(const Request& request) {
  if (!absl::StrContains(text::View(request.Header("Accept")), "text/html")) return std::nullopt;
  return Redirect(303, request.path, "ui/");
}

void AddPage(http::Router& router) {
  router.AddQuick(verb::get, "/ui", Page);
  router.AddQuick(verb::get, "/ui/{file}", File);
}

}  // namespace gateway::endpoints
