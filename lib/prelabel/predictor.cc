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
#include "image_fetch/async_fetch.h"
#include "label_studio/context.h"
#include "label_studio/result.h"
#include "prelabel/metrics.h"
#include "serving/log.h"
#include "text/str_cat.h"
#include "vision/mask_rle.h"

namespace prelabel {
namespace {

namespace asio = boost::asio;
namespace detector = duet::detector::v1;
namespace segmenter = duet::segmenter::v1;
using asio::awaitable;
using label_studio::Object;
using label_studio::Regions;

// Adds the time of its life to `total`.
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

vision::Box FromProto(const duet::vision::v1::Box& box) {
  return {box.x_min(), box.y_min(), box.x_max(), box.y_max()};
}

void ToProto(const vision::Box& box, duet::vision::v1::Box* proto) {
  proto->set_x_min(box.x_min);
  proto->set_y_min(box.y_min);
  proto->set_x_max(box.x_max);
  proto->set_y_max(box.y_max);
}

absl::StatusOr<Object> FromProto(const detector::Detection& detection) {
  Object object{.class_name = detection.label(),
                .score = detection.score(),
                .box = FromProto(detection.box())};
  if (detection.has_rotated_box()) {
    const auto& box = detection.rotated_box();
    object.rotated_box = vision::RotatedBox{.center = {box.center_x(), box.center_y()},
                                            .width = box.width(),
                                            .height = box.height(),
                                            .angle = box.angle()};
  }
  if (detection.has_mask()) {
    const auto& rle = detection.mask();
    auto mask = vision::DecodeCocoRle(
        {static_cast<int>(rle.width()), static_cast<int>(rle.height())}, rle.counts());
    if (!mask.ok())
      return absl::InternalError(
          text::StrCat("the detector sent a bad mask: ", mask.status().message()));
    object.mask = *std::move(mask);
    object.mask_score = detection.score();
  }
  return object;
}

struct ScoredMask {
  vision::Mask mask;
  float score = 0;
};

// The best mask of a prompt by the model's own estimate.
absl::StatusOr<ScoredMask> BestMask(const segmenter::PromptResult& result) {
  const auto best =
      std::max_element(result.masks().begin(), result.masks().end(),
                       [](const auto& a, const auto& b) { return a.iou_score() < b.iou_score(); });
  if (best == result.masks().end()) return absl::InternalError("the segmenter sent no mask");
  const auto& runs = best->row_runs();
  auto mask =
      vision::DecodeRowRuns({static_cast<int>(runs.width()), static_cast<int>(runs.height())},
                            absl::MakeConstSpan(runs.counts().data(), runs.counts_size()));
  if (!mask.ok())
    return absl::InternalError(
        text::StrCat("the segmenter sent a bad mask: ", mask.status().message()));
  return ScoredMask{*std::move(mask), best->iou_score()};
}

segmenter::EmbedRank RankOf(Urgency urgency) {
  switch (urgency) {
    case Urgency::kOpened:
      return segmenter::EMBED_RANK_OPENED_TASK;
    case Urgency::kBatch:
      return segmenter::EMBED_RANK_BATCH;
    case Urgency::kBackground:
      return segmenter::EMBED_RANK_PREFETCH;
  }
  return segmenter::EMBED_RANK_UNSPECIFIED;
}

// The detector makes masks, and they are wanted.
bool UsesOwnMasks(const PredictJob& job, const ServedModels& models) {
  return models.detector->has_masks && job.project->settings().mask_source != "sam";
}

// `job.call` for the service of this model; null: of any version.
template <typename Model>
backends::CallOptions CallOf(const PredictJob& job, const std::shared_ptr<const Model>& model) {
  backends::CallOptions call = job.call;
  if (model) call.version = model->version;
  return call;
}

// At one task, while models are replaced all the time.
constexpr int kAttempts = 6;
constexpr int kPatientAttempts = 30;
// Before the second attempt; then twice as long each time. The backends look at once which models
// there are.
constexpr auto kFirstPause = std::chrono::milliseconds(25);
constexpr auto kLongestPause = std::chrono::milliseconds(1000);

absl::Status NoSegmenter() {
  return absl::FailedPreconditionError(
      "this backend URL has no segmenter (see --segmenter and --profiles)");
}

}  // namespace

Outlook OutlookOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kAborted:
      return Outlook::kLater;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
      return Outlook::kNever;
    default:
      return Outlook::kDefect;
  }
}

// One picture and what was found in it.
struct Predictor::Picture {
  vision::Size size;
  std::vector<Object> objects;
};

