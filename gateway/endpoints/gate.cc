#include "gateway/endpoints/gate.h"

#include <absl/strings/str_join.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "gateway/endpoints/route_policy.h"
#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

http::Response UnknownProfile(const prelabel::Profiles& profiles, std::string_view prefix) {
  std::vector<std::string> names;
  for (const auto& [name, profile] : profiles.all()) {
    if (!name.empty()) names.push_back(name);
  }
  return http::ErrorResponse(
      404, text::StrCat("There is no profile \"", prelabel::ProfileName(prefix).value_or(""), "\"",
                        names.empty() ? "; --profiles names none."
                                      : "; there are: " + absl::StrJoin(names, ", ") + "."));
}

// 403 for who isn't at this machine; for where nobody is asked for a password.
std::optional<http::Response> RefuseElsewhere(const http::Request& request,
                                              const http::Context& context,
                                              const http::OwnNames& own) {
  constexpr std::string_view kPassword =
      "--basic_auth_user shows it to those who have the password.";
  if (const char* const field = ForwardedBy(request)) {
    return http::ErrorResponse(
        403, text::StrCat("The request came through a proxy (", field,
                          "), and what people's projects do is shown to this machine alone; ",
                          kPassword));
  }
  if (IsThisMachine(context.peer) && http::IsCalledByOwnName(request, own)) return std::nullopt;
  return http::ErrorResponse(
      403,
      text::StrCat("What people's projects do is shown to this machine alone, by an address of "
                   "its own or as localhost; ",
                   kPassword));
}

}  // namespace

void AddGates(Application& app, http::Router& router) {
  router.Seal([&app, auth = app.auth](http::Route& route) {
    const RoutePolicy* const policy = PolicyOf(route.method, route.pattern);
    if (policy == nullptr) throw std::logic_error(route.pattern + " is not in route_policy.cc");
    route.body = {.max_bytes = policy->max_body_bytes, .from_anybody = !policy->needs_credentials};
    route.gate = [&app, policy, auth = policy->needs_credentials ? auth : nullptr](
                     const http::Request& request,
                     const http::Context& context) -> std::optional<http::Response> {
      if (auto refusal = RefuseCrossSite(*policy, request, app.options.own_names)) {
        return refusal;
      }
      // First, since it logs whom it refuses.
      if ((policy->trains && app.trainings.enabled()) || policy->tells_annotations ||
          policy->embeds) {
        if (auto refusal = app.training_door.Refuse(request, context)) return refusal;
      }
      if (auth != nullptr && !auth->Accepts(request.Header("Authorization"))) {
        return MissingCredentials();
      }
      if (policy->tells_projects && auth == nullptr) {
        if (auto refusal = RefuseElsewhere(request, context, app.options.own_names)) return refusal;
      }
      if (app.profiles.ForPrefix(context.prefix) == nullptr) {
        return UnknownProfile(app.profiles, context.prefix);
      }
      return RefuseContentType(*policy, request);
    };
  });
}

}  // namespace gateway::endpoints
