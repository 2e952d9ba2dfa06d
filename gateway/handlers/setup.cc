// POST /setup and GET /versions: which model version a project gets. Never waits for a model.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "gateway/handlers/gateway.h"
#include "gateway/label_studio/task.h"
#include "gateway/text.h"

namespace gateway::handlers {
namespace {

using boost::beast::http::verb;
using http::Context;
using http::Request;
using http::Response;

Response Setup(Gateway& gateway, const Request& request, Context& context) {
  const Profile& profile = gateway.ProfileOf(context);
  const auto parsed = label_studio::ParseSetupRequest(request.body);
  if (!parsed.ok()) return http::ErrorResponse(parsed.status());
  auto settings = Refine(profile.settings, parsed->extra_params, /*strict=*/false);
  if (!settings.ok()) {
    return http::ErrorResponse(400, StrCat("extra_params: ", settings.status().message()));
  }
  if (!parsed->label_config.empty()) {
    const auto project = gateway.memory.Get(parsed->label_config, *settings);
    if (!project.ok())
      return http::ErrorResponse(400, StrCat("schema: ", project.status().message()));
  }
  const auto version = ModelVersion(profile, *settings);
  gateway.memory.Remember(
      Gateway::ProjectKey(profile, parsed->project_id),
      {.settings = *std::move(settings),
       .label_studio = {.url = parsed->hostname, .api_key = parsed->access_token}});
  if (!version) {
    return http::ErrorResponse(absl::UnavailableError("the models have not been heard of yet"));
  }
  return http::JsonResponse(boost::json::object{{"model_version", *version}});
}

Response Versions(Gateway& gateway, const Request&, Context& context) {
  const Profile& profile = gateway.ProfileOf(context);
  boost::json::array versions;
  if (const auto version = ModelVersion(profile, profile.settings)) versions.emplace_back(*version);
  return http::JsonResponse(boost::json::object{{"versions", std::move(versions)}});
}

}  // namespace

void AddSetup(Gateway& gateway, http::Router& router) {
  router.AddQuick(verb::post, "/setup", [&gateway](const Request& request, Context& context) {
    return Setup(gateway, request, context);
  });
  router.AddQuick(verb::get, "/versions", [&gateway](const Request& request, Context& context) {
    return Versions(gateway, request, context);
  });
}

}  // namespace gateway::handlers
