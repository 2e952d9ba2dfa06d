// What can be asked of the gateway itself: GET /health for Label Studio, the rest for operators.
// None of it waits.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/endpoints/metrics.h"
#include "gateway/endpoints/operator_door.h"
#include "gateway/endpoints/routes.h"
#include "gateway/endpoints/ui_page.h"
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

// What is served under names below the model root, by all replicas together: [{"name": "project-7",
// "stored_version": 3, "loaded": {"3": 2}, "error": "…"}].
json::array NamesToJson(const backends::BackendHealth& health) {
  std::map<std::string, json::object> names;
  for (const auto& [address, of_replica] : health.names) {
    for (const backends::NameStatus& status : of_replica) {
      json::object& name = names[status.name];
      if (name.empty()) {
        name = {{"name", status.name},
                {"stored_version", status.stored_version},
                {"loaded", json::object()}};
      }
      if (status.loaded_version != 0) {
        json::value& replicas = name["loaded"].get_object()[std::to_string(status.loaded_version)];
        replicas = replicas.is_null() ? 1 : replicas.get_int64() + 1;
      }
      if (!status.error.empty()) name["error"] = text::StrCat(address, ": ", status.error);
    }
  }
  json::array list;
  for (auto& [key, name] : names) list.push_back(std::move(name));
  return list;
}

json::object ToJson(const backends::BackendHealth& health) {
  json::object object = {{"replicas", health.replicas}, {"reachable", health.reachable}};
  if (!health.error.empty()) object["error"] = health.error;
  // More than one: they are being rolled.
  json::object& versions = object["versions"].emplace_object();
  for (const auto& [version, replicas] : health.versions) versions[version] = replicas;
  if (!health.names.empty()) object["names"] = NamesToJson(health);
  return object;
}

template <typename Client>
json::value Describe(Client* client) {
  if (client == nullptr) return nullptr;
  json::object object = ToJson(client->health());
  if (const auto model = client->model()) {
    object["name"] = model->name;
    object["version"] = model->version;
  }
  return object;
}

json::object Describe(const Application& app, const prelabel::Profile& profile) {
  json::object object = {{"detector", Describe(profile.detector.get())},
                         {"segmenter", Describe(profile.segmenter.get())}};
  const std::vector<std::string> versions = app.VersionsOf(profile);
  object["model_version"] = versions.empty() ? json::value(nullptr) : json::value(versions.front());
  object["score_threshold"] = profile.settings.score_threshold;
  return object;
}

// What /setup found suspect in label configs and extra_params, of all profiles. What it found for
// models that are served no more says nothing of those that are.
json::array Warnings(Application& app) {
  for (const auto& [name, profile] : app.profiles.all()) {
    if (prelabel::Serving(profile)) {
      app.memory.ForgetOtherWarnings(name, prelabel::AllVersions(profile));
    }
  }
  json::array warnings;
  for (const auto& [key, about, text] : app.memory.warnings()) {
    const std::size_t slash = key.find('/');  // a project's name may have one, a profile's not
    const bool of_config = about == prelabel::ProjectMemory::About::kLabelConfig;
    warnings.push_back(json::object{{"profile", key.substr(0, slash)},
                                    {"project", key.substr(slash + 1)},
                                    {"about", of_config ? "label_config" : "extra_params"},
                                    {"warning", text}});
  }
  return warnings;
}

// Which services of the profile don't answer, and why: /health stays UP, since Label Studio would
// take the whole backend away, also from what still works.
json::array Problems(const prelabel::Profile& profile) {
  json::array problems;
  const auto add = [&](std::string_view service, const auto* client) {
    if (client == nullptr) return;
    const backends::BackendHealth health = client->health();
    if (health.reachable) return;
    problems.push_back(json::object{
        {"service", json::string_view(service)},
        {"problem", health.error.empty() ? text::StrCat("the ", service, " has not been heard of")
                                         : health.error}});
  };
  add("detector", profile.detector.get());
  add("segmenter", profile.segmenter.get());
  return problems;
}

Response Root(Application& app, const Request& request, Context& context) {
  if (app.options.ui) {
    if (auto elsewhere = LeadToPage(request)) return *std::move(elsewhere);
  }
  const prelabel::Profile& asked = app.ProfileOf(context);
  json::object body = Describe(app, asked);
  const std::chrono::duration<double> uptime = std::chrono::steady_clock::now() - app.started;
  body["service"] = "duet-gateway";
  body["version"] = serving::Version();
  json::array problems = Problems(asked);
  body["status"] = problems.empty() ? "UP" : "DEGRADED";
  body["problems"] = std::move(problems);
  body["uptime_s"] = static_cast<std::int64_t>(uptime.count());
  if (asked.name.empty()) {
    const bool is_operator =
        app.auth != nullptr || !RefuseElsewhere(request, context, app.options.own_names);
    if (is_operator) body["warnings"] = Warnings(app);
    json::object& profiles = body["profiles"].emplace_object();
    for (const auto& [name, profile] : app.profiles.all()) {
      if (!name.empty()) profiles[name] = Describe(app, profile);
    }
  }
  Response response = http::JsonResponse(body);
  response.headers.emplace_back("Vary", "Accept");
  return response;
}

