// POST /predict: a batch, an opened task, or a prompt drawn with a smart tool.
//
// Label Studio doesn't say whether somebody looks at a task: a batch of one and an opened task are
// the same request. One task is taken as opened (docs/adr/0501-one-task-is-opened.md).
//
// Of a batch, what isn't done by the deadline, or would make the answer too large, is {}; with
// background=push it goes on as a background job, and so do tasks that failed because a service is
// away.
#include <absl/status/statusor.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "async/concurrency.h"
#include "gateway/endpoints/body.h"
#include "gateway/endpoints/gateway.h"
#include "gateway/endpoints/metrics.h"
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

absl::Status About(const label_studio::Task& task, const absl::Status& status) {
  return {status.code(), text::StrCat("task ", task.id, ": ", status.message())};
}

void CountTask(Gateway& gateway, std::string_view kind, const absl::Status& status) {
  const std::string code = absl::StatusCodeToString(status.code());
  gateway.metrics.Get(kTasks, {kind, code}).Increment();
}

void NoteTimings(const prelabel::PredictJob& job) {
  job.request.NoteNum("fetch_ms", job.timings->fetch_ms);
  job.request.NoteNum("detect_ms", job.timings->detect_ms);
  job.request.NoteNum("embed_ms", job.timings->embed_ms);
  job.request.NoteNum("segment_ms", job.timings->segment_ms);
  job.request.NoteNum("encode_ms", job.timings->encode_ms);
}

absl::StatusOr<prelabel::PredictJob> MakeJob(
    Gateway& gateway, const label_studio::PredictRequest& request,
    absl::StatusOr<std::shared_ptr<prelabel::Project>> project, const Gateway::SetUp& set_up,
    Context& context) {
  const prelabel::Profile& profile = gateway.ProfileOf(context);
  const prelabel::Settings& settings = set_up.settings;
  if (request.label_config.empty()) return absl::InvalidArgumentError("label_config is missing");
  if (!project.ok()) {
    return absl::Status(project.status().code(),
                        text::StrCat("label_config: ", project.status().message()));
  }
  const auto models = prelabel::Serving(profile);
  if (!models) return absl::UnavailableError("the models have not been heard of yet");
  const bool opened = request.tasks.size() == 1;
  std::string version = (*project)->ModelVersion(*models);
  prelabel::PredictJob job{
      .profile = profile,
      .project = *std::move(project),
      .model_version = std::move(version),
      .label_studio = set_up.label_studio,
      .call = {.deadline = system_clock::now() + gateway.options.predict_deadline,
               .request_id = context.request.request_id(),
               .traceparent = context.request.traceparent(),
               .patient = !opened},
      .urgency = opened ? prelabel::Urgency::kOpened : prelabel::Urgency::kBatch,
      .request = context.request};
  job.push = !opened && settings.background == "push";
  if (job.push && (job.label_studio.url.empty() || job.label_studio.Token().empty())) {
    job.push = false;
    context.request.NoteStr("push", "there is no token of Label Studio");
  }
  return job;
}

Response ResultsResponse(std::vector<std::string> predictions, const std::string& model_version) {
  Response response;
  response.body = label_studio::PredictResponseJson(std::move(predictions), model_version);
  return response;
}

// An answer or an error, never {}: somebody is waiting.
awaitable<Response> PredictOne(Gateway& gateway, const label_studio::PredictRequest& request,
                               prelabel::PredictJob& job) {
  const gateway::jobs::BackgroundJobs::Hand hand(gateway.jobs);
  const label_studio::Task& task = request.tasks.front();
  const bool interactive = request.interactive();
  auto work = interactive ? gateway.predictor.Answer(task, request.context, job)
                          : gateway.predictor.Predict(task, job);
  auto prediction = co_await std::move(work);
  CountTask(gateway, interactive ? "interactive" : "opened", prediction.status());
  if (!prediction.ok()) {
    co_return http::ErrorResponse(About(task, prediction.status()));
  }
  if (!interactive) gateway.jobs.AnsweredElsewhere(job, task.id);
  const std::string model_version = std::move(prediction->model_version);
  std::vector<std::string> predictions = {std::move(prediction->json)};
  co_return ResultsResponse(std::move(predictions), model_version);
}

// What a batch was left without, by what another try promises.
struct Failures {
  std::array<std::size_t, 3> count = {};   // by Outlook
  std::array<absl::Status, 3> first = {};  // likewise; in the batch's order, not in time
  std::array<std::size_t, 3> first_at = {};

  // `i`: the task's place in the batch.
  void Add(std::size_t i, const label_studio::Task& task, const absl::Status& status) {
    const auto outlook = static_cast<std::size_t>(prelabel::OutlookOf(status));
    if (count[outlook]++ > 0 && i > first_at[outlook]) return;
    first[outlook] = About(task, status);
    first_at[outlook] = i;
  }
  std::size_t total() const { return count[0] + count[1] + count[2]; }

  // REQUIRES: all tasks of the batch failed. 503 if waiting may help one of them; 500 if Duet is at
  // fault; else 422, since each has a reason of its own and none goes away by asking again.
  Response ToResponse() const {
    const auto sentence = [this](std::string_view what, prelabel::Outlook outlook) {
      return text::StrCat("all ", total(), " tasks failed", what, "; the first one, ",
                          first[static_cast<std::size_t>(outlook)].message());
    };
    if (count[static_cast<std::size_t>(prelabel::Outlook::kLater)] > 0) {
      return http::ErrorResponse(absl::UnavailableError(sentence("", prelabel::Outlook::kLater)));
    }
    if (count[static_cast<std::size_t>(prelabel::Outlook::kDefect)] > 0) {
      return http::ErrorResponse(500,
                                 sentence(" by a fault of Duet's", prelabel::Outlook::kDefect));
    }
    return http::ErrorResponse(422, sentence(" for good", prelabel::Outlook::kNever));
  }
};

