// What Label Studio before 1.5 asks about training, and its webhook START_TRAINING. Duet doesn't
// train on request, and says so where a user or a script may see it.
#include <boost/json/object.hpp>

#include "gateway/endpoints/body.h"
#include "gateway/endpoints/routes.h"
#include "label_studio/task.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace gateway::endpoints {
namespace {

namespace json = boost::json;
using boost::asio::awaitable;
using boost::beast::http::verb;
using http::Context;
using http::Request;
using http::Response;

// label-studio-ml without a job queue answers 201 without a job, too.
awaitable<Response> Train(Application& app, Request& request, Context& context) {
  auto parsing = ParseBody(app.pool, request, label_studio::ParseOlderRequest);
  const auto parsed = co_await std::move(parsing);
  if (!parsed.ok()) co_return http::ErrorResponse(parsed.status());
  if (parsed->has_annotations == false) {
    co_return http::ErrorResponse(400, "No annotations found.");
  }
  context.request.NoteStr("training", "not started");
  co_return http::JsonResponse(NotTrained(), 201);
}

Response IsTraining(Application& app, const Request&, Context& context) {
  const prelabel::Profile& profile = app.ProfileOf(context);
  const auto version = prelabel::ModelVersion(profile, profile.settings);
  return http::JsonResponse(
      json::object{{"is_training", false},
                   {"backend", "none"},
                   {"model_version", version ? json::value(*version) : json::value(nullptr)}});
}

// 410 is what Label Studio takes for "removed", and stops asking.
Response JobStatus(Application&, const Request& request, Context&) {
  const auto parsed = label_studio::ParseOlderRequest(request.body);
  if (!parsed.ok()) return http::ErrorResponse(parsed.status());
  return http::ErrorResponse(
      410, text::StrCat("There is no training job \"", text::Utf8Prefix(parsed->job, 100),
                        "\": Duet does not train on request."));
}

}  // namespace

json::object NotTrained() {
  return {{"job", nullptr},
          {"status", "not trained"},
          {"detail", "Duet does not train on request. It goes on with the models that it loaded."}};
}

void AddTraining(Application& app, http::Router& router) {
  router.Add(verb::post, "/train", WithApplication(app, Train));
  router.AddQuick(verb::get, "/is_training", WithApplication(app, IsTraining));
  router.AddQuick(verb::post, "/job_status", WithApplication(app, JobStatus));
}

}  // namespace gateway::endpoints
