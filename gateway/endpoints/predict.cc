// POST /predict: a batch, an opened task, or a prompt drawn with a smart tool.
//
// Label Studio doesn't say whether somebody looks at a task: a batch of one and an opened task are
// the same request. One task is taken as opened (docs/adr/0501-one-task-is-opened.md).
//
// Of a batch, what isn't done by the deadline, or would make the answer too large, is {}; with
// background=push it goes on as a background job, and so do tasks that failed because a service is
// away.
#include <absl/status/statusor.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "async/concurrency.h"
#include "gateway/endpoints/body.h"
#include "gateway/endpoints/metrics.h"
#include "gateway/endpoints/routes.h"
#include "label_studio/result.h"
#include "label_studio/task.h"
#include "serving/log.h"
#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using http::Context;
using http::Request;
using http::Response;
using std::chrono::system_clock;

// How long a request waits for a project's model that isn't loaded.
constexpr auto kLoadPatience = std::chrono::seconds(30);

absl::Status WithPrefix(const label_studio::Task& task, const absl::Status& status) {
  return {status.code(), text::StrCat("task ", task.id, ": ", status.message())};
}

void CountTask(Application& app, std::string_view kind, const absl::Status& status) {
  const std::string code = absl::StatusCodeToString(status.code());
  app.metrics.Get(kTasks, {kind, code}).Increment();
}

// A task's failure, for the page: Label Studio shows it to nobody.
void NoteFailure(Application& app, const prelabel::PredictContext& predict, std::string_view kind,
                 const label_studio::Task& task, const absl::Status& status) {
  app.recent.Failed({.at = absl::Now(),
                     .profile = predict.profile.name,
                     .project = predict.project_id,
                     .task_id = task.id,
                     .kind = std::string(kind),
                     .sentence = std::string(status.message())});
}

void NoteTimings(const prelabel::PredictContext& predict) {
  predict.request.NoteNum("fetch_ms", predict.timings->fetch_ms);
  predict.request.NoteNum("detect_ms", predict.timings->detect_ms);
  predict.request.NoteNum("embed_ms", predict.timings->embed_ms);
  predict.request.NoteNum("segment_ms", predict.timings->segment_ms);
  predict.request.NoteNum("encode_ms", predict.timings->encode_ms);
}

absl::StatusOr<prelabel::PredictContext> MakePredictContext(
    Application& app, const label_studio::PredictRequest& request,
    absl::StatusOr<std::shared_ptr<prelabel::Project>> project,
    const Application::ResolvedSetup& setup, const std::optional<prelabel::ServedModels>& models,
    Context& context) {
  const prelabel::Profile& profile = app.ProfileOf(context);
  const prelabel::Settings& settings = setup.settings;
  if (request.label_config.empty()) return absl::InvalidArgumentError("label_config is missing");
  if (!project.ok()) {
    return absl::Status(project.status().code(),
                        text::StrCat("label_config: ", project.status().message()));
  }
  if (!models) return Application::ModelsUnknown(profile, setup.model_name);
  const bool opened = request.tasks.size() == 1;
  std::string version = (*project)->ModelVersion(*models);
  prelabel::PredictContext predict{
      .profile = profile,
      .project = *std::move(project),
      .project_id = request.project_id,
      .project_created = request.project_created,
      .model_name = setup.model_name,
      .model_version = std::move(version),
      .label_studio = setup.label_studio,
      .call = {.deadline = system_clock::now() + app.options.predict_deadline,
               .request_id = context.request.request_id(),
               .traceparent = context.request.traceparent(),
               .priority = request.interactive() ? serving::Priority::kInteractive
                           : opened              ? serving::Priority::kOpenedTask
                                                 : serving::Priority::kBatch},
      .request = context.request};
  predict.push = !opened && settings.background == prelabel::Background::kPush;
  if (predict.push && (predict.label_studio.url.empty() || predict.label_studio.Token().empty())) {
    predict.push = false;
    context.request.NoteStr("push", "there is no token of Label Studio");
  }
  return predict;
}

Response ResultsResponse(std::vector<std::string> predictions, const std::string& model_version) {
  Response response;
  response.body = label_studio::PredictResponseJson(std::move(predictions), model_version);
  return response;
}

// An answer or an error, never {}: somebody is waiting.
awaitable<Response> PredictOne(Application& app, const label_studio::PredictRequest& request,
                               prelabel::PredictContext& predict) {
  const gateway::jobs::BackgroundJobs::InteractiveGuard guard(app.jobs);
  const label_studio::Task& task = request.tasks.front();
  const bool interactive = request.interactive();
  auto work = interactive ? app.predictor.SegmentPrompt(task, request.context, predict)
                          : app.predictor.Predict(task, predict);
  auto prediction = co_await std::move(work);
  const std::string_view kind = interactive ? "interactive" : "opened";
  CountTask(app, kind, prediction.status());
  if (!prediction.ok()) {
    NoteFailure(app, predict, kind, task, prediction.status());
    co_return http::ErrorResponse(WithPrefix(task, prediction.status()));
  }
  if (!interactive) app.jobs.AnsweredElsewhere(predict, task.id);
  const std::string model_version = std::move(prediction->model_version);
  std::vector<std::string> predictions = {std::move(prediction->json)};
  co_return ResultsResponse(std::move(predictions), model_version);
}

