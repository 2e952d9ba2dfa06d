// The life of one task: fetch its images, find objects, cut them out, write regions.
//
// Per image: Detect; at the same time Embed, if masks will be made from boxes; then Segment with
// all boxes in one call. A rectangle-only batch never embeds: a ViT-B embedding costs seventy
// detections. An opened task of a project with smart tools is embedded ahead of the first click,
// and its answer doesn't wait for that.
//
// A task is answered by the two models that are asked for when it begins, in just these versions,
// and its prediction says so. If no replica serves one of them any more before it is done, it
// begins again with those that are served now. So each prediction of a batch has a version of its
// own: Label Studio asks again for those whose version isn't the one that it hears from /setup.
#ifndef DUET_PRELABEL_PREDICTOR_H_
#define DUET_PRELABEL_PREDICTOR_H_

#include <absl/status/statusor.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <string>

#include "backends/client.h"
#include "image_fetch/image_fetcher.h"
#include "label_studio/result.h"
#include "label_studio/task.h"
#include "prelabel/profiles.h"
#include "prelabel/project.h"
#include "serving/metrics.h"
#include "serving/request_context.h"

namespace prelabel {

// Milliseconds, summed over the images and tasks of one request (which overlap).
struct Timings {
  double fetch_ms = 0;
  double detect_ms = 0;
  double embed_ms = 0;
  double segment_ms = 0;
  double encode_ms = 0;
};

// Who waits for a task's answer: the services rank the work by it.
enum class Urgency {
  kOpened,      // somebody looks at this task now
  kBatch,       // somebody waits for all of them
  kBackground,  // nobody
};

// What the tasks of one request have in common. Lives longer than their coroutines; used on one
// strand.
struct PredictJob {
  const Profile& profile;
  std::shared_ptr<Project> project;
  std::string model_version;  // when the request came; its tasks are claimed under it
  label_studio_api::LabelStudioSite label_studio;
  backends::CallOptions call;  // deadline, ids
  Urgency urgency = Urgency::kBatch;
  bool push = false;  // what isn't done in time becomes a background job
  serving::RequestContext& request;
  // Shared with what may outlive the request: an embedding ahead of the hand.
  std::shared_ptr<Timings> timings = std::make_shared<Timings>();
};

// One item of `results`.
struct Prediction {
  std::string json = "";
  std::string model_version = "";  // which it carries, too
};

// What a failure says of another try at the same task.
enum class Outlook {
  kLater,   // something was away, full or late
  kNever,   // the task, its picture, the label config or the set-up must change first
  kDefect,  // Duet is at fault, and waiting doesn't mend that; its log has the reason
};
// The one place that decides it. REQUIRES: !status.ok().
Outlook OutlookOf(const absl::Status& status);
inline bool IsAway(const absl::Status& status) { return OutlookOf(status) == Outlook::kLater; }

// Stateless; members outlive it. The coroutines resume on their own executor, which is one strand.
class Predictor {
 public:
  Predictor(image_fetch::ImageFetcher& fetcher, boost::asio::thread_pool& pool,
            serving::Metrics& metrics)
      : fetcher_(fetcher), pool_(pool), metrics_(metrics) {}

  // For a batch's or opened task.
  boost::asio::awaitable<absl::StatusOr<Prediction>> Predict(const label_studio::Task& task,
                                                             PredictJob& job);

  // For a prompt drawn with a smart tool.
  boost::asio::awaitable<absl::StatusOr<Prediction>> Answer(const label_studio::Task& task,
                                                            const boost::json::value& context,
                                                            PredictJob& job);

  // Encodes the pictures of a task that may be clicked into, ahead of that: those that a smart tool
  // draws on.
  boost::asio::awaitable<absl::Status> EmbedAhead(const label_studio::Task& task, PredictJob& job);

 private:
  struct Picture;
  using Image = std::shared_ptr<const image_fetch::FetchedImage>;
  using Attempt = std::function<boost::asio::awaitable<absl::StatusOr<label_studio::Regions>>(
      const ServedModels&)>;

  // `attempt` with the models that are asked for now, again if they were replaced meanwhile.
  boost::asio::awaitable<absl::StatusOr<Prediction>> WithModels(PredictJob& job, Attempt attempt);
  boost::asio::awaitable<absl::StatusOr<label_studio::Regions>> TryPredict(
      const label_studio::Task& task, PredictJob& job, const ServedModels& models);
  boost::asio::awaitable<absl::StatusOr<label_studio::Regions>> TryAnswer(
      const label_studio::Task& task, const boost::json::value& context, PredictJob& job,
      const ServedModels& models);

  boost::asio::awaitable<absl::StatusOr<Image>> Fetch(std::string uri, std::int64_t task_id,
                                                      PredictJob& job);
  // Refers to nothing of the job.
  boost::asio::awaitable<absl::StatusOr<duet::segmenter::v1::EmbedResponse>> Embed(
      std::shared_ptr<backends::SegmenterClient> client, Image image, Urgency urgency,
      backends::CallOptions call, std::shared_ptr<Timings> timings);
  boost::asio::awaitable<absl::StatusOr<Picture>> FindObjects(
      const label_studio::EmissionPlan& plan, Image image, PredictJob& job,
      const ServedModels& models);
  boost::asio::awaitable<absl::Status> CutOut(Image image, Picture& picture, PredictJob& job,
                                              const ServedModels& models);
  void Count(const PredictJob& job, const label_studio::Regions& regions);

  image_fetch::ImageFetcher& fetcher_;
  boost::asio::thread_pool& pool_;
  serving::Metrics& metrics_;
};

}  // namespace prelabel

#endif  // DUET_PRELABEL_PREDICTOR_H_
