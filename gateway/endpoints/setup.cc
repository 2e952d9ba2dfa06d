// What a project gets and keeps: POST /setup and /versions, which Label Studio calls; /validate,
// /delete and /duplicate_model, which versions before 1.5 called. Never waits for a model; what
// several gateways remember together is stored before the answer, since /predict may follow at
// once.
#include <absl/strings/str_join.h>
#include <absl/time/clock.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>
#include <utility>

#include "gateway/endpoints/body.h"
#include "gateway/endpoints/routes.h"
#include "label_studio/label_config.h"
#include "label_studio/task.h"
#include "serving/log.h"
#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

using boost::asio::awaitable;
using boost::beast::http::verb;
using http::Context;
using http::Request;
using http::Response;

// A label map of ten thousand classes takes two thirds of it.
constexpr std::size_t kMaxSettingsBytes = 2 << 20;

// Label Studio waits three seconds for the answer: how long it takes at most to hear whose project
// it is and to load its model.
constexpr auto kPatience = std::chrono::seconds(2);

using About = prelabel::ProjectMemory::About;

// What a /setup says.
struct ParsedSetup {
  label_studio::SetupRequest request;  // its extra_params: the keys that Duet knows
  // What they make of the profile's; InvalidArgument if they are refused.
  absl::StatusOr<prelabel::Settings> settings;
  std::string misspelt;  // what is suspect in them; "" for nothing
};

absl::StatusOr<prelabel::Settings> ReadSettings(const prelabel::Settings& profile,
                                                const boost::json::object& extra_params) {
  auto settings = prelabel::Refine(profile, extra_params, /*strict=*/false);
  if (!settings.ok()) {
    return absl::InvalidArgumentError(text::StrCat("extra_params: ", settings.status().message()));
  }
  if (const std::size_t bytes = prelabel::BytesOf(*settings); bytes > kMaxSettingsBytes) {
    return absl::InvalidArgumentError(text::StrCat("extra_params: the settings take ", bytes,
                                                   " bytes; at most ", kMaxSettingsBytes));
  }
  return settings;
}

// Whatever grows with the body, for the pool. Notes the project for the log.
absl::StatusOr<ParsedSetup> Read(const prelabel::Settings& profile, std::string_view body,
                                 const label_studio::RequestLimits& limits,
                                 serving::RequestContext& context) {
  auto request = label_studio::ParseSetupRequest(body, limits);
  if (!request.ok()) return request.status();
  NoteProject(request->project_id, context);
  if (!request->extra_params.ok()) {
    absl::Status refused = request->extra_params.status();
    return ParsedSetup{.request = *std::move(request), .settings = std::move(refused)};
  }
  auto settings = ReadSettings(profile, *request->extra_params);
  const std::vector<std::string> misspelt = prelabel::Misspelt(*request->extra_params);
  request->extra_params = prelabel::KnownKeys(*request->extra_params);
  return ParsedSetup{
      .request = *std::move(request),
      .settings = std::move(settings),
      .misspelt = misspelt.empty() ? "" : "extra_params: " + absl::StrJoin(misspelt, "; ")};
}

// Label Studio shows nothing of a warning, and sends /setup again before every batch: the log says
// it once a project.
void NoteWarnings(const std::vector<std::string>& warnings, const std::string& project_id,
                  prelabel::Project& project, Context& context) {
  for (const std::string& warning : project.FirstSeen(project_id, warnings)) {
    serving::LogLine("label_config.warning", serving::LogLevel::kWarning)
        .Request(context.request)
        .Str("warning", warning);
  }
}

// What /setup makes of the label config.
struct Reviewed {
  absl::Status status;                 // an error: no task can be served
  std::optional<std::string> version;  // nothing as long as the models haven't been heard of
  std::string warning;                 // "" for none
  std::string models;                  // the versions that it is about; "" for any
};