// What a batch was left without, by what another try promises.
struct Failures {
  std::array<std::size_t, 3> count = {};   // by FailureKind
  std::array<absl::Status, 3> first = {};  // likewise; in the batch's order, not in time
  std::array<std::size_t, 3> first_at = {};

  // `i`: the task's place in the batch.
  void Add(std::size_t i, const label_studio::Task& task, const absl::Status& status) {
    const auto kind = static_cast<std::size_t>(prelabel::ClassifyFailure(status));
    if (count[kind]++ > 0 && i > first_at[kind]) return;
    first[kind] = WithPrefix(task, status);
    first_at[kind] = i;
  }
  std::size_t total() const { return count[0] + count[1] + count[2]; }

  // REQUIRES: all tasks of the batch failed. 503 if waiting may help one of them; 500 if Duet is at
  // fault; else 422, since each has a reason of its own and none goes away by asking again.
  Response ToResponse() const {
    const auto sentence = [this](std::string_view what, prelabel::FailureKind kind) {
      return text::StrCat("all ", total(), " tasks failed", what, "; the first one, ",
                          first[static_cast<std::size_t>(kind)].message());
    };
    if (count[static_cast<std::size_t>(prelabel::FailureKind::kTransient)] > 0) {
      return http::ErrorResponse(
          absl::UnavailableError(sentence("", prelabel::FailureKind::kTransient)));
    }
    if (count[static_cast<std::size_t>(prelabel::FailureKind::kInternal)] > 0) {
      return http::ErrorResponse(
          500, sentence(" by a fault of Duet's", prelabel::FailureKind::kInternal));
    }
    return http::ErrorResponse(422, sentence(" for good", prelabel::FailureKind::kPermanent));
  }
};

// Answers with as many items as tasks, in order. A task that failed, or that a background job does,
// is {}: Label Studio keeps the others and asks again for it. Used on the request's strand.
class Batch {
 public:
  Batch(Application& app, const label_studio::PredictRequest& request,
        prelabel::PredictContext& predict)
      : app_(app),
        request_(request),
        predict_(predict),
        predictions_(request.tasks.size(), "{}"),
        claims_(app.jobs.claims()) {}

  awaitable<Response> Answer();

 private:
  awaitable<void> PredictTask(std::size_t i);
  // The prediction, unless the batch is full or out of time. `begun`: it was asked for.
  awaitable<absl::StatusOr<prelabel::Prediction>> Predict(const label_studio::Task& task,
                                                          bool* begun);
  void NoteCounts();
  // Hands on what is left to a background job; how many tasks.
  std::size_t Push();

  Application& app_;
  const label_studio::PredictRequest& request_;
  prelabel::PredictContext& predict_;
  std::vector<std::string> predictions_;
  Failures failures_;
  std::size_t late_ = 0;           // of them, not begun at the deadline
  std::size_t elsewhere_ = 0;      // in somebody else's hands, for this very version
  std::size_t answer_bytes_ = 0;   // of predictions_
  bool full_ = false;              // nothing more is begun
  std::vector<std::size_t> left_;  // for the background
  gateway::jobs::RequestClaims claims_;
};

awaitable<absl::StatusOr<prelabel::Prediction>> Batch::Predict(const label_studio::Task& task,
                                                               bool* begun) {
  const absl::Status no_room =
      absl::ResourceExhaustedError("the batch's answer is as large as it may be");
  *begun = false;
  if (full_) co_return no_room;
  if (system_clock::now() >= predict_.call.deadline) {
    co_return absl::DeadlineExceededError("the batch ran out of time");
  }
  *begun = true;
  auto work = app_.predictor.Predict(task, predict_);
  auto prediction = co_await std::move(work);
  if (prediction.ok() && answer_bytes_ > 0 &&
      answer_bytes_ + prediction->json.size() > app_.options.max_answer_bytes) {
    full_ = true;
    co_return no_room;
  }
  co_return prediction;
}

awaitable<void> Batch::PredictTask(std::size_t i) {
  const label_studio::Task& task = request_.tasks[i];
  if (predict_.push && !claims_.Take(gateway::jobs::BackgroundJobs::KeyOf(predict_, task.id))) {
    ++elsewhere_;
    co_return;
  }
  bool begun = false;
  auto work = Predict(task, &begun);
  auto prediction = co_await std::move(work);
  CountTask(app_, "batch", prediction.status());
  if (prediction.ok()) {
    answer_bytes_ += prediction->json.size();
    predictions_[i] = std::move(prediction->json);
    co_return;
  }
  failures_.Add(i, task, prediction.status());
  if (predict_.push && prelabel::IsRetryable(prediction.status())) left_.push_back(i);
  if (!begun) {
    ++late_;  // one number will do instead of thousands of lines
    co_return;
  }
  NoteFailure(app_, predict_, "batch", task, prediction.status());
  serving::LogLine("task.failed", serving::LogLevel::kWarning)
      .Request(predict_.request)
      .Int("task_id", task.id)
      .Status(prediction.status());
}

