// What a bulk run does: which services it takes, what its head says of them, and what it has them
// do to each image. What is written of the results is the output format's concern (output.h), and
// all else is the same for all kinds (prelabel_run.h).
#ifndef DUET_BULK_RUN_KIND_H_
#define DUET_BULK_RUN_KIND_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "bulk/head.h"
#include "bulk/image_work.h"
#include "bulk/run_options.h"
#include "bulk/services.h"
#include "prelabel/profiles.h"

namespace bulk {

// Has no state. Thread-safe.
class RunKind {
 public:
  virtual ~RunKind() = default;

  // InvalidArgument, with what is needed, if the options neither name a service that the run can't
  // do without nor say how to start it.
  virtual absl::StatusOr<ServiceNeeds> Needs(const RunOptions& options) const = 0;
  // Completes a head of these options by what the services serve; of a run that is done, by what
  // its own head has of them. InvalidArgument and FailedPrecondition if they can't do it.
  virtual absl::Status Complete(const RunOptions& options, const prelabel::ServedModels& models,
                                Head* head) const = 0;
  // What is to be known before the first of the images that are `left` is sent; "": nothing.
  virtual std::string Notice(const Head& /*head*/, const Services& /*services*/,
                             std::uint64_t /*left*/) const {
    return "";
  }
  // What is done to each image. REQUIRES: the head is complete, and the services are those that the
  // run needs. All that it is given outlives the result; on `pool` runs what takes long.
  virtual absl::StatusOr<std::unique_ptr<ImageWork>> MakeWork(
      const RunOptions& options, const Head& head, const Services& services,
      boost::asio::thread_pool& pool) const = 0;
};

// The detector finds objects; their masks are its own, or the segmenter's.
const RunKind& FindObjects();
// The segmenter finds all that is in the image, by its automatic mask generator.
const RunKind& FindEverything();
// The segmenter encodes the image and keeps that.
const RunKind& EmbedImages();

}  // namespace bulk

#endif  // DUET_BULK_RUN_KIND_H_