// REQUIRES: the settings aren't refused.
awaitable<Reviewed> Review(Application& app, const ParsedSetup& setup, std::string model_name,
                           std::chrono::steady_clock::time_point give_up, Context& context) {
  const label_studio::SetupRequest& request = setup.request;
  auto awaiting = app.AwaitServing(app.ProfileOf(context), model_name, give_up);
  const auto models = co_await std::move(awaiting);
  Reviewed reviewed;
  if (request.label_config.empty()) {
    if (models) reviewed.version = models->versions() + prelabel::Fingerprint(*setup.settings);
    co_return reviewed;
  }
  auto finding = app.projects.Get(app.pool, request.label_config, *setup.settings);
  const auto project = co_await std::move(finding);
  if (!project.ok()) {
    reviewed.status = project.status();
  } else if (models) {
    app.recent.Connected({.at = absl::Now(),
                          .profile = app.ProfileOf(context).name,
                          .id = request.project_id,
                          .model_name = model_name,
                          .project = *project});
    const auto work = [&] { return (*project)->ReviewFor(*models); };
    auto reviewing = OnPoolIfLarge(app.pool, request.label_config, work);
    const prelabel::Project::Review review = co_await std::move(reviewing);
    reviewed.status = review.status;
    reviewed.models = models->versions();
    if (!review.status.ok()) co_return reviewed;
    NoteWarnings(review.warnings, request.project_id, **project, context);
    reviewed.warning = review.Text();
    reviewed.version = (*project)->ModelVersion(*models);
  }
  co_return reviewed;
}

awaitable<Response> Setup(Application& app, Request& request, Context& context) {
  const prelabel::Profile& profile = app.ProfileOf(context);
  const auto read = [&](std::string_view body, const label_studio::RequestLimits& limits) {
    return Read(profile.settings, body, limits, context.request);
  };
  auto reading = ParseBody(app.pool, request, read);
  auto setup = co_await std::move(reading);
  if (!setup.ok()) co_return http::ErrorResponse(setup.status());
  const label_studio::SetupRequest& parsed = setup->request;
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  std::string unusable;
  label_studio_api::SetupSite site = label_studio_api::ReadSetupSite(
      app.options.label_studio, parsed.hostname, parsed.access_token, &unusable);
  const NamedProject project{
      .id = parsed.project_id, .created = parsed.project_created, .setup = site};
  Whose whose = app.own_projects.KnownOf(project);
  if (prelabel::HasModel(profile, ModelNameOf(project.id)) ||
      (setup->settings.ok() && setup->settings->background == prelabel::Background::kPush)) {
    auto asking = app.own_projects.Of(project);
    whose = co_await std::move(asking);
  }
  if (whose == Whose::kForeign) {
    // As if the operator had named none: its own token is what its images come with.
    site = label_studio_api::ReadSetupSite({}, parsed.hostname, parsed.access_token, &unusable);
  }
  if (!unusable.empty()) context.request.NoteStr("not_used", unusable);
  const std::string key = Application::ProjectKey(profile, project, whose);
  // Label Studio shows nobody why it was refused.
  const auto refuse = [&](About about, std::string_view reason, const std::string& models) {
    app.recent.Failed({.at = absl::Now(),
                       .profile = profile.name,
                       .project = parsed.project_id,
                       .kind = "setup",
                       .sentence = std::string(reason)});
    app.memory.SetWarning(key, about, text::StrCat("refused: ", reason), models);
  };
  if (!setup->settings.ok()) {
    refuse(About::kExtraParams, text::StdView(setup->settings.status().message()), /*models=*/"");
    co_return http::ErrorResponse(setup->settings.status());
  }
  if (app.memory.SetWarning(key, About::kExtraParams, setup->misspelt) &&
      !setup->misspelt.empty()) {
    serving::LogLine("extra_params.warning", serving::LogLevel::kWarning)
        .Request(context.request)
        .Str("warning", setup->misspelt);
  }
  const std::string model_name = app.ModelNameFor(profile, project, whose);
  auto reviewing = Review(app, *setup, model_name, give_up, context);
  Reviewed reviewed = co_await std::move(reviewing);
  if (!reviewed.status.ok()) {
    refuse(About::kLabelConfig, text::StdView(reviewed.status.message()), reviewed.models);
    co_return http::ErrorResponse(400, text::StrCat("schema: ", reviewed.status.message()));
  }
  auto keeping = app.settings_store.Keep(key, *parsed.extra_params);
  const bool shared = co_await std::move(keeping);
  app.memory.Remember(
      key,
      {.settings = *std::move(setup->settings), .label_studio = std::move(site), .shared = shared});
  app.trainings.Shown(parsed.project_id, parsed.project_created);
  if (!reviewed.version) {
    co_return http::ErrorResponse(Application::ModelsUnknown(profile, model_name));
  }
  app.memory.Announced(profile.name, {*reviewed.version, model_name});
  app.memory.SetWarning(key, About::kLabelConfig, reviewed.warning, reviewed.models);
  boost::json::object answer = {{"model_version", *reviewed.version}};
  const std::string_view between = reviewed.warning.empty() || setup->misspelt.empty() ? "" : "; ";
  const std::string warning = text::StrCat(reviewed.warning, between, setup->misspelt);
  if (!warning.empty()) answer["warning"] = warning;
  co_return http::JsonResponse(std::move(answer));
}

