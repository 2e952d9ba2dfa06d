// The gate before each route: whether a request may pass, decided from its header, before its body
// is read (docs/adr/0506-decided-from-the-header.md).
#ifndef DUET_GATEWAY_ENDPOINTS_GATE_H_
#define DUET_GATEWAY_ENDPOINTS_GATE_H_

#include "gateway/endpoints/application.h"
#include "gateway/http/router.h"

namespace gateway::endpoints {

// Gives every route its body limits and its gate, as its row in route_policy.h says, and seals the
// router: a route that is added later would be open to anybody. What a gate looks at, in this
// order: a change that a web page elsewhere has caused (403), credentials (401), who may train
// (training_door.h), whether it comes from this machine (operator_door.h), the profile (404), the
// Content-Type (415). `app` outlives the router. Throws std::logic_error if a route has no row.
void AddGates(Application& app, http::Router& router);

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_GATE_H_
