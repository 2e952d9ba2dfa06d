// POST /webhook: events of Label Studio. Its user waits for the answer, so there is one at once;
// and since events come without credentials, anybody may send them: an event costs its parsing and
// a look into a table. An annotation brings forward what a /predict has begun or paid for
// (prefetcher.h), and makes the gateway count annotations where --train_every asks for it
// (trainings.h); of a project that no /predict or /setup has shown, nothing happens and nothing is
// kept.
#include <absl/strings/match.h>

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <utility>

#include "gateway/endpoints/body.h"
#include "gateway/endpoints/metrics.h"
#include "gateway/endpoints/routes.h"
#include "label_studio/task.h"

namespace gateway::endpoints {
namespace {

using boost::asio::awaitable;
using http::Context;
using http::Request;
using http::Response;

// ANNOTATIONS_DELETED is plural on the wire.
constexpr std::array<std::string_view, 9> kKnown = {
    "ANNOTATION_CREATED",  "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED", "TASKS_CREATED",       "TASKS_DELETED",
    "PROJECT_UPDATED",     "START_TRAINING",      "PROJECT_CREATED"};

// Label Studio sends this event alone with the credentials of the backend, and shows no errors.
awaitable<Response> Start(Application& app, const label_studio::WebhookEvent& event,
                          const Request& request, Context& context) {
  if (!app.trainings.enabled()) co_return http::JsonResponse(NotTrained());
  if (auto refusal = app.training_door.Refuse(request, context)) co_return *std::move(refusal);
  auto starting = StartTraining(app, {.id = event.project_id, .created = event.project_created},
                                jobs::TrainedModels::kBoth, context);
  auto job = co_await std::move(starting);
  if (!job.ok()) co_return TrainingError(job.status());
  co_return http::JsonResponse(*std::move(job));
}

awaitable<Response> Webhook(Application& app, Request& request, Context& context) {
  auto parsing = ParseBody(app.pool, request, label_studio::ParseWebhook);
  const auto event = co_await std::move(parsing);
  if (!event.ok()) co_return http::ErrorResponse(event.status());
  const bool known = std::find(kKnown.begin(), kKnown.end(), event->action) != kKnown.end();
  const std::string_view action = known ? std::string_view(event->action) : "other";
  app.metrics.Get(kWebhooks, {action}).Increment();
  context.request.NoteStr("action", action);
  if (action == "START_TRAINING") {
    auto starting = Start(app, *event, request, context);
    co_return co_await std::move(starting);
  }
  if (action == "ANNOTATION_CREATED" || action == "ANNOTATIONS_CREATED") {
    app.trainings.Annotated(event->project_id, event->project_created);
  }
  if (action == "ANNOTATION_CREATED" && event->task_ids.size() == 1) {
    app.prefetcher.Annotated(
        app.ProjectKey(app.ProfileOf(context), event->project_id, event->project_created),
        event->task_ids.front(), context.request.request_id(), context.request.traceparent());
  }
  co_return http::JsonResponse(boost::json::object{{"status", known ? "ok" : "Unknown event"}});
}

}  // namespace

void AddWebhook(Application& app, http::Router& router) {
  router.Add(boost::beast::http::verb::post, "/webhook", WithApplication(app, Webhook));
}

}  // namespace gateway::endpoints