Response Ready(Application& app, const Request&, Context&) {
  const prelabel::Profile& profile = app.profiles.default_profile();
  if (!app.ready) return http::ErrorResponse(503, "The gateway is starting or draining.");
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
void CountImages(Application& app) {
  static std::mutex mutex;  // of two scrapes at once, the second has nothing left to add
  const std::lock_guard lock(mutex);
  const image_fetch::ImageFetcher::Stats stats = app.fetcher.stats();
  const auto raise = [](prometheus::Counter& counter, std::int64_t total) {
    counter.Increment(std::max(0.0, static_cast<double>(total) - counter.Value()));
  };
  raise(app.metrics.Get(kImages, {"hit"}), stats.cache_hits);
  raise(app.metrics.Get(kImages, {"failure_hit"}), stats.negative_hits);
  raise(app.metrics.Get(kImages, {"unchanged"}), stats.revalidated);
  raise(app.metrics.Get(kImages, {"miss"}), stats.cache_misses);
  raise(app.metrics.Get(kImageTransfers), stats.transfers);
  app.metrics.Get(kImageCacheBytes).Set(static_cast<double>(stats.cache_bytes));
}

// Of all profiles' services; several profiles may share them.
void CountNamesBehind(Application& app) {
  std::set<std::string> behind[2];
  std::vector<backends::BackendHealth> health;
  for (const auto& [name, profile] : app.profiles.all()) {
    health.push_back(profile.detector ? profile.detector->health() : backends::BackendHealth());
    health.push_back(profile.segmenter ? profile.segmenter->health() : backends::BackendHealth());
  }
  for (std::size_t i = 0; i < health.size(); ++i) {
    for (const auto& [address, names] : health[i].names) {
      for (const backends::NameStatus& status : names) {
        const bool unloaded = status.loaded_version == 0 && status.error.empty();
        if (unloaded || status.loaded_version == status.stored_version) continue;
        behind[i % 2].insert(address + " " + status.name);
      }
    }
  }
  app.metrics.Get(kNamesBehind, {"detector"}).Set(static_cast<double>(behind[0].size()));
  app.metrics.Get(kNamesBehind, {"segmenter"}).Set(static_cast<double>(behind[1].size()));
}

Response LabelConfig(Application& app, const Request&, Context& context) {
  const prelabel::Profile& profile = app.ProfileOf(context);
  if (!profile.detector)
    return http::ErrorResponse(404, "This backend URL has no detector, hence no classes.");
  const auto model = profile.detector->model();
  if (!model) {
    return http::ErrorResponse(absl::UnavailableError("the detector has not been heard of yet"));
  }
  Response response;
  const bool segments = profile.segmenter != nullptr;
  response.body = label_studio::GenerateLabelConfig(
      model->classes, {.masks = segments || model->has_masks, .smart_tools = segments});
  response.content_type = "application/xml; charset=utf-8";
  return response;
}

}  // namespace

void AddStatus(Application& app, http::Router& router) {
  // What label-studio-ml-backend says; Label Studio only looks whether it is JSON.
  const Response up = http::JsonResponse(json::object{{"status", "UP"}, {"model_class", "Duet"}});
  router.AddQuick(verb::get, "/health", [up](const Request&, Context&) { return up; });
  router.AddQuick(verb::get, "/livez", [up](const Request&, Context&) { return up; });
  router.AddQuick(verb::get, "/readyz", WithApplication(app, Ready));
  router.AddQuick(verb::get, "/", WithApplication(app, Root));
  router.AddQuick(verb::get, "/label-config", WithApplication(app, LabelConfig));
  router.AddQuick(verb::get, "/openapi.json",
                  [](const Request&, Context&) { return Response{.body = std::string(kOpenApi)}; });
  router.AddQuick(verb::get, "/metrics", [&app](const Request&, Context&) {
    CountImages(app);
    CountNamesBehind(app);
    return Response{.body = app.metrics.Text(), .content_type = serving::Metrics::kTextType};
  });
}

}  // namespace gateway::endpoints
