#include "gateway/endpoints/gate.h"

#include <absl/strings/str_join.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "gateway/endpoints/operator_door.h"
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
      if (policy->for_operator && auth == nullptr) {
        if (auto refusal = RefuseElsewhere(request, context, app.options.own_names)) return refusal;
      }
      if (policy->tells_annotations && auth == nullptr) {
        if (auto refusal = RefuseOtherName(request, context, app.options.own_names)) return refusal;
      }
      if (app.profiles.ForPrefix(context.prefix) == nullptr) {
        return UnknownProfile(app.profiles, context.prefix);
      }
      return RefuseContentType(*policy, request);
    };
  });
}

}  // namespace gateway::endpoints
