// What can be asked of the gateway itself: GET /health for Label Studio, the rest for operators.
// None of it waits.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "gateway/handlers/gateway.h"
#include "gateway/label_studio/generate.h"
#include "gateway/text.h"

namespace gateway::handlers {
namespace {

namespace json = boost::json;
using boost::beast::http::verb;
using http::Context;
using http::Request;
using http::Response;

constexpr char kVersion[] = "0.1.0";

json::object ToJson(const backends::BackendHealth& health) {
  json::object object = {{"replicas", health.replicas}, {"reachable", health.reachable}};
  if (!health.reachable) object["error"] = health.error;
  return object;
}

template <typename Client>
json::value Describe(const Client* client) {
  if (client == nullptr) return nullptr;
  json::object object = ToJson(client->health());
  if (const auto model = client->model()) {
    object["name"] = model->name;
    object["version"] = model->version;
  }
  return object;
}

json::object Describe(const Profile& profile) {
  json::object object = {{"detector", Describe(profile.detector.get())},
                         {"segmenter", Describe(profile.segmenter.get())}};
  const auto version = ModelVersion(profile, profile.settings);
  object["model_version"] = version ? json::value(*version) : json::value(nullptr);
  object["score_threshold"] = profile.settings.score_threshold;
  return object;
}

Response Root(Gateway& gateway, const Request&, Context& context) {
  const Profile& asked = gateway.ProfileOf(context);
  json::object body = Describe(asked);
  const std::chrono::duration<double> uptime = std::chrono::steady_clock::now() - gateway.started;
  body["service"] = "duet-gateway";
  body["version"] = kVersion;
  body["status"] = "UP";
  body["uptime_s"] = static_cast<std::int64_t>(uptime.count());
  if (asked.name.empty()) {
    json::object& profiles = body["profiles"].emplace_object();
    for (const auto& [name, profile] : gateway.profiles.all()) {
      if (!name.empty()) profiles[name] = Describe(profile);
    }
  }
  return http::JsonResponse(body);
}

Response Ready(Gateway& gateway, const Request&, Context&) {
  const Profile& profile = gateway.profiles.default_profile();
  if (!gateway.ready) return http::ErrorResponse(503, "The gateway is starting or draining.");
  if (!ModelVersion(profile, profile.settings)) {
    const bool detector = profile.detector && !profile.detector->model();
    const auto health = detector ? profile.detector->health() : profile.segmenter->health();
    return http::ErrorResponse(
        503, StrCat("Waiting for the ", detector ? "detector" : "segmenter", ": ", health.error));
  }
  return http::JsonResponse(json::object{{"status", "ready"}});
}

Response LabelConfig(Gateway& gateway, const Request&, Context& context) {
  const Profile& profile = gateway.ProfileOf(context);
  if (!profile.detector)
    return http::ErrorResponse(404, "This backend URL has no detector, hence no classes.");
  const auto model = profile.detector->model();
  if (!model) {
    return http::ErrorResponse(absl::UnavailableError("the detector has not been heard of yet"));
  }
  Response response;
  response.body = label_studio::GenerateLabelConfig(model->classes);
  response.content_type = "application/xml; charset=utf-8";
  return response;
}

}  // namespace

void AddStatus(Gateway& gateway, http::Router& router) {
  const auto with_gateway = [&gateway](auto handler) {
    return [&gateway, handler](const Request& request, Context& context) {
      return handler(gateway, request, context);
    };
  };
  // What label-studio-ml-backend says; Label Studio only looks whether it is JSON.
  const Response up = http::JsonResponse(json::object{{"status", "UP"}, {"model_class", "Duet"}});
  router.AddQuick(verb::get, "/health", [up](const Request&, Context&) { return up; });
  router.AddQuick(verb::get, "/livez", [up](const Request&, Context&) { return up; });
  router.AddQuick(verb::get, "/readyz", with_gateway(Ready));
  router.AddQuick(verb::get, "/", with_gateway(Root));
  router.AddQuick(verb::get, "/label-config", with_gateway(LabelConfig));
  router.AddQuick(verb::get, "/metrics", [&gateway](const Request&, Context&) {
    return Response{.body = gateway.metrics.Text(), .content_type = serving::Metrics::kTextType};
  });
}

}  // namespace gateway::handlers
