// After another model serves a project, its tasks without annotations get predictions of that
// model, without anybody asking: Label Studio is told by being asked for the project's backends,
// which makes it call /setup, and where background=push holds the predictions are made and stored
// as background jobs. Elsewhere the next "Retrieve Predictions" does it.
//
// One gateway does it (ServingWatch), whoever has changed what serves. A restart loses the rest.
#ifndef DUET_GATEWAY_ENDPOINTS_RENEWAL_H_
#define DUET_GATEWAY_ENDPOINTS_RENEWAL_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>

#include "gateway/jobs/serving_watch.h"
#include "label_studio_api/requests.h"
#include "prelabel/predictor.h"
#include "prelabel/profiles.h"

namespace gateway::endpoints {

struct Application;

// `app` outlives this, and the executor's context must not be run any more at destruction.
// Thread-safe.
class Renewal {
 public:
  Renewal(boost::asio::any_io_executor executor, Application& app)
      : executor_(std::move(executor)), app_(app) {}

  // Returns at once.
  void Start(const jobs::Swap& swap);
  void Stop() { stopping_ = true; }

 private:
  boost::asio::awaitable<absl::Status> Renew(jobs::Swap swap);
  // Until all replicas that have the name serve the version.
  boost::asio::awaitable<absl::Status> AwaitVersion(jobs::Swap swap);
  // Whether the address of an ML backend is this gateway's, and which profile it chooses: one that
  // has just been set up for the project. Null: it is another program's.
  boost::asio::awaitable<const prelabel::Profile*> ProfileAt(std::string url,
                                                             std::string project_id,
                                                             std::int64_t created);
  boost::asio::awaitable<absl::Status> RenewWith(const prelabel::Profile& profile, jobs::Swap swap,
                                                 label_studio_api::ProjectInfo info);
  // Makes background jobs of all tasks without annotations; how many.
  boost::asio::awaitable<absl::StatusOr<std::int64_t>> PushAll(
      const prelabel::PredictContext& predict);

  const boost::asio::any_io_executor executor_;
  Application& app_;
  std::atomic<bool> stopping_ = false;
};

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_RENEWAL_H_
