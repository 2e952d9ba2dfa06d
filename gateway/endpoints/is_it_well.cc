// What the page at /ui shows of the gateway's own life: GET /ui/requests, and GET /ui/projects,
// which tells what people do and is for this machine and for those who have the password alone.
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>

#include "async/concurrency.h"
#include "gateway/endpoints/config_review.h"
#include "gateway/endpoints/recent.h"
#include "gateway/endpoints/routes.h"
#include "label_studio_api/label_studio_tokens.h"

namespace gateway::endpoints {
namespace {

namespace json = boost::json;
using boost::asio::awaitable;
using boost::beast::http::verb;
using http::Context;
using http::Request;
using http::Response;

std::string Text(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
}

// What the calls of a service have met lately, of all profiles.
json::object Described(const backends::ServiceCalls& calls) {
  const backends::ServiceCalls::Seen seen = calls.seen();
  return {{"under_way", seen.under_way},
          {"answered", seen.answered},
          {"failed", seen.failed},
          {"queue_ms", json::array(seen.queue_ms.begin(), seen.queue_ms.end())},
          {"embeddings_there", seen.embeddings_there},
          {"embeddings", seen.embeddings}};
}

Response Requests(Application& app, const Request&, Context&) {
  json::object body;
  json::array& requests = body["requests"].emplace_array();
  for (const Recent::Request& request : app.recent.requests()) {
    requests.push_back(json::object{{"at", Text(request.at)},
                                    {"route", request.route},
                                    {"status", request.status},
                                    {"elapsed_ms", request.elapsed_ms}});
  }
  const auto images = app.fetcher.stats();
  body["images"] = {{"from_cache", images.cache_hits},
                    {"fetched", images.cache_misses},
                    {"cache_bytes", images.cache_bytes}};
  const auto projects = app.projects.lookups();
  body["projects"] = {{"found", projects.found}, {"lookups", projects.all}};
  body["services"] = {{"detector", Described(*app.options.detector_calls)},
                      {"segmenter", Described(*app.options.segmenter_calls)}};
  return http::JsonResponse(body);
}

// Whether there is a token, of which kind and until when; never the token.
json::object Token(const label_studio_api::OperatorSite& site) {
  const std::string token = site.token == nullptr ? "" : site.token->value();
  json::object described = {{"named", !site.url.empty()}, {"present", !token.empty()}};
  if (const auto expiry = label_studio_api::ExpiryOf(token)) {
    described["valid_until"] = Text(*expiry);
    described["expired"] = *expiry <= absl::Now();
  }
  return described;
}

json::object Failed(const Recent::Failure& failure) {
  json::object described = {{"at", Text(failure.at)},
                            {"profile", failure.profile},
                            {"project", failure.project},
                            {"kind", failure.kind},
                            {"sentence", failure.sentence}};
  if (failure.task_id != 0) described["task"] = failure.task_id;
  return described;
}

json::object Connected(const Application& app, const Recent::Project& seen) {
  json::object described = {{"at", Text(seen.at)}, {"profile", seen.profile}, {"project", seen.id}};
  const auto profile = app.profiles.all().find(seen.profile);
  if (profile == app.profiles.all().end()) return described;
  const auto models = prelabel::KnownServing(profile->second, seen.model_name);
  if (!models) return described;
  described["model_name"] = seen.model_name;
  described["writes"] = Describe(*seen.project, *models, {});
  return described;
}

awaitable<Response> Projects(Application& app, Request&, Context&) {
  // A project may have a hundred thousand labels.
  auto working = async::OnPool(app.pool, [&app] {
    json::object body = {{"token", Token(app.options.label_studio)}, {"jobs", app.jobs.Describe()}};
    json::array& failures = body["failures"].emplace_array();
    for (const Recent::Failure& failure : app.recent.failures()) {
      failures.push_back(Failed(failure));
    }
    json::array& projects = body["projects"].emplace_array();
    for (const Recent::Project& seen : app.recent.projects()) {
      projects.push_back(Connected(app, seen));
    }
    return http::JsonResponse(body);
  });
  co_return co_await std::move(working);
}

}  // namespace

void AddIsItWell(Application& app, http::Router& router) {
  router.AddQuick(verb::get, "/ui/requests", WithApplication(app, Requests));
  router.Add(verb::get, "/ui/projects", WithApplication(app, Projects));
}

}  // namespace gateway::endpoints
