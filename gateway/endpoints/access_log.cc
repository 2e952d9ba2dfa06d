#include "gateway/endpoints/access_log.h"

#include <chrono>
#include <string>
#include <string_view>

#include "gateway/endpoints/metrics.h"
#include "prelabel/profiles.h"
#include "serving/log.h"

namespace gateway::endpoints {
namespace {

// Too frequent to be worth a line each.
bool IsPolled(std::string_view route) {
  return route == "/health" || route == "/livez" || route == "/readyz" || route == "/metrics";
}

// 4xx and 5xx on known routes are warnings; scanners ask for the unknown ones.
serving::LogLevel LevelOf(std::string_view route, int status) {
  if (IsPolled(route)) return status == 200 ? serving::LogLevel::kDebug : serving::LogLevel::kInfo;
  return status >= 400 && route != "none" ? serving::LogLevel::kWarning : serving::LogLevel::kInfo;
}

void LogAndCount(serving::Metrics& metrics, const http::Request& request,
                 const http::Context& context, const http::AccessRecord& record) {
  const std::string_view route = context.route.empty() ? "none" : std::string_view(context.route);
  const std::chrono::duration<double> elapsed = record.elapsed;
  metrics.Get(kRequests, {route, std::to_string(record.status)}).Increment();
  metrics.Get(kRequestSeconds, {route}).Observe(elapsed.count());
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

void AddAccessLog(serving::Metrics& metrics, http::ServerOptions& options) {
  options.on_finished = [&metrics](const auto& request, const auto& context, const auto& record) {
    LogAndCount(metrics, request, context, record);
  };
  options.on_connection = [&connections = metrics.Get(kConnections)](int change) {
    connections.Increment(change);
  };
}

}  // namespace gateway::endpoints
