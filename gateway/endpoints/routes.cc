#include "gateway/endpoints/routes.h"

#include "gateway/endpoints/gate.h"

namespace gateway::endpoints {

void AddRoutes(Application& app, http::Router& router) {
  AddPredict(app, router);
  AddSetup(app, router);
  AddWebhook(app, router);
  AddStatus(app, router);
  AddTraining(app, router);
  AddReview(app, router);
  AddEmbed(app, router);
  AddJobs(app, router);
  if (app.options.ui) {
    AddTryIt(app, router);
    AddIsItWell(app, router);
    AddUiTrainings(app, router);
    AddPage(router);
  }
  // Label Studio keeps the path of the backend URL, so a proxy may put us anywhere; only the root
  // has to be exact.
  router.set_prefix_rule([](std::string_view prefix, const http::Route& route) {
    return prefix.empty() || route.pattern != "/" || prelabel::ProfileName(prefix).has_value();
  });
  AddGates(app, router);
}

}  // namespace gateway::endpoints
