// What can be asked of the gateway itself: GET /health for Label Studio, the rest for operators.
// None of it waits.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <mutex>

#include "gateway/endpoints/gateway.h"
#include "gateway/endpoints/metrics.h"
#include "label_studio/generate.h"
#include "serving/version.h"
#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

namespace json = boost::json;
using boost::beast::http::verb;
using http::Context;
using http::Request;
using http::Response;

json::object ToJson(const backends::BackendHealth& health) {
  json::object object = {{"replicas", health.replicas}, {"reachable", health.reachable}};
  if (!health.error.empty()) object["error"] = health.error;
  // More than one: they are being rolled.
  json::object& versions = object["versions"].emplace_object();
  for (const auto& [version, replicas] : health.versions) versions[version] = replicas;
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

json::object Describe(const Gateway& gateway, const prelabel::Profile& profile) {
  json::object object = {{"detector", Describe(profile.detector.get())},
                         {"segmenter", Describe(profile.segmenter.get())}};
  const std::vector<std::string> versions = gateway.VersionsOf(profile);
  object["model_version"] = versions.empty() ? json::value(nullptr) : json::value(versions.front());
  object["score_threshold"] = profile.settings.score_threshold;
  return object;
}

Response Root(Gateway& gateway, const Request&, Context& context) {
  const prelabel::Profile& asked = gateway.ProfileOf(context);
  json::object body = Describe(gateway, asked);
  const std::chrono::duration<double> uptime = std::chrono::steady_clock::now() - gateway.started;
  body["service"] = "duet-gateway";
  body["version"] = serving::Version();
  body["status"] = "UP";
  body["uptime_s"] = static_cast<std::int64_t>(uptime.count());
  if (asked.name.empty()) {
    json::object& profiles = body["profiles"].emplace_object();
    for (const auto& [name, profile] : gateway.profiles.all()) {
      if (!name.empty()) profiles[name] = Describe(gateway, profile);
    }
  }
  return http::JsonResponse(body);
}

Response Ready(Gateway& gateway, const Request&, Context&) {
  const prelabel::Profile& profile = gateway.profiles.default_profile();
  if (!gateway.ready) return http::ErrorResponse(503, "The gateway is starting or draining.");
  if (!prelabel::Serving(profile)) {
    const bool detector = profile.detector && !profile.detector->model();
    const auto health = detector ? profile.detector->health() : profile.segmenter->health();
    return http::ErrorResponse(
        503,
        text::StrCat("Waiting for the ", detector ? "detector" : "segmenter", ": ", health.error));
  }
  return http::JsonResponse(json::object{{"status", "ready"}});
}

// The fetcher counts by itself.
void CountImages(Gateway& gateway) {
  static std::mutex mutex;  // of two scrapes at once, the second has nothing left to add
  const std::lock_guard lock(mutex);
  const image_fetch::ImageFetcher::Stats stats = gateway.fetcher.stats();
  const auto raise = [](prometheus::Counter& counter, std::int64_t total) {
    counter.Increment(std::max(0.0, static_cast<double>(total) - counter.Value()));
  };
  raise(gateway.metrics.Get(kImages, {"hit"}), stats.cache_hits);
  raise(gateway.metrics.Get(kImages, {"failure_hit"}), stats.negative_hits);
  raise(gateway.metrics.Get(kImages, {"unchanged"}), stats.revalidated);
  raise(gateway.metrics.Get(kImages, {"miss"}), stats.cache_misses);
  raise(gateway.metrics.Get(kImageTransfers), stats.transfers);
  gateway.metrics.Get(kImageCacheBytes).Set(static_cast<double>(stats.cache_bytes));
}

Response LabelConfig(Gateway& gateway, const Request&, Context& context) {
  const prelabel::Profile& profile = gateway.ProfileOf(context);
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
  // What label-studio-ml-backend says; Label Studio only looks whether it is JSON.
  const Response up = http::JsonResponse(json::object{{"status", "UP"}, {"model_class", "Duet"}});
  router.AddQuick(verb::get, "/health", [up](const Request&, Context&) { return up; });
  router.AddQuick(verb::get, "/livez", [up](const Request&, Context&) { return up; });
  router.AddQuick(verb::get, "/readyz", WithGateway(gateway, Ready));
  router.AddQuick(verb::get, "/", WithGateway(gateway, Root));
  router.AddQuick(verb::get, "/label-config", WithGateway(gateway, LabelConfig));
  router.AddQuick(verb::get, "/openapi.json",
                  [](const Request&, Context&) { return Response{.body = std::string(kOpenApi)}; });
  router.AddQuick(verb::get, "/metrics", [&gateway](const Request&, Context&) {
    CountImages(gateway);
    return Response{.body = gateway.metrics.Text(), .content_type = serving::Metrics::kTextType};
  });
}

}  // namespace gateway::endpoints
