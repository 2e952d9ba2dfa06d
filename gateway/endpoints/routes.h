// The routes: the Label Studio ML backend as a router. One file a group of routes that belong
// together; who may use each says route_policy.h.
//
// Label Studio calls GET /health, POST /setup, POST /predict, GET /versions and POST /webhook, each
// behind the backend URL's path; older versions called some more. Any path is taken, and one that
// ends in /p/NAME chooses a profile. The rest is for operators. openapi.json describes all of them.
#ifndef DUET_GATEWAY_ENDPOINTS_ROUTES_H_
#define DUET_GATEWAY_ENDPOINTS_ROUTES_H_

#include <boost/json/object.hpp>
#include <string_view>

#include "gateway/endpoints/application.h"
#include "gateway/http/router.h"

namespace gateway::endpoints {

// All routes, the prefix rule and the gates (gate.h). `app` outlives the router.
void AddRoutes(Application& app, http::Router& router);

// AddRoutes calls these, each in the file of its name.

// POST /predict.
void AddPredict(Application& app, http::Router& router);
// POST /setup, GET and POST /versions, POST /validate, /delete and /duplicate_model.
void AddSetup(Application& app, http::Router& router);
// POST /webhook.
void AddWebhook(Application& app, http::Router& router);
// GET /, /health, /livez, /readyz, /metrics, /label-config and /openapi.json.
void AddStatus(Application& app, http::Router& router);
// POST /train, GET /train/{project}, POST /train/{project}/cancel and /forget; POST /job_status and
// GET /is_training.
void AddTraining(Application& app, http::Router& router);
// GET /review/{project}.
void AddReview(Application& app, http::Router& router);
// POST and GET /embed/{project}, POST /embed/{project}/cancel.
void AddEmbed(Application& app, http::Router& router);
// GET /jobs, DELETE /jobs/{id}.
void AddJobs(Application& app, http::Router& router);

// GET /ui/models; POST /ui/images, /ui/detect, /ui/embed, /ui/segment, /ui/hover, /ui/export and
// /ui/config: what the page at /ui asks.
void AddTryIt(Application& app, http::Router& router);
// GET /ui/requests and /ui/projects.
void AddIsItWell(Application& app, http::Router& router);
// GET /ui/trainings, POST /ui/rollback.
void AddUiTrainings(Application& app, http::Router& router);
// GET /ui and the page's files, /ui/{file}. After what else is below /ui. In ui_page.cc.
void AddPage(http::Router& router);

// The answer to a request for training where there is no trainer.
boost::json::object NotTrained();

// Begins a training of the project, or joins the one that runs: the job as the answer has it.
// NotFound or FailedPrecondition if it isn't the operator's, or is answered by a profile whose
// models aren't those that a training begins from. REQUIRES: there is a trainer; the training door
// has let the request pass.
boost::asio::awaitable<absl::StatusOr<boost::json::object>> StartTraining(
    Application& app, NamedProject project, jobs::TrainedModels models, http::Context& context);
// Its errors as an answer, and those of other work that may be asked for too often.
http::Response TrainingError(const absl::Status& status);

// An error of Label Studio's API, as a client of the gateway is told it: it is the gateway's token
// that Label Studio refuses, not the client's password.
absl::Status ByLabelStudio(const absl::Status& status);

// openapi.json as it is in the repository.
extern const std::string_view kOpenApi;

// Makes a route's handler of a function that takes the application, too.
template <typename Request>
auto WithApplication(Application& app, auto(*handler)(Application&, Request&, http::Context&)) {
  return [&app, handler](Request& request, http::Context& context) {
    return handler(app, request, context);
  };
}

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_ROUTES_H_
