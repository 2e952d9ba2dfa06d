// One log line a request, and the metrics of requests and connections.
#ifndef DUET_GATEWAY_ENDPOINTS_ACCESS_LOG_H_
#define DUET_GATEWAY_ENDPOINTS_ACCESS_LOG_H_

#include "gateway/endpoints/recent.h"
#include "gateway/http/server.h"
#include "serving/metrics.h"

namespace gateway::endpoints {

// Sets ServerOptions::on_finished and on_connection. `metrics` and `recent` outlive the server.
// `recent`, which may be null, is told of what is neither polled nor asked by the page to show it.
void AddAccessLog(serving::Metrics& metrics, http::ServerOptions& options,
                  Recent* recent = nullptr);

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_ACCESS_LOG_H_
