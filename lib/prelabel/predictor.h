// From one task to its prediction: fetch its images, detect objects, segment them, write regions.
//
// Per image: Detect; at the same time Embed, if masks will be made from boxes; then Segment with
// all boxes in one call. A rectangle-only batch never embeds: a ViT-B embedding costs seventy
// detections. An opened task of a project with smart tools is embedded ahead of the first click,
// and its answer doesn't wait for that.
//
// A task is answered by the two models that are served when it begins, in exactly these versions,
// and its prediction carries them. If no replica serves one of them any more before the task is
// done, it begins again with the models that are served then. So each prediction of a batch has a
// version of its own: Label Studio asks again for those whose version isn't the one that /setup
// told it.
#ifndef DUET_PRELABEL_PREDICTOR_H_
#define DUET_PRELABEL_PREDICTOR_H_

#include <absl/status/statusor.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "backends/client.h"
#include "curation/detection.h"
#include "image_fetch/image_fetcher.h"
#include "label_studio/result.h"
#include "label_studio/task.h"
#include "prelabel/image_objects.h"
#include "prelabel/profiles.h"
#include "prelabel/project.h"
#include "serving/metrics.h"
#include "serving/request_context.h"
#include "vision/geometry.h"

namespace prelabel {

// Milliseconds, summed over the images and tasks of one request (which overlap).
struct Timings {
  double fetch_ms = 0;
  double detect_ms = 0;
  double embed_ms = 0;
  double segment_ms = 0;
  double encode_ms = 0;
};

// What the tasks of one request have in common. Outlives their coroutines; used on one strand.
struct PredictContext {
  const Profile& profile;
  std::shared_ptr<Project> project;
  std::string project_id;            // Label Studio's
  std::int64_t project_created = 0;  // seconds since 1970; 0: it isn't known
  std::string model_name;            // that its models are asked for by
  std::string model_version;         // when the request came; its tasks are claimed under it
  label_studio_api::LabelStudioSite label_studio;
  backends::CallOptions call;  // deadline, ids, priority; of any version
  bool push = false;           // what isn't done in time becomes a background job
  serving::RequestContext& request;
  // Shared with what may outlive the request: an embedding ahead of the first click.
  std::shared_ptr<Timings> timings = std::make_shared<Timings>();
};

struct Prediction {
  std::string json = "";           // one item of `results`
  std::string model_version = "";  // the one in `json`
};

// What the detector finds in a task's images, weak objects as well, for who compares it with what
// people have drawn there.
struct FoundInImage {
  std::string to_name;  // the Image tag
  int item_index = 0;   // which image of a list
  vision::Size size;    // upright
  // Of classes that have a label in the project, which they are called by as regions are.
  std::vector<curation::Detection> detections;
};
struct FoundInTask {
  std::vector<FoundInImage> images;
  std::set<std::string> labels;                             // that the model can find
  std::shared_ptr<const label_studio::LabelConfig> config;  // the task's
  std::string model_version;
};

// What became of a task's images.
struct EmbeddedAhead {
  int encoded = 0;
  int already_there = 0;
  std::uint64_t kept_bytes = 0;  // of those that are kept in a store (CallOptions::keep)
};

// Whether another try at the same task may succeed.
enum class FailureKind {
  kTransient,  // yes: something was away, full or late
  kPermanent,  // no: the task, its image, the label config or the setup must change first
  kInternal,   // no: Duet is at fault; its log has the reason
};
// The one place that decides it. REQUIRES: !status.ok().
FailureKind ClassifyFailure(const absl::Status& status);
inline bool IsRetryable(const absl::Status& status) {
  return ClassifyFailure(status) == FailureKind::kTransient;
}

// Stateless; its members outlive it. The coroutines resume on their own executor, a strand.
class Predictor {
 public:
  Predictor(image_fetch::ImageFetcher& fetcher, boost::asio::thread_pool& pool,
            serving::Metrics& metrics)
      : fetcher_(fetcher), pool_(pool), metrics_(metrics) {}

  // The prediction for a task of a batch, or for one that was opened.
  boost::asio::awaitable<absl::StatusOr<Prediction>> Predict(const label_studio::Task& task,
                                                             PredictContext& context);

