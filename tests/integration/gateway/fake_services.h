// A detector and a segmenter over real gRPC on a free port, whose answers a test decides.
//
// What they were sent is kept. All members are safe to use while the server runs.
#ifndef DUET_TESTS_INTEGRATION_GATEWAY_FAKE_SERVICES_H_
#define DUET_TESTS_INTEGRATION_GATEWAY_FAKE_SERVICES_H_

#include <grpcpp/server.h>
#include <grpcpp/server_context.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "duet/detector/v1/detector.grpc.pb.h"
#include "duet/segmenter/v1/segmenter.grpc.pb.h"

namespace gateway::testing {

// What a service was asked, in order: the method's name, and for Segment whether the image came
// along.
struct SeenCall {
  std::string method;
  bool with_image = false;
  std::string request_id;
  std::string traceparent;
};

// Answers one call; sees the context for cancellation.
template <typename Request, typename Response>
using Answer = std::function<grpc::Status(grpc::ServerContext&, const Request&, Response*)>;

class FakeServices {
 public:
  // Port 0: any free one.
  explicit FakeServices(int port = 0);
  ~FakeServices();

  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  std::vector<SeenCall> seen() const;
  // Calls of one method.
  int count(std::string_view method) const;

  // Replace before the first call. Defaults: Detect finds one "cat" at (10, 20)-(110, 120) with
  // score 0.9 in an image of 320 × 240. Embed remembers the image; Segment gives one mask a
  // prompt, the box itself or a 10 × 10 square around the first point, with IoU 0.8, and NOT_FOUND
  // for an image that wasn't embedded.
  Answer<duet::detector::v1::DetectRequest, duet::detector::v1::DetectResponse> on_detect;
  Answer<duet::segmenter::v1::EmbedRequest, duet::segmenter::v1::EmbedResponse> on_embed;
  Answer<duet::segmenter::v1::SegmentRequest, duet::segmenter::v1::SegmentResponse> on_segment;
  // Adds to the stream, which has a message of progress, and says how it ends.
  Answer<duet::segmenter::v1::SegmentEverythingRequest,
         std::vector<duet::segmenter::v1::SegmentEverythingResponse>>
      on_everything;
  // Both say which model made an answer that doesn't say so itself, and refuse a call for another
  // one before any of the above.
  void Serve(std::string detector_version, std::string segmenter_version);
  // A model below the model root: serving.json names the folder `stored`, whose content gives
  // `version`; 0: the default model serves the name. One that isn't `loaded` is by the first call
  // that asks for it. As real services, which tell all of it by ListModels.
  struct Named {
    std::uint64_t stored = 0;
    std::string version;
    bool loaded = true;
    std::string error = "";  // why `stored` can't be loaded; what was loaded before serves on
    // Whose annotations made it; "": its manifest doesn't say.
    std::string label_studio_url = "";
    std::string project_created = "";
  };
  void ServeDetector(const std::string& name, Named model);
  void ServeSegmenter(const std::string& name, Named model);
  // The folder is gone.
  void Delete(const std::string& name);
  bool IsLoaded(const std::string& name) const;  // by the detector
  // By version, the class of what Detect finds by default, instead of "cat". Before the first call.
  std::map<std::string, std::string> class_found_by;
  // Refuse calls of the detector's GetModel for a name's model, and of its ListModels, with what
  // they return unless it is OK. Before the first call.
  std::function<grpc::Status(const std::string& name, const std::string& version)> refuse_get_model;
  std::function<grpc::Status()> refuse_list_models;
  // False: as before there was a ModelSpec, in requests and answers.
  bool knows_model_spec = true;
  // False: as before there was a ListModels.
  bool knows_names = true;
  // Detect is refused while `full`, as by a full queue, and finds nothing otherwise. Before the
  // first call.
  void RefuseDetectWhile(const std::atomic<bool>& full);
  // While it is above 0, an Embed lowers it and is refused, as a full queue does.
  std::atomic<int>* embeds_to_refuse = nullptr;
  // What the segmenter's GetModel says. Before the first call.
  std::uint64_t embedding_bytes = 2'000'000;
  std::optional<std::uint64_t>
      store_bytes;  // of the store that outlives it; nothing: there is none
  // The same; any time.
  void Encode(std::string encoder);
  std::vector<std::string> classes = {"cat", "dog"};
  bool has_masks = false;  // what the detector's GetModel says

 private:
  class Detector;
  class Segmenter;
  using Names = std::map<std::string, Named>;
  // Which version answers, of a service that serves `fallback` by default and `names` besides. An
  // error if the one that is asked for isn't there.
  template <typename Request>
  grpc::Status Choose(const Request& request, const std::string& fallback, Names& names,
                      std::string* version);
  template <typename Request>
  grpc::Status ChooseDetector(const Request& request, std::string* version) {
    return Choose(request, detector_version_, detectors_, version);
  }
  template <typename Request>
  grpc::Status ChooseSegmenter(const Request& request, std::string* version) {
    return Choose(request, segmenter_version_, segmenters_, version);
  }
  template <typename Request, typename Response>
  grpc::Status Sign(const grpc::Status& status, const std::string& version, const Request& request,
                    Response* response) const;
  grpc::Status ListDetector(duet::vision::v1::ListModelsResponse* response) const {
    return List(detector_version_, detectors_, response);
  }
  grpc::Status ListSegmenter(duet::vision::v1::ListModelsResponse* response) const {
    return List(segmenter_version_, segmenters_, response);
  }
  grpc::Status List(const std::string& fallback, const Names& names,
                    duet::vision::v1::ListModelsResponse* response) const;
  void Note(const grpc::ServerContext& context, std::string method, bool with_image = false);

  mutable std::mutex mutex_;
  std::vector<SeenCall> seen_;            // guarded by mutex_
  std::set<std::string> embedded_;        // image ids; guarded by mutex_
  std::string detector_version_ = "d1";   // guarded by mutex_
  std::string segmenter_version_ = "s1";  // guarded by mutex_
  std::string encoder_ = "e1";            // guarded by mutex_
  Names detectors_;                       // guarded by mutex_
  Names segmenters_;                      // guarded by mutex_
  std::unique_ptr<Detector> detector_;
  std::unique_ptr<Segmenter> segmenter_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

// SHA-256 of `bytes`, lower-case hex.
std::string ImageId(const std::string& bytes);

}  // namespace gateway::testing

#endif  // DUET_TESTS_INTEGRATION_GATEWAY_FAKE_SERVICES_H_
