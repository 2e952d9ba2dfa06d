#include "gateway/http/router.h"

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include <stdexcept>
#include <utility>

#include "text/url.h"

namespace gateway::http {
namespace {

using boost::beast::http::verb;

std::vector<std::string> Segments(std::string_view path) {
  return absl::StrSplit(std::string(path), '/', absl::SkipEmpty());
}

// The number of characters of `path` before the segments that match `pattern`, or nothing if its
// end doesn't match. Empty segments and a slash at the end don't count.
std::optional<std::size_t> MatchTail(std::string_view path,
                                     const std::vector<std::string>& pattern) {
  path = text::WithoutTrailingSlashes(path);
  for (auto want = pattern.rbegin(); want != pattern.rend(); ++want) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string_view::npos) return std::nullopt;
    if (want->front() != '{' && *want != path.substr(slash + 1)) return std::nullopt;
    path = text::WithoutTrailingSlashes(path.substr(0, slash));
  }
  return path.size();
}

}  // namespace

void Router::Add(verb method, std::string_view pattern, Handler handler) {
  AddRoute(method, pattern, std::move(handler));
}

void Router::AddQuick(verb method, std::string_view pattern, QuickHandler handler) {
  AddRoute(method, pattern, std::move(handler));
}

void Router::AddRoute(verb method, std::string_view pattern,
                      std::variant<Handler, QuickHandler> handler) {
  if (sealed_) throw std::logic_error(absl::StrCat("a route after Seal: ", std::string(pattern)));
  routes_.push_back({method, std::string(pattern), std::move(handler), Segments(pattern)});
}

void Router::Seal(const std::function<void(Route&)>& change) {
  sealed_ = true;
  for (Route& route : routes_) change(route);
}

std::variant<const Route*, Response> Router::Find(const Request& request, Context& context) const {
  const verb method = request.method == verb::head ? verb::get : request.method;
  const std::string_view path = request.path;
  std::vector<std::string> allowed;
  for (const Route& route : routes_) {
    const auto prefix = MatchTail(path, route.segments);
    if (!prefix || !known_(path.substr(0, *prefix), route)) continue;
    context.route = route.pattern;
    context.prefix = std::string(path.substr(0, *prefix));
    if (route.method != method) {
      const auto name = boost::beast::http::to_string(route.method);
      allowed.emplace_back(name.data(), name.size());
      continue;
    }
    if (route.gate) {
      if (auto refusal = route.gate(request, context)) return *std::move(refusal);
    }
    return &route;
  }
  if (!allowed.empty()) {
    const std::string list = absl::StrJoin(allowed, ", ");
    Response response = ErrorResponse(405, absl::StrCat(context.route, " takes ", list, "."));
    response.headers.emplace_back("Allow", list);
    return response;
  }
  return ErrorResponse(404, absl::StrCat("There is nothing at ",
                                         absl::CHexEscape(request.path.substr(0, 200)), "."));
}

}  // namespace gateway::http