awaitable<absl::StatusOr<Predictor::Image>> Predictor::Fetch(std::string uri, std::int64_t task_id,
                                                             PredictJob& job) {
  const Stopwatch stopwatch(job.timings->fetch_ms, metrics_.Get(kStageSeconds, {"fetch"}));
  image_fetch::ImageRequest request;
  request.uri = std::move(uri);
  request.task_id = task_id;
  request.label_studio = job.label_studio;
  request.deadline = absl::FromChrono(job.call.deadline);
  // Not a switch of threads for every task of a page that somebody leafs through.
  if (Image at_hand = fetcher_.Find(request)) co_return at_hand;
  auto pending = image_fetch::AsyncFetch(fetcher_, std::move(request));
  co_return co_await std::move(pending);
}

awaitable<absl::StatusOr<segmenter::EmbedResponse>> Predictor::Embed(
    std::shared_ptr<backends::SegmenterClient> client, Image image, Urgency urgency,
    backends::CallOptions call, std::shared_ptr<Timings> timings) {
  const Stopwatch stopwatch(timings->embed_ms, metrics_.Get(kStageSeconds, {"embed"}));
  auto pending = client->Embed(RefOf(image), RankOf(urgency), std::move(call));
  co_return co_await std::move(pending);
}

awaitable<absl::StatusOr<Predictor::Picture>> Predictor::FindObjects(
    const label_studio::EmissionPlan& plan, Image image, PredictJob& job,
    const ServedModels& models) {
  Picture picture{.size = image->size};
  if (!job.profile.detector) co_return picture;
  const Stopwatch stopwatch(job.timings->detect_ms, metrics_.Get(kStageSeconds, {"detect"}));
  const Settings& settings = job.project->settings();
  detector::DetectRequest request;
  request.set_score_threshold(static_cast<float>(settings.score_threshold));
  if (settings.max_detections)
    request.set_max_detections(static_cast<std::uint32_t>(*settings.max_detections));
  request.set_omit_masks(!plan.needs_masks() || settings.mask_source == "sam");
  auto pending =
      job.profile.detector->Detect(RefOf(image), std::move(request), CallOf(job, models.detector));
  auto answer = co_await std::move(pending);
  if (!answer.ok()) co_return answer.status();
  picture.size = {static_cast<int>(answer->image_width()),
                  static_cast<int>(answer->image_height())};
  for (const auto& detection : answer->detections()) {
    auto object = FromProto(detection);
    if (!object.ok()) co_return object.status();
    picture.objects.push_back(*std::move(object));
  }
  co_return picture;
}

awaitable<absl::Status> Predictor::CutOut(Image image, Picture& picture, PredictJob& job,
                                          const ServedModels& models) {
  const Stopwatch stopwatch(job.timings->segment_ms, metrics_.Get(kStageSeconds, {"segment"}));
  segmenter::SegmentRequest request;
  request.add_formats(segmenter::MASK_FORMAT_ROW_RUNS);
  std::vector<Object*> prompted;
  for (Object& object : picture.objects) {
    if (object.mask) continue;
    ToProto(object.box, request.add_prompts()->mutable_box());
    prompted.push_back(&object);
  }
  auto pending = job.profile.segmenter->Segment(RefOf(image), std::move(request),
                                                CallOf(job, models.segmenter));
  const auto answer = co_await std::move(pending);
  if (!answer.ok()) co_return answer.status();
  if (static_cast<std::size_t>(answer->results_size()) != prompted.size()) {
    co_return absl::InternalError("the segmenter sent another number of masks than boxes");
  }
  for (std::size_t i = 0; i < prompted.size(); ++i) {
    auto best = BestMask(answer->results(static_cast<int>(i)));
    if (!best.ok()) co_return best.status();
    prompted[i]->mask = std::move(best->mask);
    prompted[i]->mask_score = best->score;
  }
  co_return absl::OkStatus();
}

void Predictor::Count(const PredictJob& job, const Regions& regions) {
  metrics_.Get(kRegions).Increment(regions.count);
  if (regions.degenerate > 0) metrics_.Get(kDropped, {"degenerate"}).Increment(regions.degenerate);
  for (const std::string& name : job.project->TakeNews(regions.unmatched_classes)) {
    metrics_.Get(kDropped, {"unlabelled_class"}).Increment();
    serving::LogLine("class.unlabelled").Request(job.request).Str("class", name);
  }
}

