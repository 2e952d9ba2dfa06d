#include "bulk/label_studio_project.h"

#include <absl/container/flat_hash_set.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>

#include "http_client/address_policy.h"
#include "label_studio/label_config.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

using label_studio_api::WhichTasks;
using text::StrCat;

constexpr int kPageTasks = 500;
// For so long Label Studio may still be storing what it was sent, although the answer was that of a
// proxy that gave up, or none. Meanwhile it is asked again and again whether it has.
constexpr absl::Duration kSettle = absl::Seconds(30);
constexpr absl::Duration kLookEvery = absl::Seconds(2);

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
    label_studio_api::LabelStudioSite site, std::string id, std::int64_t view,
    std::shared_ptr<http_client::Network> network) {
  auto policy = http_client::AddressPolicy::Make({}, /*allow_all=*/false);
  if (!policy.ok()) return policy.status();
  std::unique_ptr<LabelStudioProject> project(
      new LabelStudioProject(std::move(site), std::move(id), view));
  project->api_ =
      std::make_unique<label_studio_api::LabelStudioApi>(std::move(network), *std::move(policy));
  return project;
}

std::string LabelStudioProject::Describe() const {
  return StrCat(kProjectScheme, id_, " of ", site_.url, view_ > 0 ? StrCat(", view ", view_) : "");
}

absl::StatusOr<std::string> LabelStudioProject::LabelConfig(const Patience& patience) {
  std::string label_config;
  absl::Status status = Patiently(patience, [&] {
    auto info = Await(api_->Project(site_, id_));
    if (info.ok()) label_config = std::move(info->label_config);
    return info.status();
  });
  if (status.ok()) return label_config;
  return absl::Status(status.code(), StrCat(kProjectScheme, id_, ": ", status.message()));
}

absl::Status LabelStudioProject::List(const Patience& patience, AddImage add) {
  const absl::StatusOr<std::string> xml = LabelConfig(patience);
  if (!xml.ok()) return xml.status();
  absl::Status status = ListPages(*xml, patience, add);
  if (status.ok()) return status;
  return absl::Status(status.code(), StrCat(kProjectScheme, id_, ": ", status.message()));
}

absl::Status LabelStudioProject::ListPages(const std::string& label_config,
                                           const Patience& patience, AddImage add) {
  const auto config = label_studio::ParseLabelConfig(label_config);
  if (!config.ok()) return config.status();
  if (config->images.size() != 1 || config->images.front().is_list || config->depends_on_task) {
    return absl::InvalidArgumentError(
        "its tasks have several images, or labels of their own; needed: a label config with one "
        "image and its own labels. Retrieve Predictions takes the others");
  }
  std::int64_t after = 0;
  // A view's pages shift while people work on its tasks.
  absl::flat_hash_set<std::int64_t> seen;
  for (int page = 1;; ++page) {
    std::vector<label_studio::Task> tasks;
    absl::Status status = Patiently(patience, [&] {
      auto answer = view_ > 0
                        ? Await(api_->TasksOfView(site_, id_, view_, page, kPageTasks))
                        : Await(api_->TasksById(site_, id_, WhichTasks::kAll, after, kPageTasks));
      if (answer.ok()) tasks = *std::move(answer);
      return answer.status();
    });
    // However few a page has, another one may follow.
    if (!status.ok() || tasks.empty()) return status;
    for (const label_studio::Task& task : tasks) {
      after = std::max(after, task.id);
      if (view_ > 0 && !seen.insert(task.id).second) continue;
      const auto uris = label_studio::ImageUris(config->images.front(), task.data);
      if (!uris.ok()) {
        return absl::InvalidArgumentError(StrCat("task ", task.id, ": ", uris.status().message()));
      }
      add(uris->front(), StrCat(task.id));
    }
  }
}

absl::StatusOr<std::vector<std::int64_t>> LabelStudioProject::Lacking(Some predictions,
                                                                      const std::string& version) {
  std::vector<std::int64_t> tasks;
  for (const auto& [task, prediction] : predictions) tasks.push_back(task);
  const auto predicted = Await(api_->PredictedTasks(site_, id_, tasks, version));
  if (!predicted.ok()) return predicted.status();
  std::erase_if(tasks, [&](std::int64_t task) {
    return std::find(predicted->begin(), predicted->end(), task) != predicted->end();
  });
  return tasks;
}

absl::StatusOr<LabelStudioProject::Refused> LabelStudioProject::Store(
    const Predictions& predictions, const std::string& version, const Patience& patience) {
  Refused refused;
  absl::Status status = StoreSome(predictions, version, patience, &refused);
  if (!status.ok()) return status;
  return refused;
}

absl::Status LabelStudioProject::StoreSome(Some predictions, const std::string& version,
                                           const Patience& patience, Refused* refused) {
  absl::Time settled = absl::InfinitePast();
  bool taken = false;    // Label Studio said so
  bool invalid = false;  // Label Studio said so of one of them, but not of which
  absl::Status status = Patiently(patience, [&]() -> absl::Status {
    for (;;) {
      const auto lacking = Lacking(predictions, version);
      if (!lacking.ok()) return lacking.status();
      if (lacking->empty()) return absl::OkStatus();
      if (taken) {
        for (const std::int64_t task : *lacking) {
          refused->emplace_back(task, StrCat("Label Studio took the prediction of task ", task,
                                             " and has not stored it"));
        }
        return absl::OkStatus();
      }
      if (absl::Now() < settled) {
        absl::SleepFor(kLookEvery);
        continue;
      }
      std::string body;
      for (const auto& [task, prediction] : predictions) {
        if (std::find(lacking->begin(), lacking->end(), task) == lacking->end()) continue;
        text::StrAppend(&body, body.empty() ? "[" : ",",
                        label_studio_api::PredictionBody(task, prediction));
      }
      const auto created = Await(api_->ImportPredictions(site_, id_, body + "]"));
      if (!created.ok()) {
        settled = absl::Now() + kSettle;
        invalid = absl::IsInvalidArgument(created.status());
        return created.status();
      }
      if (*created == static_cast<std::int64_t>(lacking->size())) return absl::OkStatus();
      taken = true;
    }
  });
  if (!invalid) return status;
  if (predictions.size() == 1) {
    const std::int64_t task = predictions.front().first;
    const auto next = Await(api_->TasksById(site_, id_, WhichTasks::kAll, task - 1, 1));
    const bool deleted = next.ok() && (next->empty() || next->front().id != task);
    refused->emplace_back(task, deleted ? StrCat("task ", task, " was deleted meanwhile")
                                        : StrCat("task ", task, ": ", status.message()));
    return absl::OkStatus();
  }
  const std::size_t half = predictions.size() / 2;
  status = StoreSome(predictions.first(half), version, patience, refused);
  if (!status.ok()) return status;
  return StoreSome(predictions.subspan(half), version, patience, refused);
}

}  // namespace bulk
