#include "gateway/endpoints/gateway.h"

#include <absl/strings/str_join.h>

#include <stdexcept>
#include <vector>

#include "gateway/endpoints/basic_auth.h"
#include "gateway/endpoints/metrics.h"
#include "gateway/endpoints/route_policy.h"
#include "gateway/jobs/metrics.h"
#include "prelabel/metrics.h"
#include "serving/log.h"
#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

// Too frequent to be worth a line each.
bool IsPolled(std::string_view route) {
  return route == "/health" || route == "/livez" || route == "/readyz" || route == "/metrics";
}

// 4xx and 5xx on known routes are warnings.
serving::LogLevel LevelOf(std::string_view route, int status) {
  if (IsPolled(route)) return status == 200 ? serving::LogLevel::kDebug : serving::LogLevel::kInfo;
  return status >= 400 && route != "none" ? serving::LogLevel::kWarning : serving::LogLevel::kInfo;
}

void OnFinished(Gateway& gateway, const http::Request& request, const http::Context& context,
                const http::Outcome& outcome) {
  const std::string_view route = context.route.empty() ? "none" : std::string_view(context.route);
  const std::chrono::duration<double> elapsed = outcome.elapsed;
  gateway.metrics.Get(kRequests, {route, std::to_string(outcome.status)}).Increment();
  gateway.metrics.Get(kRequestSeconds, {route}).Observe(elapsed.count());
  const auto method = boost::beast::http::to_string(request.method);
  serving::LogLine line("http.done", LevelOf(route, outcome.status));
  line.Request(context.request)
      .Str("method", {method.data(), method.size()})
      .Str("route", route)
      .Str("profile", prelabel::ProfileName(context.prefix).value_or(""))
      .Int("http", outcome.status)
      .Num("elapsed_ms", elapsed.count() * 1000)
      .Int("request_bytes", static_cast<std::int64_t>(outcome.request_bytes))
      .Int("response_bytes", static_cast<std::int64_t>(outcome.response_bytes));
  // Label Studio shows nobody what the body says.
  if (!outcome.error.empty()) line.Str("error", outcome.error);
}

std::string UnknownProfile(const prelabel::Profiles& profiles, std::string_view prefix) {
  std::vector<std::string> names;
  for (const auto& [name, profile] : profiles.all()) {
    if (!name.empty()) names.push_back(name);
  }
  return text::StrCat("There is no profile \"", prelabel::ProfileName(prefix).value_or(""), "\"",
                      names.empty() ? "; --profiles names none."
                                    : "; there are: " + absl::StrJoin(names, ", ") + ".");
}

}  // namespace

boost::asio::awaitable<Gateway::ResolvedSetup> Gateway::ResolveSetup(
    const prelabel::Profile& profile, std::string project_id) {
  const std::string key = ProjectKey(profile, project_id);
  prelabel::ProjectSetup setup = memory.Find(key).value_or(
      prelabel::ProjectSetup{.settings = profile.settings, .label_studio = {}});
  if (setup.shared) {
    auto finding = settings_store.Find(key, profile.settings);
    const std::optional<prelabel::Settings> shared = co_await std::move(finding);
    if (shared && *shared != setup.settings) {
      setup.settings = *shared;
      memory.Remember(key, setup);  // for when Redis is away
    }
  }
  label_studio_api::LabelStudioSite site =
      label_studio_api::ChooseSite(options.label_studio, setup.label_studio);
  co_return ResolvedSetup{.settings = std::move(setup.settings), .label_studio = std::move(site)};
}

std::vector<std::string> Gateway::VersionsOf(const prelabel::Profile& profile) const {
  const auto models = prelabel::Serving(profile);
  if (!models) return {};
  std::vector<std::string> versions = memory.Announced(profile.name);
  std::erase_if(versions, [serving = models->versions()](const std::string& version) {
    return !version.starts_with(serving);
  });
  if (versions.empty())
    versions.push_back(models->versions() + prelabel::Fingerprint(profile.settings));
  return versions;
}

void Gateway::SchedulePrefetch(const prelabel::Profile& profile, ResolvedSetup setup,
                               const std::string& project_id, std::int64_t task_id, bool opened,
                               const http::Context& context) {
  prefetcher.Schedule({.opened = opened,
                       .profile = profile,
                       .settings = std::move(setup.settings),
                       .label_studio = std::move(setup.label_studio),
                       .project_id = project_id,
                       .task_id = task_id,
                       .request_id = context.request.request_id(),
                       .traceparent = context.request.traceparent()});
}

void AddRoutes(Gateway& gateway, http::Router& router) {
  AddPredict(gateway, router);
  AddSetup(gateway, router);
  AddWebhook(gateway, router);
  AddStatus(gateway, router);
  AddTraining(gateway, router);
  AddJobs(gateway, router);
  // Label Studio keeps the path of the backend URL, so a proxy may put us anywhere; only the root
  // has to be exact.
  router.set_prefix_rule([](std::string_view prefix, const http::Route& route) {
    return prefix.empty() || route.pattern != "/" || prelabel::ProfileName(prefix).has_value();
  });
  router.LimitBodies([](const http::Route& route) -> http::BodyLimits {
    const RoutePolicy* const policy = PolicyOf(route.method, route.pattern);
    if (policy == nullptr) throw std::logic_error(route.pattern + " is not in route_policy.cc");
    return {.max_bytes = policy->max_body_bytes, .from_anybody = !policy->needs_credentials};
  });
  const std::string& user = gateway.options.basic_auth_user;
  router.set_gate([&gateway, wanted = !user.empty()](
                      const http::Request& request, const http::Context& context,
                      const http::Route& route) -> std::optional<http::Response> {
    const RoutePolicy& policy = *PolicyOf(route.method, route.pattern);
    auto refused = Refuse(policy, request, gateway.options.own_names);
    if (refused && refused->status == 403) return refused;
    const auto accepts = [&] {
      return AcceptsBasicAuth(request.Header("Authorization"), gateway.options.basic_auth_user,
                              gateway.options.basic_auth_password->value());
    };
    if (wanted && policy.needs_credentials && !accepts()) {
      http::Response refusal =
          http::ErrorResponse(401, "User name and password are missing or wrong.");
      refusal.headers.emplace_back("WWW-Authenticate", "Basic realm=\"duet\", charset=\"UTF-8\"");
      return refusal;
    }
    if (gateway.profiles.ForPrefix(context.prefix) == nullptr) {
      return http::ErrorResponse(404, UnknownProfile(gateway.profiles, context.prefix));
    }
    return refused;
  });
}

void Observe(Gateway& gateway, http::ServerOptions& options) {
  options.on_finished = [&gateway](const auto& request, const auto& context, const auto& outcome) {
    OnFinished(gateway, request, context, outcome);
  };
  options.on_connection = [&connections = gateway.metrics.Get(kConnections)](int change) {
    connections.Increment(change);
  };
  // There from the start, so that a first one is seen as an increase.
  gateway.metrics.Get(prelabel::kRegions);
  gateway.metrics.Get(prelabel::kDegraded);
  gateway.metrics.Get(gateway::jobs::kPushWaiting);
  gateway.metrics.Get(gateway::jobs::kPrefetched, {"OK"});
  for (const char* outcome : {"stored", "already_there", "failed", "tried_again"}) {
    gateway.metrics.Get(gateway::jobs::kPushed, {outcome});
  }
  for (const char* reason : {"degenerate", "unlabelled_class"}) {
    gateway.metrics.Get(prelabel::kDropped, {reason});
  }
}

}  // namespace gateway::endpoints
