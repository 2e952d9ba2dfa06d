// The two models for a command that looks at a few pictures: services that run already, or ones
// that are started for it.
#ifndef DUET_CLI_PICTURE_SERVICES_H_
#define DUET_CLI_PICTURE_SERVICES_H_

#include <absl/status/statusor.h>

#include <boost/asio/io_context.hpp>
#include <memory>

#include "backends/client.h"
#include "bulk/private_service.h"
#include "bulk/services.h"
#include "prelabel/image_objects.h"
#include "prelabel/profiles.h"
#include "prelabel/settings.h"

namespace cli {

// For one thread: what it starts ends when that does.
class PictureServices {
 public:
  // Those that aren't named are started, without a kernel plan they measure; what they log is in no
  // folder. No segmenter is taken unless masks are wanted. Waits until what is needed has said what
  // it serves. InvalidArgument if neither a detector nor its weights are named; Unavailable if a
  // service doesn't answer or ended.
  static absl::StatusOr<std::unique_ptr<PictureServices>> Connect(
      const bulk::ServiceOptions& options, bool wants_masks);
  ~PictureServices();

  // What is in the picture. With a segmenter all objects have masks, unless the detector makes its
  // own; without one, those that the detector makes. Errors are the services' own.
  absl::StatusOr<prelabel::ImageObjects> Find(const backends::ImageRef& image,
                                              const prelabel::Settings& settings);

  const backends::DetectorModel& detector_model() const { return *models_.detector; }
  // Null: there is none.
  const backends::SegmenterModel* segmenter_model() const { return models_.segmenter.get(); }
  // For others who have to wait in the same thread.
  boost::asio::io_context& io() { return io_; }

 private:
  explicit PictureServices(bool wants_masks) : wants_masks_(wants_masks) {}
  // Starts those that aren't named, at once, and sets where they are.
  absl::Status StartMissing(const bulk::ServiceOptions& options,
                            bulk::ServiceClients::Addresses* at);
  absl::Status WaitForModels();

  const bool wants_masks_;
  // Each is used by those below it.
  std::unique_ptr<bulk::PrivateService> own_detector_;
  std::unique_ptr<bulk::PrivateService> own_segmenter_;
  boost::asio::io_context io_{1};
  bulk::ServiceClients clients_;  // without a segmenter if no masks are wanted of it
  prelabel::ServedModels models_;
};

}  // namespace cli

#endif  // DUET_CLI_PICTURE_SERVICES_H_
