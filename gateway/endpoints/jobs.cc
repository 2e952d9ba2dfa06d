// GET /jobs and DELETE /jobs/{id}: the background jobs (background_jobs.h). None of it waits.
#include <boost/json/object.hpp>

#include "gateway/endpoints/gateway.h"
#include "text/url.h"

namespace gateway::endpoints {
namespace {

namespace json = boost::json;
using boost::beast::http::verb;
using http::Context;
using http::Request;
using http::Response;

Response List(Gateway& gateway, const Request&, Context&) {
  return http::JsonResponse(json::object{{"jobs", gateway.jobs.Describe()}});
}

Response Cancel(Gateway& gateway, const Request& request, Context&) {
  const std::string_view path = text::WithoutTrailingSlashes(request.path);
  const std::string_view id = path.substr(path.rfind('/') + 1);
  if (!gateway.jobs.Cancel(id)) {
    return http::ErrorResponse(404,
                               "There is no job of this id that waits or runs; see GET /jobs.");
  }
  return http::JsonResponse(json::object{{"id", id}, {"state", "cancelled"}});
}

}  // namespace

void AddJobs(Gateway& gateway, http::Router& router) {
  router.AddQuick(verb::get, "/jobs", WithGateway(gateway, List));
  router.AddQuick(verb::delete_, "/jobs/{id}", WithGateway(gateway, Cancel));
}

}  // namespace gateway::endpoints