// As many items as tasks, in order. A task that failed, or that a background job does, is {}: Label
// Studio keeps the others and asks again for it.
awaitable<Response> PredictBatch(Gateway& gateway, const label_studio::PredictRequest& request,
                                 prelabel::PredictJob& job) {
  std::vector<std::string> predictions(request.tasks.size(), "{}");
  Failures failures;
  std::size_t late = 0;          // of them, not begun at the deadline
  std::size_t elsewhere = 0;     // in somebody else's hands, for this very version
  std::size_t answer_bytes = 0;  // of `predictions`
  bool full = false;
  std::vector<std::size_t> left;  // for the background
  gateway::jobs::RequestClaims claims(gateway.jobs.claims());
  const std::function<awaitable<void>(std::size_t)> one = [&](std::size_t i) -> awaitable<void> {
    const label_studio::Task& task = request.tasks[i];
    if (job.push && !claims.Take(gateway::jobs::BackgroundJobs::KeyOf(job, task.id))) {
      ++elsewhere;
      co_return;
    }
    const absl::Status no_room =
        absl::ResourceExhaustedError("the batch's answer is as large as it may be");
    absl::StatusOr<prelabel::Prediction> prediction =
        full ? no_room : absl::DeadlineExceededError("the batch ran out of time");
    const bool begun = !full && system_clock::now() < job.call.deadline;
    if (begun) {
      auto work = gateway.predictor.Predict(task, job);
      prediction = co_await std::move(work);
    }
    if (prediction.ok() && answer_bytes > 0 &&
        answer_bytes + prediction->json.size() > gateway.options.max_answer_bytes) {
      full = true;  // nothing more is begun
      prediction = no_room;
    }
    CountTask(gateway, "batch", prediction.status());
    if (prediction.ok()) {
      answer_bytes += prediction->json.size();
      predictions[i] = std::move(prediction->json);
      co_return;
    }
    failures.Add(i, task, prediction.status());
    if (job.push && prelabel::IsAway(prediction.status())) left.push_back(i);
    if (!begun) {
      ++late;  // one number will do instead of thousands of lines
      co_return;
    }
    serving::LogLine("task.failed", serving::LogLevel::kWarning)
        .Request(job.request)
        .Int("task_id", task.id)
        .Status(prediction.status());
  };
  auto all = async::ForEachBounded(
      predictions.size(), static_cast<std::size_t>(gateway.options.batch_concurrency), one);
  co_await std::move(all);
  job.request.NoteInt("failed", static_cast<std::int64_t>(failures.total()));
  if (full) job.request.NoteInt("answer_full_at", static_cast<std::int64_t>(answer_bytes));
  if (late > 0) job.request.NoteInt("late", static_cast<std::int64_t>(late));

  std::size_t pushed = 0;
  if (!left.empty()) {
    std::sort(left.begin(), left.end());
    std::vector<const label_studio::Task*> tasks;
    for (const std::size_t i : left) tasks.push_back(&request.tasks[i]);
    const auto added = gateway.jobs.Add(job, request.project_id, tasks, claims);
    pushed = added.added;
    job.request.NoteStr("job", added.job_id);
    job.request.NoteInt("pushed", static_cast<std::int64_t>(pushed));
  }
  if (elsewhere > 0) job.request.NoteInt("elsewhere", static_cast<std::int64_t>(elsewhere));
  if (failures.total() == predictions.size() && pushed == 0) co_return failures.ToResponse();
  co_return ResultsResponse(std::move(predictions), job.model_version);
}

awaitable<Response> Predict(Gateway& gateway, Request& request, Context& context) {
  auto parsing = ParseBody(gateway.pool, request, label_studio::ParsePredictRequest);
  auto parsed = co_await std::move(parsing);
  if (!parsed.ok()) co_return http::ErrorResponse(parsed.status());
  auto looking = gateway.SetUpOf(gateway.ProfileOf(context), parsed->project_id);
  Gateway::SetUp set_up = co_await std::move(looking);
  auto finding = gateway.projects.Get(gateway.pool, parsed->label_config, set_up.settings);
  auto project = co_await std::move(finding);
  auto job = MakeJob(gateway, *parsed, std::move(project), set_up, context);
  if (!job.ok()) co_return http::ErrorResponse(job.status());
  context.request.NoteInt("tasks", static_cast<std::int64_t>(parsed->tasks.size()));
  const bool opened = job->urgency == prelabel::Urgency::kOpened;
  context.request.NoteStr("kind", parsed->interactive() ? "interactive"
                                  : opened              ? "opened"
                                                        : "batch");
  const auto follow = [&] {
    if (!opened || !job->project->config().has_smart_control()) return;
    gateway.Follow(job->profile, std::move(set_up), parsed->project_id, parsed->tasks.front().id,
                   /*opened=*/!parsed->interactive(), context);
  };
  if (!parsed->interactive()) follow();
  auto work = opened ? PredictOne(gateway, *parsed, *job) : PredictBatch(gateway, *parsed, *job);
  Response response = co_await std::move(work);
  if (parsed->interactive()) follow();  // not before its answer
  NoteTimings(*job);
  co_return response;
}

}  // namespace

void AddPredict(Gateway& gateway, http::Router& router) {
  router.Add(boost::beast::http::verb::post, "/predict",
             [&gateway](Request& request, Context& context) {
               return Predict(gateway, request, context);
             });
}

}  // namespace gateway::endpoints
