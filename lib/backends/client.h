// The two model services as the gateway sees them: interfaces, so that callers can be tested
// without gRPC.
//
// All calls are coroutines on the caller's executor. Cancelling one cancels the call upstream; it
// then ends as Cancelled. Messages are those of the wire contract (proto/); errors are the
// services' own codes, with a sentence that names the service. `model()` and `health()` never wait:
// a background task keeps them fresh.
//
// A service may serve several models, each under a name: "default", and names of its own below the
// model root, such as "project-7". A name that no replica serves stands for the default model.
//
// The replicas of a service need not serve the same version of a name: one is rolled after another,
// and reloads. `model(name)` is the one to ask for. It stays the same while any replica serves it.
// A call names the model and the version that must answer; Aborted means that no replica has it any
// more, and that `model(name)` tells another one now or soon.
#ifndef DUET_BACKENDS_CLIENT_H_
#define DUET_BACKENDS_CLIENT_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "duet/detector/v1/detector.pb.h"
#include "duet/segmenter/v1/segmenter.pb.h"
#include "serving/priority.h"

namespace backends {

// The model that a service serves unless another one is asked for.
inline constexpr char kDefaultModel[] = "default";

struct CallOptions {
  std::chrono::system_clock::time_point deadline;
  // Sent along as x-request-id and traceparent; "" sends none.
  std::string request_id;
  std::string traceparent;
  // Of Label Studio's, sent along as x-task-id for the services' logs; 0 sends none.
  std::int64_t task_id = 0;
  // Decides the order in the services' queues.
  serving::Priority priority = serving::Priority::kInteractive;
  // The model that must answer, by the name that it is served under, `served_as`, and by its
  // version. "": whichever version serves.
  std::string model = kDefaultModel;
  std::string version = {};
  // Of Embed: the answer comes once the embedding is kept where it outlives the service
  // (EmbedRequest.keep).
  bool keep = false;

  // No person waits for this one call: a full queue is tried again until the deadline, instead of
  // failing at once.
  bool patient() const { return priority >= serving::Priority::kBatch; }
};

// An encoded image. `bytes` is shared with the image cache.
struct ImageRef {
  std::string id;  // SHA-256 of bytes, lower-case hex
  std::shared_ptr<const std::string> bytes;
};

struct DetectorModel {
  std::string name;     // "rtmdet-m"
  std::string version;  // changes whenever answers may
  std::vector<std::string> classes;
  bool has_masks = false;
  std::string served_as = kDefaultModel;
};

// Where a segmenter's embeddings outlive it.
struct EmbeddingStore {
  std::uint64_t budget_bytes = 0;  // 0: isn't known
  std::uint64_t kept_for_s = 0;    // 0: until the room is needed
  bool operator==(const EmbeddingStore&) const = default;
};

struct SegmenterModel {
  std::string name;  // "sam-vit-b"
  std::string version;
  int low_res_size = 256;  // side of mask_logits
  std::string served_as = kDefaultModel;
  // What embeddings are kept under, and what one takes there. "" and 0: a service of an older
  // release.
  std::string encoder = "";
  std::uint64_t embedding_bytes = 0;
  std::optional<EmbeddingStore> store = std::nullopt;  // nothing: they end with the service
};

// Whose annotations made a model, as far as its manifest says it.
struct ModelOwner {
  std::string label_studio_url;  // as the trainer reached it
  std::string project_created;   // RFC 3339, Label Studio's words
  bool operator==(const ModelOwner&) const = default;
};

// What a replica says of a name below the model root.
struct NameStatus {
  std::string name;                  // "project-7"
  std::string version;               // of what is loaded; "": nothing is
  std::uint64_t stored_version = 0;  // the folder that serving.json names; 0: the default serves
  std::uint64_t loaded_version = 0;  // the folder that is loaded; 0: nothing is
  bool loading = false;
  std::string error;  // why stored_version isn't loaded; "": it is, or will be when it is asked for
  ModelOwner owner = {};
};

// For GET / and readiness.
struct BackendHealth {
  int replicas = 0;        // known addresses
  bool reachable = false;  // one replica at least answered when they were asked last
  std::string error;       // which replica is away, and why; "": none
  // What those that aren't away serve by default: version → replicas.
  std::map<std::string, int> versions;
  // What each of them says of other names: address → names. None if there is no model root.
  std::map<std::string, std::vector<NameStatus>> names;
};

class DetectorClient {
 public:
  virtual ~DetectorClient() = default;

  // `request.image` is filled in from `image`.
  virtual boost::asio::awaitable<absl::StatusOr<duet::detector::v1::DetectResponse>> Detect(
      ImageRef image, duet::detector::v1::DetectRequest request, CallOptions options) = 0;
  // What serves under the name, as last heard: the name's own model, or the default one if no
  // replica serves the name. Null as long as that isn't known: nothing was heard yet, the version
  // that served it has just gone, or it isn't loaded; then it is loaded from now on. Any thread.
  virtual std::shared_ptr<const DetectorModel> model(const std::string& name) = 0;
  std::shared_ptr<const DetectorModel> model() { return model(kDefaultModel); }
  // The same for those who only look: nothing is loaded because of it. Any thread.
  virtual std::shared_ptr<const DetectorModel> known_model(const std::string& name) const = 0;
  // Whether a replica serves, or may until one has told its names, a model of its own. Any thread.
  virtual bool Has(const std::string& name) const = 0;
  // Of such a model. Any thread.
  virtual ModelOwner owner(const std::string& name) const = 0;
  // The names of which that model is known. Any thread.
  virtual std::vector<std::string> names() const = 0;
  virtual BackendHealth health() const = 0;
  // What names serve changes about now (serving.json was written): looks often for some seconds.
  // Any thread.
  virtual void LookSoon() = 0;
};

class SegmenterClient {
 public:
  virtual ~SegmenterClient() = default;

  // Encodes the image where later Segment calls for it will be sent.
  virtual boost::asio::awaitable<absl::StatusOr<duet::segmenter::v1::EmbedResponse>> Embed(
      ImageRef image, CallOptions options) = 0;
  // Sends the image's id, and its bytes only if the service has forgotten it. `request.source` is
  // filled in.
  virtual boost::asio::awaitable<absl::StatusOr<duet::segmenter::v1::SegmentResponse>> Segment(
      ImageRef image, duet::segmenter::v1::SegmentRequest request, CallOptions options) = 0;
  // The automatic mask generator: the masks of all that is in the image, in the service's order.
  // The image is sent as by Segment, but for crops always its bytes.
  virtual boost::asio::awaitable<absl::StatusOr<std::vector<duet::segmenter::v1::GeneratedMask>>>
  SegmentEverything(ImageRef image, duet::segmenter::v1::SegmentEverythingRequest request,
                    CallOptions options) = 0;
  // As DetectorClient's.
  virtual std::shared_ptr<const SegmenterModel> model(const std::string& name) = 0;
  std::shared_ptr<const SegmenterModel> model() { return model(kDefaultModel); }
  virtual std::shared_ptr<const SegmenterModel> known_model(const std::string& name) const = 0;
  virtual bool Has(const std::string& name) const = 0;
  virtual ModelOwner owner(const std::string& name) const = 0;
  virtual std::vector<std::string> names() const = 0;
  virtual BackendHealth health() const = 0;
  virtual void LookSoon() = 0;
};

}  // namespace backends

#endif  // DUET_BACKENDS_CLIENT_H_
