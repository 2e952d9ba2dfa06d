#include "gateway/endpoints/access_log.h"

#include <absl/time/clock.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>
#include <string_view>

#include "gateway/endpoints/metrics.h"
#include "prelabel/profiles.h"
#include "serving/log.h"

namespace gateway::endpoints {
namespace {

// Too frequent to be worth a line each: probes, and what an open page asks again and again.
bool IsPolled(std::string_view route) {
  static constexpr std::string_view kPolled[] = {
      "/",         "/health",    "/livez",       "/readyz",      "/metrics",
      "/ui/hover", "/ui/models", "/ui/projects", "/ui/requests", "/ui/trainings"};
  return std::find(std::begin(kPolled), std::end(kPolled), route) != std::end(kPolled);
}

// 4xx and 5xx on known routes are warnings; scanners ask for the unknown ones.
serving::LogLevel LevelOf(std::string_view route, int status) {
  // Who moves a pointer on doesn't wait for what it has left (499). Why it isn't ready is said
  // once, by "backend.away", not whenever somebody asks.
  const bool usual = status == 200 || (status == 499 && route == "/ui/hover") ||
                     (status == 503 && route == "/readyz");
  if (IsPolled(route)) return usual ? serving::LogLevel::kDebug : serving::LogLevel::kInfo;
  return status >= 400 && route != "none" ? serving::LogLevel::kWarning : serving::LogLevel::kInfo;
}

// What the page itself asks would soon be all that it shows.
bool IsWorthShowing(std::string_view route) {
  return route != "none" && !IsPolled(route) && route != "/ui/{file}";
}

void LogAndCount(serving::Metrics& metrics, Recent* recent, const http::Request& request,
                 const http::Context& context, const http::AccessRecord& record) {
  const std::string_view route = context.route.empty() ? "none" : std::string_view(context.route);
  const std::chrono::duration<double> elapsed = record.elapsed;
  metrics.Get(kRequests, {route, std::to_string(record.status)}).Increment();
  metrics.Get(kRequestSeconds, {route}).Observe(elapsed.count());
  if (recent != nullptr && IsWorthShowing(route)) {
    recent->Answered({.at = absl::Now(),
                      .route = std::string(route),
                      .status = record.status,
                      .elapsed_ms = elapsed.count() * 1000});
  }
  const auto method = boost::beast::http::to_string(request.method);
  serving::LogLine line("http.done", LevelOf(route, record.status));
  line.Request(context.request)
      .Str("method", {method.data(), method.size()})
      .Str("route", route)
      .Str("profile", prelabel::ProfileName(context.prefix).value_or(""))
      .Int("http", record.status)
      .Num("elapsed_ms", elapsed.count() * 1000)
      .Int("request_bytes", static_cast<std::int64_t>(record.request_bytes))
      .Int("response_bytes", static_cast<std::int64_t>(record.response_bytes));
  // Label Studio shows nobody what the body says.
  if (!record.error.empty()) line.Str("error", record.error);
}

}  // namespace

void AddAccessLog(serving::Metrics& metrics, http::ServerOptions& options, Recent* recent) {
  options.on_finished = [&metrics, recent](const auto& request, const auto& context,
                                           const auto& record) {
    LogAndCount(metrics, recent, request, context, record);
  };
  options.on_connection = [&connections = metrics.Get(kConnections)](int change) {
    connections.Increment(change);
  };
}

}  // namespace gateway::endpoints
