// What the page at /ui asks of the models: POST /ui/images, /ui/detect, /ui/embed, /ui/segment,
// /ui/hover, /ui/export and /ui/config, and GET /ui/models.
//
// An image comes once and is kept for a while (kept_images.h); whatever follows names it by its id,
// and is 404 if it has been dropped meanwhile: then the page sends it again. /ui/hover is
// /ui/segment for a pointer that only passes by: the services rank it behind clicks, and it isn't
// logged.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "async/concurrency.h"
#include "gateway/endpoints/body.h"
#include "gateway/endpoints/config_review.h"
#include "gateway/endpoints/kept_images.h"
#include "gateway/endpoints/routes.h"
#include "gateway/endpoints/try_it_export.h"
#include "gateway/endpoints/try_it_messages.h"
#include "image_fetch/async_fetch.h"
#include "prelabel/image_objects.h"
#include "prelabel/translate.h"
#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

namespace json = boost::json;
using boost::asio::awaitable;
using boost::beast::http::verb;
using http::Context;
using http::Request;
using http::Response;
using std::chrono::steady_clock;

// The page's slider goes down to it, so weaker objects are of no use.
constexpr double kLeastScore = 0.05;
// Of one image: what a person can still look at.
constexpr int kMostObjects = 300;
// Somebody waits, and can try again.
constexpr auto kPatience = std::chrono::seconds(60);
constexpr auto kHoverPatience = std::chrono::seconds(5);

// How long the encoder took last, by model version: what a ring counts down from.
class EncoderTimes {
 public:
  void Note(const std::string& version, double seconds) {
    const std::lock_guard lock(mutex_);
    if (seconds_.size() >= kMaxVersions) seconds_.clear();
    seconds_[version] = seconds;
  }
  // Nothing before the first one.
  std::optional<double> Find(const std::string& version) const {
    const std::lock_guard lock(mutex_);
    const auto found = seconds_.find(version);
    return found == seconds_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  static constexpr std::size_t kMaxVersions = 100;
  mutable std::mutex mutex_;
  std::map<std::string, double> seconds_;  // guarded by mutex_
};

// What the handlers share. Thread-safe.
struct TryIt {
  explicit TryIt(Application& app) : app(app) {}

