// What a run does to each of its images, once it has the image's bytes: the pipeline gives it the
// images, repeats what fails for a reason that may pass, and writes down what becomes of them.
#ifndef DUET_BULK_IMAGE_WORK_H_
#define DUET_BULK_IMAGE_WORK_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <boost/asio/awaitable.hpp>

#include "backends/client.h"
#include "bulk/journal.pb.h"

namespace bulk {

// Used on the pipeline's thread, for several images at a time.
class ImageWork {
 public:
  virtual ~ImageWork() = default;

  // What becomes of the image, without its index. Aborted, which is repeated until it passes or
  // Check says that it won't, if a service has another model by now or can take nothing; other
  // errors are prelabel::IsRetryable, or the image's own. To be awaited from a variable.
  virtual boost::asio::awaitable<absl::StatusOr<duet::bulk::v1::Record>> Do(
      backends::ImageRef image) = 0;

  // Whether all services that it needs answered when they were asked last.
  virtual bool ServicesWork() const = 0;
  // Why the run can't go on: FailedPrecondition if one of them serves another model by now than the
  // run was begun with, InvalidArgument if one has refused what the run asks of it.
  virtual absl::Status Check() const = 0;
};

}  // namespace bulk

#endif  // DUET_BULK_IMAGE_WORK_H_