void Batch::NoteCounts() {
  const auto note = [this](std::string_view key, std::size_t count) {
    predict_.request.NoteInt(key, static_cast<std::int64_t>(count));
  };
  note("failed", failures_.total());
  if (full_) note("answer_full_at", answer_bytes_);
  if (late_ > 0) note("late", late_);
  if (elsewhere_ > 0) note("elsewhere", elsewhere_);
}

std::size_t Batch::Push() {
  if (left_.empty()) return 0;
  std::sort(left_.begin(), left_.end());
  std::vector<const label_studio::Task*> tasks;
  for (const std::size_t i : left_) tasks.push_back(&request_.tasks[i]);
  const auto added = app_.jobs.Add(predict_, request_.project_id, tasks, claims_);
  predict_.request.NoteStr("job", added.job_id);
  predict_.request.NoteInt("pushed", static_cast<std::int64_t>(added.added));
  return added.added;
}

awaitable<Response> Batch::Answer() {
  const std::function<awaitable<void>(std::size_t)> one = [this](std::size_t i) {
    return PredictTask(i);
  };
  auto all = async::ForEachBounded(predictions_.size(),
                                   static_cast<std::size_t>(app_.options.batch_concurrency), one);
  co_await std::move(all);
  NoteCounts();
  const std::size_t pushed = Push();
  if (failures_.total() == predictions_.size() && pushed == 0) co_return failures_.ToResponse();
  co_return ResultsResponse(std::move(predictions_), predict_.model_version);
}

awaitable<Response> PredictBatch(Application& app, const label_studio::PredictRequest& request,
                                 prelabel::PredictContext& predict) {
  Batch batch(app, request, predict);
  auto answering = batch.Answer();
  co_return co_await std::move(answering);
}

awaitable<Response> Predict(Application& app, Request& request, Context& context) {
  auto parsing = ParseBody(app.pool, request, label_studio::ParsePredictRequest);
  auto parsed = co_await std::move(parsing);
  if (!parsed.ok()) co_return http::ErrorResponse(parsed.status());
  NoteProject(parsed->project_id, context.request);
  auto looking =
      app.ResolveSetup(app.ProfileOf(context), parsed->project_id, parsed->project_created);
  Application::ResolvedSetup setup = co_await std::move(looking);
  auto finding = app.projects.Get(app.pool, parsed->label_config, setup.settings);
  auto project = co_await std::move(finding);
  auto awaiting = app.AwaitServing(app.ProfileOf(context), setup.model_name,
                                   std::chrono::steady_clock::now() + kLoadPatience);
  const auto models = co_await std::move(awaiting);
  if (project.ok() && models) {
    const std::string key = setup.key;
    // The plan is made with the version, once a project: here, if that takes long.
    auto planning = OnPoolIfLarge(app.pool, parsed->label_config, [&] {
      (*project)->ModelVersion(*models);
      // Label Studio says nothing when a label config is mended, but sends it along.
      if (app.memory.HasWarning(key, prelabel::ProjectMemory::About::kLabelConfig)) {
        app.memory.SetWarning(key, prelabel::ProjectMemory::About::kLabelConfig,
                              (*project)->ReviewFor(*models).Text(), models->versions());
      }
      return true;
    });
    co_await std::move(planning);
  }
  auto predict = MakePredictContext(app, *parsed, std::move(project), setup, models, context);
  if (!predict.ok()) co_return http::ErrorResponse(predict.status());
  context.request.NoteInt("tasks", static_cast<std::int64_t>(parsed->tasks.size()));
  const bool opened = parsed->tasks.size() == 1;
  context.request.NoteStr("kind", parsed->interactive() ? "interactive"
                                  : opened              ? "opened"
                                                        : "batch");
  const auto schedule_prefetch = [&] {
    if (!opened || !predict->project->has_smart_control()) return;
    app.SchedulePrefetch(predict->profile, std::move(setup), parsed->project_id,
                         parsed->project_created, parsed->tasks.front().id,
                         /*opened=*/!parsed->interactive(), context);
  };
  if (!parsed->interactive()) schedule_prefetch();
  // Whoever opens a task has probably submitted another one: events may not arrive.
  if (opened && !parsed->interactive()) {
    app.trainings.Shown(parsed->project_id, parsed->project_created);
    app.trainings.Annotated(parsed->project_id, parsed->project_created);
  }
  auto work = opened ? PredictOne(app, *parsed, *predict) : PredictBatch(app, *parsed, *predict);
  Response response = co_await std::move(work);
  if (parsed->interactive()) schedule_prefetch();  // not before its answer
  NoteTimings(*predict);
  co_return response;
}

}  // namespace

void AddPredict(Application& app, http::Router& router) {
  router.Add(boost::beast::http::verb::post, "/predict",
             [&app](Request& request, Context& context) { return Predict(app, request, context); });
}

}  // namespace gateway::endpoints