  // The prediction for a prompt drawn with a smart tool: `prompt` is the request's params.context.
  boost::asio::awaitable<absl::StatusOr<Prediction>> SegmentPrompt(const label_studio::Task& task,
                                                                   const boost::json::value& prompt,
                                                                   PredictContext& context);

  // What the detector finds in the images of a task. FailedPrecondition if there is no detector.
  boost::asio::awaitable<absl::StatusOr<FoundInTask>> Find(const label_studio::Task& task,
                                                           PredictContext& context);

  // Encodes the images of a task before somebody clicks into them: those that a smart tool draws
  // on, or all. FailedPrecondition if there is no segmenter.
  boost::asio::awaitable<absl::StatusOr<EmbeddedAhead>> EmbedAhead(const label_studio::Task& task,
                                                                   bool only_where_clicked,
                                                                   PredictContext& context);

 private:
  struct TaskImage;
  using ImagePtr = std::shared_ptr<const image_fetch::FetchedImage>;
  using Attempt = std::function<boost::asio::awaitable<absl::StatusOr<label_studio::Regions>>(
      const ServedModels&)>;

  // Runs `attempt` with the models that are served now, and again if they were replaced meanwhile.
  boost::asio::awaitable<absl::StatusOr<Prediction>> WithModels(PredictContext& context,
                                                                Attempt attempt);
  boost::asio::awaitable<absl::StatusOr<label_studio::Regions>> TryPredict(
      const label_studio::Task& task, PredictContext& context, const ServedModels& models);
  boost::asio::awaitable<absl::Status> TryFind(const label_studio::Task& task,
                                               PredictContext& context, const ServedModels& models,
                                               FoundInTask* found);
  boost::asio::awaitable<absl::StatusOr<label_studio::Regions>> TrySegmentPrompt(
      const label_studio::Task& task, const boost::json::value& prompt, PredictContext& context,
      const ServedModels& models);

  boost::asio::awaitable<absl::StatusOr<ImagePtr>> Fetch(std::string uri, std::int64_t task_id,
                                                         PredictContext& context);
  // Refers to nothing of a PredictContext, since it may outlive the request.
  boost::asio::awaitable<absl::StatusOr<duet::segmenter::v1::EmbedResponse>> Embed(
      std::shared_ptr<backends::SegmenterClient> client, ImagePtr image, backends::CallOptions call,
      std::shared_ptr<Timings> timings);
  boost::asio::awaitable<absl::StatusOr<ImageObjects>> FindObjects(
      duet::detector::v1::DetectRequest request, const TaskImage& image, PredictContext& context,
      const ServedModels& models);
  // The regions of one image. `click_expected`: it is embedded ahead of the first click.
  // `informativeness`: the image's is added (curation/informativeness.h).
  boost::asio::awaitable<absl::StatusOr<label_studio::Regions>> PredictImage(
      const label_studio::EmissionPlan& plan, const TaskImage& image, bool click_expected,
      PredictContext& context, const ServedModels& models, double* informativeness);
  boost::asio::awaitable<absl::Status> SegmentBoxes(const TaskImage& image, ImageObjects& found,
                                                    PredictContext& context,
                                                    const ServedModels& models);
  // Project::PlanFor and Project::ConfigFor, on the pool if they parse the label config anew.
  boost::asio::awaitable<absl::StatusOr<std::shared_ptr<const PlannedConfig>>> PlanFor(
      const label_studio::Task& task, PredictContext& context, const ServedModels& models);
  boost::asio::awaitable<absl::StatusOr<std::shared_ptr<const label_studio::LabelConfig>>>
  ConfigFor(const label_studio::Task& task, const PredictContext& context);
  void Count(const PredictContext& context, const label_studio::Regions& regions);
  // Says once a project that its masks are left out.
  void NoteMissingMasks(const PredictContext& context);

  image_fetch::ImageFetcher& fetcher_;
  boost::asio::thread_pool& pool_;
  serving::Metrics& metrics_;
};

}  // namespace prelabel

#endif  // DUET_PRELABEL_PREDICTOR_H_
