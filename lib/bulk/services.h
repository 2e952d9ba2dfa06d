// The services that a run works with: those that it is told of, or its own, which it starts, keeps
// alive and ends.
#ifndef DUET_BULK_SERVICES_H_
#define DUET_BULK_SERVICES_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "backends/channel.h"
#include "backends/client.h"
#include "bulk/pipeline.h"
#include "bulk/private_service.h"
#include "bulk/run_folder.h"
#include "prelabel/profiles.h"

namespace bulk {

struct ServiceOptions {
  std::string detector;   // host:port, several separated by commas; "": none
  std::string segmenter;  // likewise
  // The weights of services that the run starts for itself where none are named. They lie beside
  // this program.
  std::string detector_checkpoint;
  std::string segmenter_checkpoint;
  std::vector<std::string> segmenter_flags;  // of one that the run starts: "--name=value"
  std::string kernel_plan;     // of services that it starts, a file; "": one of this run's own
  backends::GrpcOptions grpc;  // to services that are named; to its own the run speaks plaintext
};

// Which services a run takes.
struct ServiceNeeds {
  bool detector = false;
  bool segmenter = false;
};

// Clients of the services that a command takes, for one thread.
class ServiceClients {
 public:
  // Where they are: host:port, several separated by commas; "": none is taken.
  struct Addresses {
    std::string detector;
    std::string segmenter;
  };
  // None is taken.
  ServiceClients() = default;
  // To those that `options` name with their `grpc`, to others, which are our own, in plaintext.
  // `io` outlives it.
  static absl::StatusOr<ServiceClients> Connect(const ServiceOptions& options, const Addresses& at,
                                                boost::asio::io_context& io);

  // What they have said that they serve, and who of them hasn't said it yet.
  struct Heard {
    prelabel::ServedModels models;
    std::string silent;  // "detector" or "segmenter"; "": all have said it
    std::string error;   // why
  };
  // Runs the io_context, which may have stopped, for that long before.
  Heard Listen(boost::asio::io_context& io, std::chrono::milliseconds duration) const;

  // Null if none is taken.
  backends::DetectorClient* detector() const { return detector_.get(); }
  backends::SegmenterClient* segmenter() const { return segmenter_.get(); }

 private:
  std::unique_ptr<backends::DetectorClient> detector_;
  std::unique_ptr<backends::SegmenterClient> segmenter_;
};

class Services {
 public:
  // Connects to those that are needed and named, and starts the others, whose logs and kernels are
  // in `folder`. REQUIRES: one that is needed has a name or a checkpoint. `io` and `reporter`
  // outlive it.
  static absl::StatusOr<std::unique_ptr<Services>> Connect(const ServiceOptions& options,
                                                           ServiceNeeds needs,
                                                           const RunFolder& folder,
                                                           boost::asio::io_context& io,
                                                           Reporter& reporter);

  // Waits until all have said what they serve. Runs the io_context meanwhile. Unavailable if one
  // doesn't say it within five minutes.
  absl::StatusOr<prelabel::ServedModels> Wait(boost::asio::io_context& io,
                                              Reporter& reporter) const;

  // Null if the run takes none.
  backends::DetectorClient* detector() const { return clients_.detector(); }
  backends::SegmenterClient* segmenter() const { return clients_.segmenter(); }

 private:
  struct Own {
    std::string name;
    std::unique_ptr<PrivateService> service;
  };

  // Starts what is needed and isn't named, both at once, and says where it is.
  absl::Status StartMissing(const ServiceOptions& options, ServiceNeeds needs,
                            const RunFolder& folder, ServiceClients::Addresses* at);
  // Starts those of our own again that end, for as long as the io_context is run.
  boost::asio::awaitable<void> KeepAlive(Reporter& reporter);

  std::vector<Own> own_;  // end after the clients
  ServiceClients clients_;
};

// What the segmenter that is named serves. Unavailable if it doesn't answer within ten seconds.
absl::StatusOr<std::shared_ptr<const backends::SegmenterModel>> AskSegmenter(
    const ServiceOptions& options);

}  // namespace bulk

#endif  // DUET_BULK_SERVICES_H_
