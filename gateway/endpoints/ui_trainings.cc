// What the page at /ui shows of trainings, and of which models serve: GET /ui/trainings; and
// POST /ui/rollback, by which another version serves. Both are for the operator (operator_door.h).
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <utility>

#include "async/concurrency.h"
#include "gateway/endpoints/body.h"
#include "gateway/endpoints/routes.h"
#include "label_studio/json_fields.h"
#include "label_studio/json_parts.h"
#include "model_store/rollback.h"
#include "serving/log.h"
#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

namespace json = boost::json;
using boost::asio::awaitable;
using boost::beast::http::verb;
using http::Context;
using http::Request;
using http::Response;
using label_studio::JsonPart;

// The page shows the latest.
constexpr std::size_t kTrainings = 20;
constexpr std::size_t kNames = 100;

json::object Describe(const std::string& name, model_store::Kind kind,
                      const absl::StatusOr<model_store::Serving>& serving) {
  json::object described = {{"kind", model_store::NameOf(kind)}, {"name", name}};
  if (const auto project = model_store::ProjectOf(name)) {
    described["project"] = std::to_string(*project);
  }
  if (!serving.ok()) {
    described["error"] = std::string(serving.status().message());
    return described;
  }
  described["version"] = serving->version;
  described["previous"] = serving->previous;
  described["changed"] = serving->changed;
  described["by"] = serving->by;
  described["reason"] = serving->reason;
  return described;
}

// Of all names below the model root that have a version that serves, or had one.
absl::StatusOr<json::array> DescribeServing(const model_store::ModelStore& store) {
  json::array all;
  for (const auto kind : {model_store::Kind::kDetector, model_store::Kind::kSegmenter}) {
    const auto names = store.ListNames(kind);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      const auto serving = store.ReadServing(kind, name);
      if (absl::IsNotFound(serving.status())) continue;
      all.push_back(Describe(name, kind, serving));
      if (all.size() == kNames) return all;
    }
  }
  return all;
}

awaitable<Response> Trainings(Application& app, Request&, Context&) {
  json::object body = {{"trainer", app.trainings.enabled()},
                       {"embeddings", app.embedding_runs.DescribeAll()},
                       {"trainings", json::array()},
                       {"serving", json::array()}};
  if (app.trainings.enabled()) body["trainings"] = app.trainings.DescribeAll(kTrainings);
  if (app.serving_watch.enabled()) {
    auto reading = async::OnPool(app.serving_watch.files(),
                                 [&app] { return DescribeServing(app.serving_watch.store()); });
    auto serving = co_await std::move(reading);
    if (serving.ok()) {
      body["serving"] = *std::move(serving);
    } else {
      body["error"] = std::string(serving.status().message());
    }
  }
  co_return http::JsonResponse(body);
}

// A version to go back to.
struct RollbackRequest {
  model_store::Kind kind = model_store::Kind::kDetector;
  std::string name;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
};

// InvalidArgument if it is absent or no whole number from 0 on.
absl::StatusOr<std::uint64_t> VersionField(const json::object& body, std::string_view field) {
  const json::value* const value = body.if_contains(field);
  boost::system::error_code error;
  const auto number = value == nullptr ? std::uint64_t{0} : value->to_number<std::uint64_t>(error);
  if (value == nullptr || error) {
    return absl::InvalidArgumentError(text::StrCat(
        "'", field, "' is no version; needed: its number, or 0 for the default model"));
  }
  return number;
}

absl::StatusOr<RollbackRequest> ParseRollback(std::string_view body,
                                              const label_studio::RequestLimits& limits) {
  static constexpr JsonPart kFields[] = {
      {.name = "kind"}, {.name = "name"}, {.name = "from"}, {.name = "to"}};
  const auto object = label_studio::ParseJsonObject(body, kFields, limits.max_depth, limits.memory);
  if (!object.ok()) return object.status();
  const auto kind = model_store::ParseKind(label_studio::TextField(*object, "kind"));
  if (!kind) {
    return absl::InvalidArgumentError("'kind' is missing; needed: detector or segmenter");
  }
  RollbackRequest request{.kind = *kind,
                          .name = std::string(label_studio::TextField(*object, "name"))};
  if (absl::Status status = model_store::CheckName(request.name); !status.ok()) return status;
  const auto from = VersionField(*object, "from");
  if (!from.ok()) return from.status();
  const auto to = VersionField(*object, "to");
  if (!to.ok()) return to.status();
  request.from = *from;
  request.to = *to;
  return request;
}

awaitable<Response> Rollback(Application& app, Request& request, Context& context) {
  auto parsing = ParseBody(app.pool, request, ParseRollback);
  const auto asked = co_await std::move(parsing);
  if (!asked.ok()) co_return http::ErrorResponse(asked.status());
  if (!app.serving_watch.enabled()) {
    co_return http::ErrorResponse(404,
                                  "There are no trained models: the gateway has no --model_root.");
  }
  const std::string who = app.training_door.NameOf(context);
  auto working = async::OnPool(app.serving_watch.files(), [&app, &asked, &who] {
    return model_store::RollBack(app.serving_watch.store(), asked->kind, asked->name,
                                 {.version = asked->to,
                                  .replaces = asked->from,
                                  .by = text::StrCat(who, " (the page at /ui)")});
  });
  const auto done = co_await std::move(working);
  serving::LogLine("audit.rollback",
                   done.ok() ? serving::LogLevel::kInfo : serving::LogLevel::kWarning)
      .Str("who", who)
      .Str("request_id", context.request.request_id())
      .Str("kind", model_store::NameOf(asked->kind))
      .Str("name", asked->name)
      .Int("from", static_cast<std::int64_t>(asked->from))
      .Int("to", static_cast<std::int64_t>(asked->to))
      .Status(done.status());
  if (!done.ok()) co_return http::ErrorResponse(done.status());
  app.serving_watch.LookSoon();
  co_return http::JsonResponse(
      json::object{{"name", asked->name}, {"before", done->before}, {"version", done->now}});
}

}  // namespace

void AddUiTrainings(Application& app, http::Router& router) {
  router.Add(verb::get, "/ui/trainings", WithApplication(app, Trainings));
  router.Add(verb::post, "/ui/rollback", WithApplication(app, Rollback));
}

}  // namespace gateway::endpoints
