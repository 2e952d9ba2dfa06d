// LabelStudioApi is Duet as a client of Label Studio: what a background job stores, which tasks
// come next, and what was annotated.
//
// Exchanges run on one thread of its own (http_client/transfer.h), apart from images, so that a
// call never waits behind an image. The token is the one that images are fetched with
// (label_studio_tokens.h). Every call ends after kTimeout; none is repeated here, that is the
// caller's choice.
#ifndef DUET_LABEL_STUDIO_API_LABEL_STUDIO_API_H_
#define DUET_LABEL_STUDIO_API_LABEL_STUDIO_API_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "http_client/address_policy.h"
#include "http_client/network.h"
#include "http_client/transfer.h"
#include "label_studio_api/label_studio_site.h"
#include "label_studio_api/label_studio_tokens.h"
#include "label_studio_api/requests.h"

namespace label_studio_api {

inline constexpr absl::Duration kTimeout = absl::Seconds(30);

// The coroutines resume on their own executor. Cancelling one ends its exchange; it then gives
// Cancelled like any other error. REQUIRES at destruction: nobody runs those executors any more, or
// none of the coroutines is left. Thread-safe.
//
// Errors of all: those of requests.h (ErrorOf), DeadlineExceeded, Unavailable (no connection),
// Unauthenticated (the token), PermissionDenied (also of a private address that the operator didn't
// name), Cancelled.
class LabelStudioApi {
 public:
  // `policy`: for sites that the operator didn't name.
  LabelStudioApi(std::shared_ptr<http_client::Network> network, http_client::AddressPolicy policy);

  boost::asio::awaitable<absl::StatusOr<ProjectInfo>> Project(LabelStudioSite site,
                                                              std::string project_id);
  boost::asio::awaitable<absl::StatusOr<std::vector<label_studio::Task>>> UnlabelledTasks(
      LabelStudioSite site, std::string project_id, Sampling sampling, std::int64_t after,
      int count);
  boost::asio::awaitable<absl::StatusOr<AnnotatedTasks>> Annotated(LabelStudioSite site,
                                                                   std::string project_id,
                                                                   std::int64_t after, int count);

  // Up to `count` tasks whose ids are higher than `after`, by id. There may be more although fewer
  // come: a Label Studio may have a limit of its own (TASK_API_PAGE_SIZE_MAX); so with all pages.
  boost::asio::awaitable<absl::StatusOr<std::vector<label_studio::Task>>> TasksById(
      LabelStudioSite site, std::string project_id, WhichTasks which, std::int64_t after,
      int count);
  // A page of up to `count` tasks that a view shows; the first one is 1. None behind the last page.
  boost::asio::awaitable<absl::StatusOr<std::vector<label_studio::Task>>> TasksOfView(
      LabelStudioSite site, std::string project_id, std::int64_t view, int page, int count);
  // Those of `tasks`, at most 100, that have a prediction of this version.
  boost::asio::awaitable<absl::StatusOr<std::vector<std::int64_t>>> PredictedTasks(
      LabelStudioSite site, std::string project_id, std::vector<std::int64_t> tasks,
      std::string model_version);
  // Stores a JSON list of predictions, all or none of them, without a look at those that the tasks
  // have; how many Label Studio says that it has stored. InvalidArgument if it refuses one, as that
  // of a task that was deleted. After DeadlineExceeded or Unavailable they may be stored, or still
  // become so.
  boost::asio::awaitable<absl::StatusOr<std::int64_t>> ImportPredictions(LabelStudioSite site,
                                                                         std::string project_id,
                                                                         std::string predictions);
  // How many tasks of the project were annotated after `since`; in all for InfinitePast.
  boost::asio::awaitable<absl::StatusOr<std::int64_t>> CountAnnotated(LabelStudioSite site,
                                                                      std::string project_id,
                                                                      absl::Time since);
  // The addresses of the project's ML backends. Label Studio calls their /setup before it answers.
  boost::asio::awaitable<absl::StatusOr<std::vector<std::string>>> Backends(LabelStudioSite site,
                                                                            std::string project_id);
  // Stores a prediction unless the task has one of this version already (somebody else was faster,
  // or an earlier try did arrive): AlreadyExists then.
  boost::asio::awaitable<absl::Status> StorePrediction(LabelStudioSite site, std::int64_t task_id,
                                                       std::string prediction,
                                                       std::string model_version);

 private:
  // The body of a 2xx answer. GET if `json_body` is "".
  boost::asio::awaitable<absl::StatusOr<std::string>> Call(LabelStudioSite site, std::string path,
                                                           std::string json_body = "");
  boost::asio::awaitable<absl::StatusOr<http_client::HttpResponse>> Send(
      LabelStudioSite site, http_client::HttpRequest request);

  const http_client::AddressPolicy policy_;
  LabelStudioTokens tokens_;
  http_client::TransferLoop loop_;  // last: its thread uses the others
};

}  // namespace label_studio_api

#endif  // DUET_LABEL_STUDIO_API_LABEL_STUDIO_API_H_
