#include "prelabel/predictor.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "async/concurrency.h"
#include "curation/informativeness.h"
#include "image_fetch/async_fetch.h"
#include "label_studio/context.h"
#include "label_studio/result.h"
#include "prelabel/image_objects.h"
#include "prelabel/metrics.h"
#include "prelabel/translate.h"
#include "serving/log.h"
#include "text/str_cat.h"
#include "tracing/span.h"

namespace prelabel {
namespace {

namespace asio = boost::asio;
namespace segmenter = duet::segmenter::v1;
using asio::awaitable;
using label_studio::Object;
using label_studio::Regions;

// Measures its own lifetime: adds it to `total_ms` and observes it in `histogram`.
class Stopwatch {
 public:
  Stopwatch(double& total_ms, prometheus::Histogram& histogram)
      : total_ms_(total_ms), histogram_(histogram) {}
  ~Stopwatch() {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
    total_ms_ += elapsed.count() * 1000;
    histogram_.Observe(elapsed.count());
  }

 private:
  double& total_ms_;
  prometheus::Histogram& histogram_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

backends::ImageRef RefOf(const std::shared_ptr<const image_fetch::FetchedImage>& image) {
  return {.id = image->image_id, .bytes = {image, &image->bytes}};
}

// `context.call` for an image of this task and the service of this model; null: of any version.
template <typename Model>
backends::CallOptions CallOf(const PredictContext& context, std::int64_t task_id,
                             const std::shared_ptr<const Model>& model) {
  backends::CallOptions call = context.call;
  call.task_id = task_id;
  if (model) {
    call.model = model->served_as;
    call.version = model->version;
  }
  return call;
}

// Attempts at one task whose models are replaced again and again: while somebody waits, and else.
constexpr int kAttempts = 6;
constexpr int kPatientAttempts = 30;
// Before the second attempt; then twice as long each time. The backends find out at once which
// models are served.
constexpr auto kFirstPause = std::chrono::milliseconds(25);
constexpr auto kLongestPause = std::chrono::milliseconds(1000);

// What objects of this class are called in the project; null if it has no label for them.
const std::string* LabelOf(const label_studio::EmissionPlan& plan, const std::string& class_name) {
  const auto targets = plan.TargetsOf(class_name);
  if (targets.empty()) return nullptr;
  const label_studio::Label* const label = targets.front().label;
  return label == nullptr ? &class_name : &label->written();
}

// The objects that have a label in the project.
std::vector<curation::Detection> Labelled(const label_studio::EmissionPlan& plan,
                                          const std::vector<Object>& objects) {
  std::vector<curation::Detection> labelled;
  for (const Object& object : objects) {
    const std::string* const label = LabelOf(plan, object.class_name);
    if (label != nullptr) labelled.push_back({*label, object.score, object.box});
  }
  return labelled;
}

// What is done for one task: a span of the request's, within which all of its calls are.
struct TracedTask {
  TracedTask(const PredictContext& request, const label_studio::Task& task, std::string_view name)
      : span(request.call.traceparent, name), context(request) {
    span.SetInt("duet.task_id", task.id);
    context.call.traceparent = span.traceparent();
  }