  Application& app;
  KeptImages images;
  EncoderTimes encoder_times;
};

backends::ImageRef RefOf(const KeptImages::ImagePtr& image) {
  return {.id = image->image_id, .bytes = {image, &image->bytes}};
}

backends::CallOptions CallOf(const Context& context, serving::Priority priority,
                             std::chrono::seconds patience) {
  return {.deadline = std::chrono::system_clock::now() + patience,
          .request_id = context.request.request_id(),
          .traceparent = context.request.traceparent(),
          .priority = priority};
}

Response NotKept() {
  return http::ErrorResponse(404, "The image is not kept here any more; send it again.");
}
Response Lacks(std::string_view service) {
  return http::ErrorResponse(
      400, text::StrCat("This URL has no ", service, " (see --", service, " and --profiles)."));
}

json::value Describe(const auto* client) {
  if (client == nullptr) return nullptr;
  const auto health = client->health();
  json::object described = {{"reachable", health.reachable}};
  if (!health.error.empty()) described["error"] = health.error;
  const auto model = client->known_model(backends::kDefaultModel);
  if (model) {
    described["name"] = model->name;
    described["version"] = model->version;
  }
  return described;
}

Response Models(TryIt& it, const Request&, Context& context) {
  const prelabel::Profile& profile = it.app.ProfileOf(context);
  json::object body = {{"detector", Describe(profile.detector.get())},
                       {"segmenter", Describe(profile.segmenter.get())},
                       {"score_threshold", profile.settings.score_threshold},
                       {"least_score", kLeastScore}};
  json::array& classes = body["classes"].emplace_array();
  if (profile.detector) {
    if (const auto model = profile.detector->model()) {
      for (const std::string& name : model->classes) classes.emplace_back(name);
    }
  }
  return http::JsonResponse(body);
}

awaitable<Response> Upload(TryIt& it, Request& request, Context& context) {
  auto parsing = ParseBody(it.app.pool, request, ParseUpload);
  auto uri = co_await std::move(parsing);
  if (!uri.ok()) co_return http::ErrorResponse(uri.status());
  image_fetch::ImageRequest wanted;
  wanted.uri = *std::move(uri);
  wanted.deadline = absl::Now() + absl::FromChrono(kPatience);
  auto fetching = image_fetch::AsyncFetch(it.app.fetcher, std::move(wanted));
  auto image = co_await std::move(fetching);
  if (!image.ok()) co_return http::ErrorResponse(image.status());
  if (!it.images.Keep(*image)) {
    co_return http::ErrorResponse(
        400, text::StrCat("The picture has ", (*image)->bytes.size(), " bytes; the page takes ",
                          KeptImages::kMaxBytes >> 20, " MiB at most."));
  }
  json::object body = {{"image_id", (*image)->image_id},
                       {"width", (*image)->size.width},
                       {"height", (*image)->size.height},
                       {"encoder_seconds", nullptr}};
  const prelabel::Profile& profile = it.app.ProfileOf(context);
  if (profile.segmenter) {
    const auto model = profile.segmenter->model();
    const auto seconds = model ? it.encoder_times.Find(model->version) : std::nullopt;
    if (seconds) body["encoder_seconds"] = *seconds;
  }
  co_return http::JsonResponse(body);
}

awaitable<Response> Detect(TryIt& it, Request& request, Context& context) {
  const auto id = ParseImageId(request.body, {});
  if (!id.ok()) co_return http::ErrorResponse(id.status());
  const prelabel::Profile& profile = it.app.ProfileOf(context);
  if (!profile.detector) co_return Lacks("detector");
  const auto image = it.images.Find(*id);
  if (!image) co_return NotKept();
  prelabel::Settings settings = profile.settings;
  settings.score = prelabel::Score::kMean;
  settings.score_threshold = kLeastScore;
  settings.max_detections = kMostObjects;
  auto detecting = prelabel::DetectObjects(
      *profile.detector, RefOf(image), prelabel::ToDetectRequest(settings, /*needs_masks=*/true),
      CallOf(context, serving::Priority::kInteractive, kPatience));
  const auto found = co_await std::move(detecting);
  if (!found.ok()) co_return http::ErrorResponse(found.status());
  auto writing = async::OnPool(it.app.pool, [&found] {
    json::object body = {{"width", found->size.width}, {"height", found->size.height}};
    json::array& objects = body["objects"].emplace_array();
    for (const label_studio::Object& object : found->objects) objects.push_back(ToJson(object));
    return http::JsonResponse(body);
  });
  co_return co_await std::move(writing);
}

awaitable<Response> Embed(TryIt& it, Request& request, Context& context) {
  const auto id = ParseImageId(request.body, {});
  if (!id.ok()) co_return http::ErrorResponse(id.status());
  const prelabel::Profile& profile = it.app.ProfileOf(context);
  if (!profile.segmenter) co_return Lacks("segmenter");
  const auto image = it.images.Find(*id);
  if (!image) co_return NotKept();
  const auto begin = steady_clock::now();
  auto embedding = profile.segmenter->Embed(
      RefOf(image), CallOf(context, serving::Priority::kOpenedTask, kPatience));
  const auto embedded = co_await std::move(embedding);
  if (!embedded.ok()) co_return http::ErrorResponse(embedded.status());
  const std::chrono::duration<double> took = steady_clock::now() - begin;
  if (!embedded->cached()) it.encoder_times.Note(embedded->model_version(), took.count());
  co_return http::JsonResponse(
      json::object{{"cached", embedded->cached()}, {"seconds", took.count()}});
}

awaitable<Response> Segment(TryIt& it, Request& request, Context& context, bool hover) {
  auto parsing = ParseBody(it.app.pool, request, ParsePrompts);
  auto prompts = co_await std::move(parsing);
  if (!prompts.ok()) co_return http::ErrorResponse(prompts.status());
  const prelabel::Profile& profile = it.app.ProfileOf(context);
  if (!profile.segmenter) co_return Lacks("segmenter");
  const auto image = it.images.Find(prompts->image_id);
  if (!image) co_return NotKept();
  const auto count = static_cast<std::size_t>(prompts->request.prompts_size());
  if (hover && count != 1) {
    co_return http::ErrorResponse(400, text::StrCat("'prompts' has ", count, "; needed: one."));
  }
  prompts->request.set_hover(hover);
  // What a click adds to starts from its mask; a pointer that passes by leaves nothing behind.
  prompts->request.set_refine(!hover);
  const auto begin = steady_clock::now();
  auto segmenting = profile.segmenter->Segment(
      RefOf(image), std::move(prompts->request),
      CallOf(context, serving::Priority::kInteractive, hover ? kHoverPatience : kPatience));
  const auto answer = co_await std::move(segmenting);
  if (!answer.ok()) co_return http::ErrorResponse(answer.status());
  const std::chrono::duration<double, std::milli> took = steady_clock::now() - begin;
  auto writing = async::OnPool(it.app.pool, [&]() -> Response {
    const auto masks = prelabel::BestMasks(*answer, count);
    if (!masks.ok()) return http::ErrorResponse(masks.status());
    json::object body = {{"segmenter_ms", took.count()}};
    json::array& list = body["masks"].emplace_array();
    for (const prelabel::ScoredMask& mask : *masks) list.push_back(ToJson(mask));
    return http::JsonResponse(body);
  });
  co_return co_await std::move(writing);
}

awaitable<Response> Export(TryIt& it, Request& request, Context&) {
  auto working = ParseBody(it.app.pool, request, ExportObjects);
  const auto exported = co_await std::move(working);
  if (!exported.ok()) co_return http::ErrorResponse(exported.status());
  co_return http::JsonResponse(*exported);
}

awaitable<Response> Config(TryIt& it, Request& request, Context& context) {
  auto parsing = ParseBody(it.app.pool, request, ParseConfigQuestion);
  const auto question = co_await std::move(parsing);
  if (!question.ok()) co_return http::ErrorResponse(question.status());
  const prelabel::Profile& profile = it.app.ProfileOf(context);
  const auto models = prelabel::Serving(profile);
  if (!models) {
    co_return http::ErrorResponse(Application::ModelsUnknown(profile, backends::kDefaultModel));
  }
  auto working = async::OnPool(it.app.pool,
                               [&] { return ReviewConfig(*question, profile.settings, *models); });
  const auto review = co_await std::move(working);
  if (!review.ok()) co_return http::ErrorResponse(review.status());
  co_return http::JsonResponse(*review);
}

}  // namespace

void AddTryIt(Application& app, http::Router& router) {
  auto it = std::make_shared<TryIt>(app);
  router.AddQuick(verb::get, "/ui/models", [it](const Request& request, Context& context) {
    return Models(*it, request, context);
  });
  const auto add = [&](std::string_view pattern, auto* handler) {
    router.Add(verb::post, pattern, [it, handler](Request& request, Context& context) {
      return handler(*it, request, context);
    });
  };
  add("/ui/images", Upload);
  add("/ui/detect", Detect);
  add("/ui/embed", Embed);
  add("/ui/export", Export);
  add("/ui/config", Config);
  router.Add(verb::post, "/ui/segment", [it](Request& request, Context& context) {
    return Segment(*it, request, context, /*hover=*/false);
  });
  router.Add(verb::post, "/ui/hover", [it](Request& request, Context& context) {
    return Segment(*it, request, context, /*hover=*/true);
  });
}

}  // namespace gateway::endpoints
