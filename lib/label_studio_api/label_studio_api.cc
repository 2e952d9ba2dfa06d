#include "label_studio_api/label_studio_api.h"

#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <memory>
#include <utility>

#include "async/await_callback.h"
#include "text/str_cat.h"

namespace label_studio_api {
namespace {

namespace asio = boost::asio;
using asio::awaitable;

// A task's stored predictions may hold large run-length codes.
constexpr std::int64_t kMaxAnswerBytes = 64 << 20;

// One exchange, as seen by the loop's thread.
struct Exchange {
  http_client::TransferLoop::TransferId id = 0;  // while it runs
  bool cancelled = false;
};

}  // namespace

LabelStudioApi::LabelStudioApi(std::shared_ptr<http_client::Network> network,
                               http_client::AddressPolicy policy)
    : policy_(std::move(policy)), tokens_(loop_, absl::Now), loop_(policy_, std::move(network)) {}

awaitable<absl::StatusOr<http_client::HttpResponse>> LabelStudioApi::Send(
    LabelStudioSite site, http_client::HttpRequest request) {
  using Result = absl::StatusOr<http_client::HttpResponse>;
  auto exchange = std::make_shared<Exchange>();
  auto start = [this, exchange, site = std::move(site),
                request = std::move(request)](auto done) mutable {
    loop_.Post([this, exchange, site = std::move(site), request = std::move(request),
                done = std::move(done)]() mutable {
      if (exchange->cancelled) return done(absl::CancelledError("the call was cancelled"));
      asio::co_spawn(
          loop_.context(), tokens_.Perform(std::move(site), std::move(request), &exchange->id),
          [exchange, done = std::move(done)](std::exception_ptr error, Result result) mutable {
            if (error) std::rethrow_exception(error);  // a bug: nothing in Perform throws
            done(std::move(result));
          });
    });
  };
  auto cancel = [this, exchange] {
    loop_.Post([this, exchange] {
      exchange->cancelled = true;
      if (exchange->id != 0) loop_.Abort(exchange->id);
    });
  };
  return async::AwaitCallback<Result>(std::move(start), std::move(cancel));
}

awaitable<absl::StatusOr<std::string>> LabelStudioApi::Call(LabelStudioSite site, std::string path,
                                                            std::string json_body) {
  http_client::HttpRequest request;
  request.url = site.url + path;
  request.json_body = std::move(json_body);
  request.deadline = absl::Now() + kTimeout;
  request.max_bytes = kMaxAnswerBytes;
  auto sending = Send(site, std::move(request));
  auto response = co_await std::move(sending);
  // Nothing but an address is refused before there is an answer.
  if (absl::IsPermissionDenied(response.status())) co_return NotNamed(site);
  if (!response.ok()) co_return response.status();
  if (response->status < 200 || response->status > 299) {
    co_return ErrorOf(response->status, path, response->body);
  }
  co_return std::move(response->body);
}

awaitable<absl::StatusOr<ProjectInfo>> LabelStudioApi::Project(LabelStudioSite site,
                                                               std::string project_id) {
  auto calling = Call(std::move(site), ProjectPath(project_id));
  const auto body = co_await std::move(calling);
  if (!body.ok()) co_return body.status();
  co_return ParseProject(*body);
}

awaitable<absl::StatusOr<std::vector<label_studio::Task>>> LabelStudioApi::UnlabelledTasks(
    LabelStudioSite site, std::string project_id, Sampling sampling, std::int64_t after,
    int count) {
  auto calling = Call(std::move(site), UnlabelledTasksPath(project_id, sampling, after, count));
  const auto body = co_await std::move(calling);
  if (!body.ok()) co_return body.status();
  co_return ParseTasks(*body);
}

awaitable<absl::StatusOr<AnnotatedTasks>> LabelStudioApi::Annotated(LabelStudioSite site,
                                                                    std::string project_id,
                                                                    std::int64_t after, int count) {
  auto calling = Call(std::move(site), AnnotatedTasksPath(project_id, after, count));
  const auto body = co_await std::move(calling);
  if (!body.ok()) co_return body.status();
  co_return ParseAnnotatedTasks(*body);
}

awaitable<absl::StatusOr<std::vector<label_studio::Task>>> LabelStudioApi::TasksById(
    LabelStudioSite site, std::string project_id, WhichTasks which, std::int64_t after, int count) {
  auto calling = Call(std::move(site), TasksByIdPath(project_id, which, after, count));
  const auto body = co_await std::move(calling);
  if (!body.ok()) co_return body.status();
  co_return ParseTasks(*body);
}

awaitable<absl::StatusOr<std::vector<label_studio::Task>>> LabelStudioApi::TasksOfView(
    LabelStudioSite site, std::string project_id, std::int64_t view, int page, int count) {
  auto calling = Call(std::move(site), ViewTasksPath(project_id, view, page, count));
  const auto body = co_await std::move(calling);
  if (page > 1 && absl::IsNotFound(body.status())) co_return std::vector<label_studio::Task>();
  if (!body.ok()) co_return body.status();
  co_return ParseTasks(*body);
}

awaitable<absl::StatusOr<std::vector<std::int64_t>>> LabelStudioApi::PredictedTasks(
    LabelStudioSite site, std::string project_id, std::vector<std::int64_t> tasks,
    std::string model_version) {
  std::vector<std::int64_t> ids;
  // Most often all of them come at once.
  while (!tasks.empty()) {
    auto calling = Call(site, PredictedTasksPath(project_id, tasks, model_version));
    const auto body = co_await std::move(calling);
    if (!body.ok()) co_return body.status();
    const auto found = ParseTasks(*body);
    if (!found.ok()) co_return found.status();
    if (found->empty()) break;
    const std::int64_t last = found->back().id;
    for (const label_studio::Task& task : *found) ids.push_back(task.id);
    std::erase_if(tasks, [last](std::int64_t task) { return task <= last; });
  }
  co_return ids;
}

awaitable<absl::StatusOr<std::int64_t>> LabelStudioApi::ImportPredictions(LabelStudioSite site,
                                                                          std::string project_id,
                                                                          std::string predictions) {
  auto calling = Call(std::move(site), ImportPredictionsPath(project_id), std::move(predictions));
  const auto answer = co_await std::move(calling);
  if (!answer.ok()) co_return answer.status();
  co_return ParseCreated(*answer);
}

awaitable<absl::StatusOr<std::int64_t>> LabelStudioApi::CountAnnotated(LabelStudioSite site,
                                                                       std::string project_id,
                                                                       absl::Time since) {
  auto calling = Call(std::move(site), AnnotatedSincePath(project_id, since));
  const auto body = co_await std::move(calling);
  if (!body.ok()) co_return body.status();
  co_return ParseTotal(*body);
}

awaitable<absl::StatusOr<std::vector<std::string>>> LabelStudioApi::Backends(
    LabelStudioSite site, std::string project_id) {
  auto calling = Call(std::move(site), BackendsPath(project_id));
  const auto body = co_await std::move(calling);
  if (!body.ok()) co_return body.status();
  co_return ParseBackends(*body);
}

awaitable<absl::Status> LabelStudioApi::StorePrediction(LabelStudioSite site, std::int64_t task_id,
                                                        std::string prediction,
                                                        std::string model_version) {
  auto asking = Call(site, StoredPredictionsPath(task_id));
  const auto stored = co_await std::move(asking);
  if (!stored.ok()) co_return stored.status();
  const auto has_one = HasPrediction(*stored, model_version);
  if (!has_one.ok()) co_return has_one.status();
  if (*has_one) {
    co_return absl::AlreadyExistsError(
        text::StrCat("task ", task_id, " has a prediction of this version already"));
  }
  auto storing = Call(std::move(site), kPredictionsPath, PredictionBody(task_id, prediction));
  const auto answer = co_await std::move(storing);
  co_return answer.status();
}

}  // namespace label_studio_api