  tracing::Span span;
  PredictContext context;
};

absl::Status ModelsUnknown() {
  return absl::UnavailableError("the models have not been heard of yet");
}

absl::Status NoSegmenter() {
  return absl::FailedPreconditionError(
      "this backend URL has no segmenter (see --segmenter and --profiles)");
}

}  // namespace

FailureKind ClassifyFailure(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kAborted:
      return FailureKind::kTransient;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
      return FailureKind::kPermanent;
    default:
      return FailureKind::kInternal;
  }
}

struct Predictor::TaskImage {
  ImagePtr image;
  std::int64_t task_id = 0;
  int item_index = -1;  // which image of a list tag; -1: the tag has just one
};

awaitable<absl::StatusOr<Predictor::ImagePtr>> Predictor::Fetch(std::string uri,
                                                                std::int64_t task_id,
                                                                PredictContext& context) {
  const Stopwatch stopwatch(context.timings->fetch_ms, metrics_.Get(kStageSeconds, {"fetch"}));
  image_fetch::ImageRequest request;
  request.uri = std::move(uri);
  request.task_id = task_id;
  request.label_studio = context.label_studio;
  request.deadline = absl::FromChrono(context.call.deadline);
  tracing::Span span(context.call.traceparent, "fetch image");
  // A cached image costs no switch of threads.
  ImagePtr cached = fetcher_.Find(request);
  span.SetBool("duet.cached", cached != nullptr);
  if (cached) co_return cached;
  auto pending = image_fetch::AsyncFetch(fetcher_, std::move(request));
  auto fetched = co_await std::move(pending);
  span.SetStatus(fetched.status());
  if (fetched.ok()) {
    span.SetInt("duet.image_bytes", static_cast<std::int64_t>((*fetched)->bytes.size()));
  }
  co_return fetched;
}

awaitable<absl::StatusOr<segmenter::EmbedResponse>> Predictor::Embed(
    std::shared_ptr<backends::SegmenterClient> client, ImagePtr image, backends::CallOptions call,
    std::shared_ptr<Timings> timings) {
  const Stopwatch stopwatch(timings->embed_ms, metrics_.Get(kStageSeconds, {"embed"}));
  auto pending = client->Embed(RefOf(image), std::move(call));
  co_return co_await std::move(pending);
}

awaitable<absl::StatusOr<ImageObjects>> Predictor::FindObjects(
    duet::detector::v1::DetectRequest request, const TaskImage& image, PredictContext& context,
    const ServedModels& models) {
  if (!context.profile.detector) co_return ImageObjects{.size = image.image->size};
  const Stopwatch stopwatch(context.timings->detect_ms, metrics_.Get(kStageSeconds, {"detect"}));
  auto detecting = DetectObjects(*context.profile.detector, RefOf(image.image), std::move(request),
                                 CallOf(context, image.task_id, models.detector));
  co_return co_await std::move(detecting);
}

awaitable<absl::Status> Predictor::SegmentBoxes(const TaskImage& image, ImageObjects& found,
                                                PredictContext& context,
                                                const ServedModels& models) {
  const Stopwatch stopwatch(context.timings->segment_ms, metrics_.Get(kStageSeconds, {"segment"}));
  auto adding = AddMasks(*context.profile.segmenter, RefOf(image.image),
                         CallOf(context, image.task_id, models.segmenter), &found.objects);
  co_return co_await std::move(adding);
}

awaitable<absl::StatusOr<std::shared_ptr<const PlannedConfig>>> Predictor::PlanFor(
    const label_studio::Task& task, PredictContext& context, const ServedModels& models) {
  if (!context.project->depends_on_task()) co_return context.project->PlanFor(models, task.data);
  auto planning = async::OnPool(pool_, [&] { return context.project->PlanFor(models, task.data); });
  co_return co_await std::move(planning);
}

awaitable<absl::StatusOr<std::shared_ptr<const label_studio::LabelConfig>>> Predictor::ConfigFor(
    const label_studio::Task& task, const PredictContext& context) {
  if (!context.project->depends_on_task()) co_return context.project->ConfigFor(task.data);
  auto parsing = async::OnPool(pool_, [&] { return context.project->ConfigFor(task.data); });
  co_return co_await std::move(parsing);
}

void Predictor::NoteMissingMasks(const PredictContext& context) {
  if (!context.project->IsFirst(context.project_id, Project::kNoMasks)) return;
  serving::LogLine("label_config.warning", serving::LogLevel::kWarning)
      .Request(context.request)
      .Str("warning", Project::kNoMasks);
}

void Predictor::Count(const PredictContext& context, const Regions& regions) {
  metrics_.Get(kRegions).Increment(regions.count);
  if (regions.degenerate > 0) metrics_.Get(kDropped, {"degenerate"}).Increment(regions.degenerate);
  for (const std::string& name :
       context.project->FirstSeen(context.project_id, regions.unmatched_classes)) {
    metrics_.Get(kDropped, {"unlabelled_class"}).Increment();
    serving::LogLine("class.unlabelled").Request(context.request).Str("class", name);
  }
}

awaitable<absl::StatusOr<Prediction>> Predictor::WithModels(PredictContext& context,
                                                            Attempt attempt) {
  const int max_attempts = context.call.patient() ? kPatientAttempts : kAttempts;
  auto pause = kFirstPause;
  for (int attempts = 1;; ++attempts) {
    const auto models = Serving(context.profile, context.model_name);
    absl::StatusOr<Regions> regions = ModelsUnknown();
    if (models) {
      auto trying = attempt(*models);
      regions = co_await std::move(trying);
    } else if (!Serving(context.profile)) {
      co_return regions.status();  // nothing was heard of the services at all
    }
    if (regions.ok()) {
      Count(context, *regions);
      Prediction prediction{.model_version = context.project->ModelVersion(*models)};
      prediction.json = label_studio::PredictionJson(*regions, prediction.model_version);
      co_return prediction;
    }
    // A project's model that isn't known is being loaded.
    if (models && !absl::IsAborted(regions.status())) co_return regions.status();
    if (attempts == max_attempts ||
        std::chrono::system_clock::now() + pause >= context.call.deadline) {
      co_return absl::UnavailableError(regions.status().message());
    }
    asio::steady_timer timer(co_await asio::this_coro::executor, pause);
    co_await timer.async_wait(asio::use_awaitable);
    pause = std::min(2 * pause, kLongestPause);
  }
}

awaitable<absl::StatusOr<Prediction>> Predictor::Predict(const label_studio::Task& task,
                                                         PredictContext& context) {
  TracedTask traced(context, task, "predict task");
  auto answering = WithModels(traced.context, [this, &task, &traced](const ServedModels& models) {
    return TryPredict(task, traced.context, models);
  });
  auto prediction = co_await std::move(answering);
  traced.span.SetStatus(prediction.status());
  co_return prediction;
}

awaitable<absl::StatusOr<Prediction>> Predictor::SegmentPrompt(const label_studio::Task& task,
                                                               const boost::json::value& prompt,
                                                               PredictContext& context) {
  if (!context.profile.segmenter) co_return NoSegmenter();
  TracedTask traced(context, task, "segment prompt");
  auto answering =
      WithModels(traced.context, [this, &task, &prompt, &traced](const ServedModels& models) {
        return TrySegmentPrompt(task, prompt, traced.context, models);
      });
  auto prediction = co_await std::move(answering);
  traced.span.SetStatus(prediction.status());
  co_return prediction;
}

awaitable<absl::StatusOr<Regions>> Predictor::TryPredict(const label_studio::Task& task,
                                                         PredictContext& context,
                                                         const ServedModels& models) {
  auto planning = PlanFor(task, context, models);
  const auto planned = co_await std::move(planning);
  if (!planned.ok()) co_return planned.status();
  const std::vector<label_studio::EmissionPlan>& plans = (*planned)->plans;
  const bool writes_nothing =
      std::all_of(plans.begin(), plans.end(), [](const auto& plan) { return plan.empty(); });
  Regions all;
  double informativeness = 0;
  for (const label_studio::EmissionPlan& plan : plans) {
    if (plan.lacks_masks()) {
      if (writes_nothing) co_return NoSegmenter();
      NoteMissingMasks(context);
    }
    const bool click_expected = context.call.priority == serving::Priority::kOpenedTask &&
                                context.profile.segmenter &&
                                (*planned)->config->has_smart_control(plan.image().name);
    if (plan.empty() && !click_expected) continue;
    const auto uris = label_studio::ImageUris(plan.image(), task.data);
    if (!uris.ok()) co_return uris.status();
    for (std::size_t i = 0; i < uris->size(); ++i) {
      auto fetching = Fetch((*uris)[i], task.id, context);
      auto image = co_await std::move(fetching);
      if (!image.ok()) co_return image.status();
      const TaskImage of_task{.image = *std::move(image),
                              .task_id = task.id,
                              .item_index = plan.image().is_list ? static_cast<int>(i) : -1};
      auto predicting =
          PredictImage(plan, of_task, click_expected, context, models, &informativeness);
      auto regions = co_await std::move(predicting);
      if (!regions.ok()) co_return regions.status();
      all.Append(*std::move(regions));
    }
  }
  if (context.project->settings().score == Score::kUncertainty) {
    all.score = curation::PredictionScore(informativeness);
  }
  co_return all;
}

awaitable<absl::StatusOr<Regions>> Predictor::PredictImage(
    const label_studio::EmissionPlan& plan, const TaskImage& image, bool click_expected,
    PredictContext& context, const ServedModels& models, double* informativeness) {
  const auto strand = co_await asio::this_coro::executor;
  const bool sam_masks =
      plan.needs_masks() && context.profile.detector && !context.project->UsesOwnMasks(models);
  std::optional<async::ConcurrentTask<absl::StatusOr<segmenter::EmbedResponse>>> embedding;
  if (context.profile.segmenter && (sam_masks || click_expected)) {
    embedding.emplace(strand,
                      Embed(context.profile.segmenter, image.image,
                            CallOf(context, image.task_id, models.segmenter), context.timings));
  }

  auto finding = FindObjects(ToDetectRequest(context.project->settings(), plan.needs_masks()),
                             image, context, models);
  auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  if (context.project->settings().score == Score::kUncertainty) {
    *informativeness += curation::Informativeness(Labelled(plan, found->objects));
    TakeWeak(context.project->settings(), &found->objects);
  }
  std::vector<std::string> dropped;
  std::erase_if(found->objects, [&](const Object& object) {
    if (!plan.TargetsOf(object.class_name).empty()) return false;
    dropped.push_back(object.class_name);
    return true;
  });

  const bool any_unmasked = std::any_of(found->objects.begin(), found->objects.end(),
                                        [](const Object& object) { return !object.mask; });
  if (sam_masks && embedding && any_unmasked) {
    auto waiting = embedding->Get();
    auto embedded = co_await std::move(waiting);
    absl::Status status = embedded.status();
    if (status.ok()) {
      auto segmenting = SegmentBoxes(image, *found, context, models);
      status = co_await std::move(segmenting);
    }
    if (!status.ok()) {
      const bool boxes_do = context.project->settings().degrade == Degrade::kBoxes;
      if (!IsRetryable(status) || !boxes_do) co_return status;
      metrics_.Get(kDegraded).Increment();
      context.request.NoteBool("degraded", true);
    }
  }
  if (embedding && click_expected) embedding->Detach();
  embedding.reset();  // cancels it if nothing was found

  const Stopwatch stopwatch(context.timings->encode_ms, metrics_.Get(kStageSeconds, {"encode"}));
  const tracing::Span span(context.call.traceparent, "write regions");
  Regions regions;
  if (plan.needs_masks()) {
    auto encoding = async::OnPool(pool_, [&plan, &found, item_index = image.item_index] {
      return label_studio::MakeRegions(plan, found->size, found->objects, item_index);
    });
    regions = co_await std::move(encoding);
  } else {
    regions = label_studio::MakeRegions(plan, found->size, found->objects, image.item_index);
  }
  regions.unmatched_classes.insert(regions.unmatched_classes.end(), dropped.begin(), dropped.end());
  co_return regions;
}

awaitable<absl::StatusOr<FoundInTask>> Predictor::Find(const label_studio::Task& task,
                                                       PredictContext& context) {
  if (!context.profile.detector) {
    co_return absl::FailedPreconditionError(
        "this backend URL has no detector (see --detector and --profiles)");
  }
  FoundInTask found;
  TracedTask traced(context, task, "find in task");
  auto finding = WithModels(traced.context,
                            [&](const ServedModels& models) -> awaitable<absl::StatusOr<Regions>> {
                              auto trying = TryFind(task, traced.context, models, &found);
                              if (absl::Status status = co_await std::move(trying); !status.ok())
                                co_return status;
                              co_return Regions();
                            });
  const auto answered = co_await std::move(finding);
  if (!answered.ok()) co_return answered.status();
  found.model_version = answered->model_version;
  co_return found;
}

awaitable<absl::Status> Predictor::TryFind(const label_studio::Task& task, PredictContext& context,
                                           const ServedModels& models, FoundInTask* found) {
  *found = {};
  auto planning = PlanFor(task, context, models);
  const auto planned = co_await std::move(planning);
  if (!planned.ok()) co_return planned.status();
  found->config = (*planned)->config;
  Settings weak_too = context.project->settings();
  weak_too.score = Score::kUncertainty;
  for (const label_studio::EmissionPlan& plan : (*planned)->plans) {
    if (plan.empty()) continue;
    for (const std::string& name : models.detector->classes) {
      if (const std::string* label = LabelOf(plan, name)) found->labels.insert(*label);
    }
    const auto uris = label_studio::ImageUris(plan.image(), task.data);
    if (!uris.ok()) co_return uris.status();
    for (std::size_t i = 0; i < uris->size(); ++i) {
      auto fetching = Fetch((*uris)[i], task.id, context);
      auto image = co_await std::move(fetching);
      if (!image.ok()) co_return image.status();
      const TaskImage of_task{.image = *std::move(image), .task_id = task.id};
      auto finding =
          FindObjects(ToDetectRequest(weak_too, /*needs_masks=*/false), of_task, context, models);
      auto objects = co_await std::move(finding);
      if (!objects.ok()) co_return objects.status();
      found->images.push_back({.to_name = plan.image().name,
                               .item_index = static_cast<int>(i),
                               .size = objects->size,
                               .detections = Labelled(plan, objects->objects)});
    }
  }
  co_return absl::OkStatus();
}

awaitable<absl::StatusOr<EmbeddedAhead>> Predictor::EmbedAhead(const label_studio::Task& task,
                                                               bool only_where_clicked,
                                                               PredictContext& context) {
  if (!context.profile.segmenter) co_return NoSegmenter();
  TracedTask traced(context, task, "embed task");
  auto parsing = ConfigFor(task, traced.context);
  const auto config = co_await std::move(parsing);
  if (!config.ok()) co_return config.status();
  EmbeddedAhead done;
  for (const label_studio::ImageTag& tag : (*config)->images) {
    if (only_where_clicked && !(*config)->has_smart_control(tag.name)) continue;
    const auto uris = label_studio::ImageUris(tag, task.data);
    if (!uris.ok()) co_return uris.status();
    for (const std::string& uri : *uris) {
      auto fetching = Fetch(uri, task.id, traced.context);
      auto image = co_await std::move(fetching);
      if (!image.ok()) co_return image.status();
      const auto model = context.profile.segmenter->model(context.model_name);
      if (model == nullptr) co_return ModelsUnknown();  // the default one's may be another encoder
      auto embedding = Embed(context.profile.segmenter, *image,
                             CallOf(traced.context, task.id, model), context.timings);
      const auto embedded = co_await std::move(embedding);
      if (!embedded.ok()) co_return embedded.status();
      ++(embedded->cached() ? done.already_there : done.encoded);
      done.kept_bytes += embedded->kept_bytes();
    }
  }
  co_return done;
}

awaitable<absl::StatusOr<Regions>> Predictor::TrySegmentPrompt(const label_studio::Task& task,
                                                               const boost::json::value& prompt,
                                                               PredictContext& context,
                                                               const ServedModels& models) {
  auto parsing = ConfigFor(task, context);
  const auto config = co_await std::move(parsing);
  if (!config.ok()) co_return config.status();
  const auto parsed = label_studio::ParseContext(prompt, **config);
  if (!parsed.ok()) co_return parsed.status();
  // On the pool, since the first click of a project looks at all of its labels.
  auto choosing = async::OnPool(
      pool_, [&] { return context.project->AnswersFor(*config)->ChooseTargets(*parsed); });
  const auto targets = co_await std::move(choosing);
  if (!targets.ok()) co_return targets.status();
  // Points that say only what isn't wanted select nothing. SAM, asked with them alone, would answer
  // with the very thing that they exclude.
  if (!parsed->selects_something()) co_return Regions();

  const label_studio::ImageTag* const tag = (*config)->FindImage(parsed->to_name);
  const auto uris = label_studio::ImageUris(*tag, task.data);
  if (!uris.ok()) co_return uris.status();
  const auto index = static_cast<std::size_t>(std::max(0, parsed->item_index));
  if (index >= uris->size()) {
    co_return absl::InvalidArgumentError(
        absl::StrCat("item_index is ", index, " but the task has ", uris->size(), " images"));
  }
  auto fetching = Fetch((*uris)[index], task.id, context);
  const auto image = co_await std::move(fetching);
  if (!image.ok()) co_return image.status();

  auto request = ToSegmentRequest(*parsed, (*image)->size, models.segmenter->low_res_size);
  std::optional<ScoredMask> best;
  {
    const Stopwatch stopwatch(context.timings->segment_ms,
                              metrics_.Get(kStageSeconds, {"segment"}));
    auto pending = context.profile.segmenter->Segment(RefOf(*image), std::move(request),
                                                      CallOf(context, task.id, models.segmenter));
    const auto response = co_await std::move(pending);
    if (!response.ok()) co_return response.status();
    context.request.NoteStr("embedding", response->embedding_cached() ? "hit" : "miss");
    auto masks = BestMasks(*response, 1);
    if (!masks.ok()) co_return masks.status();
    best = std::move(masks->front());
  }
  const Stopwatch stopwatch(context.timings->encode_ms, metrics_.Get(kStageSeconds, {"encode"}));
  const tracing::Span span(context.call.traceparent, "write regions");
  auto encoding = async::OnPool(
      pool_, [&] { return label_studio::MakeAnswer(*parsed, *targets, best->mask, best->score); });
  co_return co_await std::move(encoding);
}

}  // namespace prelabel