awaitable<absl::StatusOr<Prediction>> Predictor::WithModels(PredictJob& job, Attempt attempt) {
  const int most = job.call.patient ? kPatientAttempts : kAttempts;
  auto pause = kFirstPause;
  for (int attempts = 1;; ++attempts) {
    const auto models = Serving(job.profile);
    if (!models) co_return absl::UnavailableError("the models have not been heard of yet");
    auto trying = attempt(*models);
    const auto regions = co_await std::move(trying);
    if (regions.ok()) {
      Count(job, *regions);
      Prediction prediction{.model_version = job.project->ModelVersion(*models)};
      prediction.json = label_studio::PredictionJson(*regions, prediction.model_version);
      co_return prediction;
    }
    if (!absl::IsAborted(regions.status())) co_return regions.status();
    if (attempts == most || std::chrono::system_clock::now() + pause >= job.call.deadline) {
      co_return absl::UnavailableError(regions.status().message());
    }
    asio::steady_timer timer(co_await asio::this_coro::executor, pause);
    co_await timer.async_wait(asio::use_awaitable);
    pause = std::min(2 * pause, kLongestPause);
  }
}

awaitable<absl::StatusOr<Prediction>> Predictor::Predict(const label_studio::Task& task,
                                                         PredictJob& job) {
  return WithModels(job, [this, &task, &job](const ServedModels& models) {
    return TryPredict(task, job, models);
  });
}

awaitable<absl::StatusOr<Prediction>> Predictor::Answer(const label_studio::Task& task,
                                                        const boost::json::value& context,
                                                        PredictJob& job) {
  if (!job.profile.segmenter) co_return NoSegmenter();
  auto answering = WithModels(job, [this, &task, &context, &job](const ServedModels& models) {
    return TryAnswer(task, context, job, models);
  });
  co_return co_await std::move(answering);
}

awaitable<absl::StatusOr<Regions>> Predictor::TryPredict(const label_studio::Task& task,
                                                         PredictJob& job,
                                                         const ServedModels& models) {
  const auto strand = co_await asio::this_coro::executor;
  const Settings& settings = job.project->settings();
  Regions all;
  for (const label_studio::EmissionPlan& plan : job.project->plans()) {
    const bool hand_expected = job.urgency == Urgency::kOpened && job.profile.segmenter &&
                               job.project->config().has_smart_control(plan.image().name);
    if (plan.empty() && !hand_expected) continue;
    const auto uris = label_studio::ImageUris(plan.image(), task.data);
    if (!uris.ok()) co_return uris.status();
    for (std::size_t i = 0; i < uris->size(); ++i) {
      auto fetching = Fetch((*uris)[i], task.id, job);
      auto image = co_await std::move(fetching);
      if (!image.ok()) co_return image.status();

      const bool sam_masks =
          plan.needs_masks() && job.profile.detector && !UsesOwnMasks(job, models);
      if (sam_masks && !job.profile.segmenter && settings.degrade != "boxes")
        co_return NoSegmenter();
      std::optional<async::ConcurrentTask<absl::StatusOr<segmenter::EmbedResponse>>> embedding;
      if (job.profile.segmenter && (sam_masks || hand_expected)) {
        embedding.emplace(strand, Embed(job.profile.segmenter, *image, job.urgency,
                                        CallOf(job, models.segmenter), job.timings));
      }

      auto finding = FindObjects(plan, *image, job, models);
      auto picture = co_await std::move(finding);
      if (!picture.ok()) co_return picture.status();
      std::vector<std::string> dropped;
      std::erase_if(picture->objects, [&](const Object& object) {
        if (plan.Emits(object.class_name)) return false;
        dropped.push_back(object.class_name);
        return true;
      });

      const bool any_unmasked = std::any_of(picture->objects.begin(), picture->objects.end(),
                                            [](const Object& object) { return !object.mask; });
      if (sam_masks && embedding && any_unmasked) {
        auto waiting = embedding->Get();
        auto embedded = co_await std::move(waiting);
        absl::Status status = embedded.status();
        if (status.ok()) {
          auto cutting = CutOut(*image, *picture, job, models);
          status = co_await std::move(cutting);
        }
        if (!status.ok()) {
          if (!IsAway(status) || settings.degrade != "boxes") co_return status;
          metrics_.Get(kDegraded).Increment();
          job.request.NoteBool("degraded", true);
        }
      }
      if (embedding && hand_expected) embedding->Detach();
      embedding.reset();  // cancels it if nothing was found

      const Stopwatch stopwatch(job.timings->encode_ms, metrics_.Get(kStageSeconds, {"encode"}));
      const int item_index = plan.image().is_list ? static_cast<int>(i) : -1;
      Regions regions;
      if (plan.needs_masks()) {
        auto encoding = async::OnPool(pool_, [&plan, &picture, item_index] {
          return label_studio::MakeRegions(plan, picture->size, picture->objects, item_index);
        });
        regions = co_await std::move(encoding);
      } else {
        regions = label_studio::MakeRegions(plan, picture->size, picture->objects, item_index);
      }
      regions.unmatched_classes.insert(regions.unmatched_classes.end(), dropped.begin(),
                                       dropped.end());
      all.Append(std::move(regions));
    }
  }
  co_return all;
}

