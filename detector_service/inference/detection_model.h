// A loaded detector: image in, detections out. Everything that the service needs of it, without
// gRPC.
#ifndef DUET_DETECTOR_SERVICE_INFERENCE_DETECTION_MODEL_H_
#define DUET_DETECTOR_SERVICE_INFERENCE_DETECTION_MODEL_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <opencv2/core/mat.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "detector_service/config/detector_settings.h"
#include "detector_service/inference/network.h"
#include "detector_service/inference/postprocess.h"

namespace detector {

struct Placement;  // preprocess.h

struct LoadOptions {
  std::string checkpoint;   // path
  std::string config_file;  // path; replaces the config in the checkpoint. May be empty.
  // Where a file that a client named must lie when it is opened, whatever is put in its place
  // meanwhile (serving/file_access.h); "": anywhere.
  std::string checkpoint_root;
  std::string config_root;
  std::string checkpoint_handle;  // as model_service::ModelFile's
  // Names of the classes: a file's lines, or a list with commas (ReadClassesFlag); "": as
  // ChooseClassNames finds them.
  std::string classes;
  std::string device = "cpu";
  std::string precision = "fp32";  // or "fp32-strict", "bf16"
  // The plain modules even on a CPU, to compare the packed form with.
  bool plain = false;

  // What holds where a request says nothing. Absent: the model config's.
  double score_threshold = 0.5;
  std::optional<int> max_detections;
  std::optional<double> nms_iou_threshold;
  std::optional<vision::Size> input_size;  // multiples of 32; see ReadSettings

  // What programs for other sizes than the usual one may take together, where images become inputs
  // of several sizes.
  std::size_t other_sizes_bytes = std::size_t{1} << 30;
};

// What a request may change; absent values are the model's.
struct DetectOptions {
  std::optional<double> score_threshold;
  std::optional<int> max_detections;
  std::optional<double> nms_iou_threshold;
  std::optional<bool> class_agnostic;
  bool clip_to_image = true;
  std::vector<int> class_ids;  // empty: all
  bool omit_masks = false;
};

class DetectionModel {
 public:
  // Reads, checks and builds, with the caller's nn::UseThreads. The message of a failure starts
  // with the path it is about.
  static absl::StatusOr<std::unique_ptr<DetectionModel>> Load(const LoadOptions& options);

  // `image`: CV_8UC3, BGR, upright. Thread-safe: each caller scales its own image, then all take
  // turns on the computing thread, with the caller's nn::UseThreads.
  absl::StatusOr<std::vector<Detection>> Detect(const cv::Mat& image, const DetectOptions& options);

  // For tests: what computes from now on. REQUIRES: no Detect is running.
  void ReplaceNetwork(std::unique_ptr<Network> network) { network_ = std::move(network); }

  // One pass over an empty image: allocates, compiles kernels, touches the weights.
  absl::Status WarmUp();

  // Constant after loading.
  const std::string& name() const { return name_; }
  // Changes whenever answers may change: "rtmdet-m-1a2b3c4d5e6f-fp32-7a8b9c0d", of the weights, the
  // arithmetic, and all settings with the config that they were read from.
  const std::string& version() const { return version_; }
  // "fp32" or "bf16": what is computed.
  const char* precision() const { return bf16_ ? "bf16" : "fp32"; }
  const std::vector<std::string>& classes() const { return classes_; }
  // What an operator should know of how the file was read, as sentences: what of its config isn't
  // followed, whose class names were taken.
  const std::vector<std::string>& notes() const { return notes_; }
  // What detections carry besides box, score and class.
  bool has_masks() const { return has_masks_; }
  bool has_rotated_boxes() const { return has_rotated_boxes_; }
  // The config's, with the overrides of LoadOptions.
  const DetectorSettings& settings() const { return settings_; }
  // The config's own score_thr, made for evaluation; settings() has what is served.
  double evaluation_score_threshold() const { return evaluation_score_threshold_; }
  const LoadOptions& options() const { return options_; }
  std::uint64_t parameter_count() const { return parameter_count_; }
  // Whether images become inputs of several sizes. Then the file stays mapped, and programs for
  // other sizes are kept, up to LoadOptions::other_sizes_bytes.
  bool has_several_sizes() const { return file_.has_value(); }

 private:
  DetectionModel() = default;
  static absl::StatusOr<std::unique_ptr<DetectionModel>> Build(const LoadOptions& options);
  // The config's settings, with what the options say instead. Returns where the usual image goes.
  absl::StatusOr<Placement> TakeSettings(const PythonConfig& config,
                                         const DetectorSettings& defaults);
  // REQUIRES: the name and the settings are there. `config`: whatever else decides about answers.
  void NameVersion(std::string_view content_hash, std::string_view config);
  absl::StatusOr<std::vector<Detection>> FitAndDetect(const cv::Mat& image,
                                                      const DetectOptions& options);

  LoadOptions options_;
  std::string name_;
  std::string version_;
  std::vector<std::string> classes_;
  std::vector<std::string> notes_;
  bool has_masks_ = false;
  bool has_rotated_boxes_ = false;
  DetectorSettings settings_;
  double evaluation_score_threshold_ = 0;
  vision::Size usual_image_;  // one of a size that the network can surely run
  std::uint64_t parameter_count_ = 0;
  bool bf16_ = false;

  // What the network's modules borrow, if it keeps them.
  std::optional<checkpoint::Checkpoint> file_;

  // For the computing thread only.
  std::unique_ptr<Network> network_;
  std::vector<float> input_;
  RawOutput output_;
};

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_INFERENCE_DETECTION_MODEL_H_