Response Versions(Application& app, const Request&, Context& context) {
  const prelabel::Profile& profile = app.ProfileOf(context);
  boost::json::array versions;
  for (const std::string& version : app.VersionsOf(profile)) versions.emplace_back(version);
  return http::JsonResponse(boost::json::object{{"versions", std::move(versions)}});
}

// The form before 1.5 named the project in the body, and insisted on it.
Response VersionsOfProject(Application& app, const Request& request, Context& context) {
  const auto parsed = label_studio::ParseOlderRequest(request.body);
  if (!parsed.ok()) return http::ErrorResponse(parsed.status());
  if (parsed->project_id.empty()) return http::ErrorResponse(400, "'project' is missing");
  return Versions(app, request, context);
}

// The pairs of control and image in a label config that Duet serves, in the fields that
// Label Studio's MLApiScheme names.
awaitable<Response> Validate(Application& app, Request& request, Context&) {
  auto parsing = ParseBody(app.pool, request, label_studio::ParseOlderRequest);
  const auto parsed = co_await std::move(parsing);
  if (!parsed.ok()) co_return http::ErrorResponse(parsed.status());
  auto reading =
      async::OnPool(app.pool, [&] { return label_studio::ParseLabelConfig(parsed->label_config); });
  const auto config = co_await std::move(reading);
  if (!config.ok()) {
    co_return http::JsonResponse(
        boost::json::object{{"status", "failed"},
                            {"error", text::StrCat("config: ", config.status().message())}},
        422);
  }
  boost::json::array served;
  for (const label_studio::Control& control : config->controls) {
    served.push_back(
        boost::json::object{{"tag_name", control.name},
                            {"tag_type", control.tag()},
                            {"source_name", control.to_name},
                            {"source_type", "Image"},
                            {"source_value", config->FindImage(control.to_name)->value}});
  }
  co_return http::JsonResponse(std::move(served));
}

// A deleted or copied project: there is no model of its own, but its extra_params are remembered.
awaitable<Response> Delete(Application& app, const Request& request, Context& context) {
  const auto parsed = label_studio::ParseOlderRequest(request.body);
  if (!parsed.ok()) co_return http::ErrorResponse(parsed.status());
  const std::string key =
      app.ProjectKey(app.ProfileOf(context), parsed->project_id, parsed->project_created);
  app.memory.Forget(key);
  auto forgetting = app.settings_store.Forget(key);
  co_await std::move(forgetting);
  co_return http::JsonResponse(boost::json::object());
}

awaitable<Response> DuplicateModel(Application& app, const Request& request, Context& context) {
  const auto parsed = label_studio::ParseOlderRequest(request.body);
  if (!parsed.ok()) co_return http::ErrorResponse(parsed.status());
  if (parsed->project_id.empty() || parsed->destination_id.empty()) {
    co_return http::ErrorResponse(400, "'project_src' or 'project_dst' is missing");
  }
  const prelabel::Profile& profile = app.ProfileOf(context);
  const std::string from = app.ProjectKey(profile, parsed->project_id, parsed->project_created);
  const std::string to = app.ProjectKey(profile, parsed->destination_id, /*created=*/0);
  if (auto setup = app.memory.Find(from)) app.memory.Remember(to, *std::move(setup));
  auto copying = app.settings_store.Copy(from, to);
  co_await std::move(copying);
  co_return http::JsonResponse(boost::json::object());
}

}  // namespace

void AddSetup(Application& app, http::Router& router) {
  router.Add(verb::post, "/setup", WithApplication(app, Setup));
  router.AddQuick(verb::get, "/versions", WithApplication(app, Versions));
  router.AddQuick(verb::post, "/versions", WithApplication(app, VersionsOfProject));
  router.Add(verb::post, "/validate", WithApplication(app, Validate));
  router.Add(verb::post, "/delete", WithApplication(app, Delete));
  router.Add(verb::post, "/duplicate_model", WithApplication(app, DuplicateModel));
}

}  // namespace gateway::endpoints
