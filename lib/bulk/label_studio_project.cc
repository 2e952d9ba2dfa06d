#include "bulk/label_studio_project.h"

#include <absl/time/clock.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>

#include "http_client/address_policy.h"
#include "http_client/network.h"
#include "label_studio/label_config.h"
#include "prelabel/predictor.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

using text::StrCat;

constexpr int kPageTasks = 500;
constexpr absl::Duration kFirstPause = absl::Seconds(1);
constexpr absl::Duration kLongestPause = absl::Seconds(30);
// After a time-out Label Studio may still be storing what it was sent.
constexpr absl::Duration kSettle = absl::Seconds(5);

// Runs a coroutine to its end on this thread.
template <typename T>
T Await(boost::asio::awaitable<T> work) {
  boost::asio::io_context io(1);
  std::optional<T> result;
  boost::asio::co_spawn(io, std::move(work), [&result](const std::exception_ptr& error, T value) {
    if (error) std::rethrow_exception(error);  // a bug: nothing in the API throws
    result.emplace(std::move(value));
  });
  io.run();
  return *std::move(result);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LabelStudioProject>> LabelStudioProject::Make(
    label_studio_api::LabelStudioSite site, std::string id, std::int64_t view) {
  auto policy = http_client::AddressPolicy::Make({}, /*allow_all=*/false);
  if (!policy.ok()) return policy.status();
  std::unique_ptr<LabelStudioProject> project(
      new LabelStudioProject(std::move(site), std::move(id), view));
  project->api_ = std::make_unique<label_studio_api::LabelStudioApi>(
      http_client::Network::Default(), *std::move(policy));
  return project;
}

std::string LabelStudioProject::Describe() const {
  return StrCat(kProjectScheme, id_, " of ", site_.url, view_ > 0 ? StrCat(", view ", view_) : "");
}

absl::StatusOr<std::string> LabelStudioProject::LabelConfig() {
  auto info = Await(api_->Project(site_, id_));
  if (!info.ok()) {
    return absl::Status(info.status().code(),
                        StrCat(kProjectScheme, id_, ": ", info.status().message()));
  }
  return std::move(info->label_config);
}

absl::Status LabelStudioProject::List(AddImage add) {
  absl::Status status = ListPages(add);
  if (status.ok()) return status;
  return absl::Status(status.code(), StrCat(kProjectScheme, id_, ": ", status.message()));
}

absl::Status LabelStudioProject::ListPages(AddImage add) {
  const absl::StatusOr<std::string> xml = LabelConfig();
  if (!xml.ok()) return xml.status();
  const auto config = label_studio::ParseLabelConfig(*xml);
  if (!config.ok()) return config.status();
  if (config->images.size() != 1 || config->images.front().is_list || config->depends_on_task) {
    return absl::InvalidArgumentError(
        "its tasks have several images, or labels of their own; needed: a label config with one "
        "image and its own labels. Retrieve Predictions takes the others");
  }
  std::int64_t after = 0;
  for (int page = 1;; ++page) {
    const auto tasks = view_ > 0 ? Await(api_->TasksOfView(site_, id_, view_, page, kPageTasks))
                                 : Await(api_->AllTasks(site_, id_, after, kPageTasks));
    if (!tasks.ok()) return tasks.status();
    for (const label_studio::Task& task : *tasks) {
      after = std::max(after, task.id);
      const auto uris = label_studio::ImageUris(config->images.front(), task.data);
      if (!uris.ok()) {
        return absl::InvalidArgumentError(StrCat("task ", task.id, ": ", uris.status().message()));
      }
      add(uris->front(), StrCat(task.id));
    }
    if (tasks->size() < static_cast<std::size_t>(kPageTasks)) return absl::OkStatus();
  }
}

absl::StatusOr<std::vector<std::int64_t>> LabelStudioProject::Lacking(
    const Predictions& predictions, const std::string& version) {
  std::vector<std::int64_t> tasks;
  for (const auto& [task, prediction] : predictions) tasks.push_back(task);
  const auto predicted = Await(api_->PredictedTasks(site_, id_, tasks, version));
  if (!predicted.ok()) return predicted.status();
  std::erase_if(tasks, [&](std::int64_t task) {
    return std::find(predicted->begin(), predicted->end(), task) != predicted->end();
  });
  return tasks;
}

absl::Status LabelStudioProject::Store(const Predictions& predictions, const std::string& version,
                                       absl::Duration patience,
                                       const std::function<void(const absl::Status&)>& on_wait) {
  const absl::Time deadline = absl::Now() + patience;
  absl::Duration pause = kFirstPause;
  for (;;) {
    const auto lacking = Lacking(predictions, version);
    absl::Status status = lacking.status();
    if (status.ok()) {
      std::string body;
      for (const auto& [task, prediction] : predictions) {
        if (std::find(lacking->begin(), lacking->end(), task) == lacking->end()) continue;
        text::StrAppend(&body, body.empty() ? "[" : ",",
                        label_studio_api::PredictionBody(task, prediction));
      }
      if (body.empty()) return absl::OkStatus();
      status = Await(api_->ImportPredictions(site_, id_, body + "]"));
    }
    if (status.ok()) return status;
    if (!prelabel::IsRetryable(status) || absl::Now() + pause > deadline) return status;
    on_wait(status);
    absl::SleepFor(std::max(pause, absl::IsDeadlineExceeded(status) ? kSettle : pause));
    pause = std::min(2 * pause, kLongestPause);
  }
}

}  // namespace bulk
