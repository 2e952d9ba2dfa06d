// The two models for a command that looks at a few pictures: services that run already, or ones
// that are started for it.
#ifndef DUET_CLI_PICTURE_SERVICES_H_
#define DUET_CLI_PICTURE_SERVICES_H_

#include <absl/status/statusor.h>

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>

#include "backends/channel.h"
#include "backends/client.h"
#include "bulk/private_service.h"
#include "prelabel/image_objects.h"
#include "prelabel/settings.h"

namespace cli {

struct PictureServiceOptions {
  std::string detector;  // host:port, several separated by commas; "": one is started
  std::string segmenter;
  // The weights of those that are started. They lie beside this program, and end with this object.
  std::string detector_checkpoint;
  std::string segmenter_checkpoint;
  std::string kernel_plan;     // of those that are started; "": they measure
  bool masks = true;           // without, no segmenter is needed
  backends::GrpcOptions grpc;  // to services that are named
};

// For one thread: what it starts ends when that does.
class PictureServices {
 public:
  // Waits until what is needed has said what it serves. InvalidArgument if neither a detector nor
  // its weights are named; Unavailable if a service doesn't answer or ended.
  static absl::StatusOr<std::unique_ptr<PictureServices>> Connect(
      const PictureServiceOptions& options);

  // What is in the picture. With a segmenter all objects have masks, unless the detector makes its
  // own; without one, those that the detector makes. Errors are the services' own.
  absl::StatusOr<prelabel::ImageObjects> Find(const backends::ImageRef& image,
                                              const prelabel::Settings& settings);

  const backends::DetectorModel& detector_model() const { return *detector_model_; }
  // Null: there is none.
  const backends::SegmenterModel* segmenter_model() const { return segmenter_model_.get(); }
  // For others who have to wait in the same thread.
  boost::asio::io_context& io() { return io_; }

 private:
  explicit PictureServices(bool wants_masks) : wants_masks_(wants_masks) {}
  // Starts those that aren't named, at once, and sets where they are.
  absl::Status StartMissing(const PictureServiceOptions& options, std::string* detector,
                            std::string* segmenter);
  absl::Status WaitForModels();

  const bool wants_masks_;
  // Each is used by those below it.
  std::unique_ptr<bulk::PrivateService> own_detector_;
  std::unique_ptr<bulk::PrivateService> own_segmenter_;
  boost::asio::io_context io_{1};
  std::unique_ptr<backends::DetectorClient> detector_;
  std::unique_ptr<backends::SegmenterClient> segmenter_;  // null: no masks are wanted of it
  std::shared_ptr<const backends::DetectorModel> detector_model_;
  std::shared_ptr<const backends::SegmenterModel> segmenter_model_;
};

}  // namespace cli

#endif  // DUET_CLI_PICTURE_SERVICES_H_