awaitable<absl::Status> Predictor::EmbedAhead(const label_studio::Task& task, PredictJob& job) {
  if (!job.profile.segmenter) co_return NoSegmenter();
  for (const label_studio::ImageTag& tag : job.project->config().images) {
    if (!job.project->config().has_smart_control(tag.name)) continue;
    const auto uris = label_studio::ImageUris(tag, task.data);
    if (!uris.ok()) co_return uris.status();
    for (const std::string& uri : *uris) {
      auto fetching = Fetch(uri, task.id, job);
      auto image = co_await std::move(fetching);
      if (!image.ok()) co_return image.status();
      auto embedding = Embed(job.profile.segmenter, *image, job.urgency,
                             CallOf(job, job.profile.segmenter->model()), job.timings);
      const auto embedded = co_await std::move(embedding);
      if (!embedded.ok()) co_return embedded.status();
    }
  }
  co_return absl::OkStatus();
}

awaitable<absl::StatusOr<Regions>> Predictor::TryAnswer(const label_studio::Task& task,
                                                        const boost::json::value& context,
                                                        PredictJob& job,
                                                        const ServedModels& models) {
  const label_studio::LabelConfig& config = job.project->config();
  auto prompt = label_studio::ParseContext(context, config);
  if (!prompt.ok()) co_return prompt.status();
  const auto target = label_studio::ChooseAnswerTarget(*prompt, config);
  if (!target.ok()) co_return target.status();

  const label_studio::ImageTag* const tag = config.FindImage(prompt->to_name);
  const auto uris = label_studio::ImageUris(*tag, task.data);
  if (!uris.ok()) co_return uris.status();
  const auto index = static_cast<std::size_t>(std::max(0, prompt->item_index));
  if (index >= uris->size()) {
    co_return absl::InvalidArgumentError(
        absl::StrCat("item_index is ", index, " but the task has ", uris->size(), " images"));
  }
  auto fetching = Fetch((*uris)[index], task.id, job);
  const auto image = co_await std::move(fetching);
  if (!image.ok()) co_return image.status();

  const label_studio::InteractivePrompt scaled = label_studio::Rescale(*prompt, (*image)->size);
  segmenter::SegmentRequest request;
  request.add_formats(segmenter::MASK_FORMAT_ROW_RUNS);
  // One click is ambiguous (wheel or car?): of three answers the best is taken. More prompts say
  // enough.
  request.set_multimask_output(scaled.points.size() == 1 && !scaled.box && !scaled.mask);
  request.set_refine(true);
  segmenter::Prompt& one = *request.add_prompts();
  for (const label_studio::PromptPoint& point : scaled.points) {
    segmenter::Point& added = *one.add_points();
    added.set_x(point.at.x);
    added.set_y(point.at.y);
    added.set_label(point.positive ? 1 : 0);
  }
  if (scaled.box) ToProto(*scaled.box, one.mutable_box());
  if (scaled.mask) {
    const int low_res_size = models.segmenter->low_res_size;
    const auto logits =
        label_studio::MaskPromptLogits(*scaled.mask, low_res_size > 0 ? low_res_size : 256);
    one.set_mask_logits(logits.data(), logits.size() * sizeof(float));
  }
  std::optional<ScoredMask> mask;
  {
    const Stopwatch stopwatch(job.timings->segment_ms, metrics_.Get(kStageSeconds, {"segment"}));
    auto pending = job.profile.segmenter->Segment(RefOf(*image), std::move(request),
                                                  CallOf(job, models.segmenter));
    const auto answer = co_await std::move(pending);
    if (!answer.ok()) co_return answer.status();
    job.request.NoteStr("embedding", answer->embedding_cached() ? "hit" : "miss");
    if (answer->results_size() != 1)
      co_return absl::InternalError("the segmenter sent no answer to the prompt");
    auto best = BestMask(answer->results(0));
    if (!best.ok()) co_return best.status();
    mask = *std::move(best);
  }
  const Stopwatch stopwatch(job.timings->encode_ms, metrics_.Get(kStageSeconds, {"encode"}));
  auto encoding = async::OnPool(
      pool_, [&] { return label_studio::MakeAnswer(scaled, *target, mask->mask, mask->score); });
  co_return co_await std::move(encoding);
}

}  // namespace prelabel
