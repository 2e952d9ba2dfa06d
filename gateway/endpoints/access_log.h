// One log line a request, and the metrics of requests and connections.
#ifndef DUET_GATEWAY_ENDPOINTS_ACCESS_LOG_H_
#define DUET_GATEWAY_ENDPOINTS_ACCESS_LOG_H_

#include "gateway/http/server.h"
#include "serving/metrics.h"

namespace gateway::endpoints {

// Sets ServerOptions::on_finished and on_connection. `metrics` outlives the server.
void AddAccessLog(serving::Metrics& metrics, http::ServerOptions& options);

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_ACCESS_LOG_H_
