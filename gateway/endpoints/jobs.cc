// GET /jobs and DELETE /jobs/{id}: the background jobs (background_jobs.h). None of it waits.
#include <boost/json/object.hpp>

#include "gateway/endpoints/routes.h"
#include "text/url.h"

namespace gateway::endpoints {
namespace {

namespace json = boost::json;
using boost::beast::http::verb;
using http::Context;
using http::Request;
using http::Response;

Response List(Application& app, const Request&, Context&) {
  return http::JsonResponse(json::object{{"jobs", app.jobs.Describe()}});
}

Response Cancel(Application& app, const Request& request, Context&) {
  const std::string_view path = text::WithoutTrailingSlashes(request.path);
  const std::string_view id = path.substr(path.rfind('/') + 1);
  if (!app.jobs.Cancel(id)) {
    return http::ErrorResponse(404,
                               "There is no job of this id that waits or runs; see GET /jobs.");
  }
  return http::JsonResponse(json::object{{"id", id}, {"state", "cancelled"}});
}

}  // namespace

void AddJobs(Application& app, http::Router& router) {
  router.AddQuick(verb::get, "/jobs", WithApplication(app, List));
  router.AddQuick(verb::delete_, "/jobs/{id}", WithApplication(app, Cancel));
}

}  // namespace gateway::endpoints
