#include "trainer/evaluate/held_out_scores.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <opencv2/imgproc.hpp>

#include "checkpoint/checkpoint.h"
#include "dataset/sample.h"
#include "segmenter_service/inference/sam_network.h"
#include "trainer/evaluate/served_detections.h"
#include "trainer/samples/scene_source.h"
#include "vision/mask.h"

namespace trainer {
namespace {

// What is on the scenes, as a data set.
dataset::Dataset TruthOf(const std::vector<Scene>& scenes) {
  dataset::Dataset truth{.classes = ShapeNames(), .samples = {}};
  for (const Scene& scene : scenes) {
    dataset::Sample& sample = truth.samples.emplace_back();
    sample.size = {scene.image.cols, scene.image.rows};
    for (const SceneObject& object : scene.objects) {
      dataset::Object& drawn = sample.objects.emplace_back();
      drawn.class_index = static_cast<int>(object.shape);
      drawn.box = object.box;
      drawn.mask = vision::MaskFromPixels(object.mask);
      drawn.area = static_cast<double>(vision::Area(*drawn.mask));
    }
  }
  return truth;
}

double MaskIou(const cv::Mat& a, const cv::Mat& b) {
  const int both = cv::countNonZero(a & b);
  const int either = cv::countNonZero(a | b);
  return either == 0 ? 1 : static_cast<double>(both) / either;
}

// The pixel farthest from the region's edge.
vision::Point InnermostPixel(const cv::Mat& region) {
  cv::Mat framed;
  cv::copyMakeBorder(region, framed, 1, 1, 1, 1, cv::BORDER_CONSTANT, cv::Scalar(0));
  cv::Mat distance;
  cv::distanceTransform(framed, distance, cv::DIST_L2, cv::DIST_MASK_PRECISE);
  cv::Point best;
  cv::minMaxLoc(distance, nullptr, nullptr, nullptr, &best);
  return {static_cast<float>(best.x - 1), static_cast<float>(best.y - 1)};
}

// One image, encoded, to be prompted.
class Session {
 public:
  static absl::StatusOr<Session> Open(segmenter::SamNetwork& network, const cv::Mat& image) {
    const int side = network.spec().image_size;
    const segmenter::InputGeometry geometry =
        segmenter::FitInput({image.cols, image.rows}, side, network.spec().framing);
    std::vector<float> input(3 * static_cast<std::size_t>(side) * side);
    segmenter::NormalizeAndPad(segmenter::ResizeToInput(image, geometry), geometry, input.data());
    auto embedding = network.EncodeImage(input, [] { return absl::OkStatus(); });
    if (!embedding.ok()) return embedding.status();
    return Session(network, geometry, *std::move(embedding));
  }

  // The prompt is in the image's pixels.
  absl::StatusOr<segmenter::LowResMasks> Ask(const segmenter::Prompt& prompt,
                                             bool multimask_output) {
    return network_->DecodeMasks(embedding_, {segmenter::ToInput(prompt, geometry_)},
                                 multimask_output);
  }

  // CV_8UC1 of the image's size.
  cv::Mat Render(const segmenter::LowResMasks& masks, int mask) const {
    return vision::ToPixels(renderer_.Render(masks.Logits(0, mask)).mask);
  }

 private:
  Session(segmenter::SamNetwork& network, const segmenter::InputGeometry& geometry,
          segmenter::Embedding embedding)
      : network_(&network),
        geometry_(geometry),
        embedding_(std::move(embedding)),
        renderer_(segmenter::MakeMaskRenderer(geometry, network.spec().low_res_size)) {}

  segmenter::SamNetwork* network_;
  segmenter::InputGeometry geometry_;
  segmenter::Embedding embedding_;
  vision::MaskRenderer renderer_;
};

absl::Status AddObject(Session& session, const SceneObject& object, SegmenterScore& score) {
  const auto by_box = session.Ask({.box = object.box}, /*multimask_output=*/false);
  if (!by_box.ok()) return by_box.status();
  score.box += MaskIou(session.Render(*by_box, 0), object.mask);

  segmenter::Prompt prompt{.points = {{.at = InnermostPixel(object.mask), .label = 1}}};
  const auto by_click = session.Ask(prompt, /*multimask_output=*/true);
  if (!by_click.ok()) return by_click.status();
  const int best =
      static_cast<int>(std::max_element(by_click->iou_scores.begin(), by_click->iou_scores.end()) -
                       by_click->iou_scores.begin());
  const cv::Mat answer = session.Render(*by_click, best);
  score.click += MaskIou(answer, object.mask);

  cv::Mat wrong = answer ^ object.mask;
  if (cv::countNonZero(wrong) == 0) wrong = object.mask;
  const vision::Point at = InnermostPixel(wrong);
  const bool foreground =
      object.mask.at<uchar>(static_cast<int>(at.y), static_cast<int>(at.x)) != 0;
  prompt.points.push_back({.at = at, .label = foreground ? 1 : 0});
  const auto logits = by_click->Logits(0, best);
  prompt.mask_logits.assign(logits.begin(), logits.end());
  const auto corrected = session.Ask(prompt, /*multimask_output=*/false);
  if (!corrected.ok()) return corrected.status();
  score.second_click += MaskIou(session.Render(*corrected, 0), object.mask);
  ++score.objects;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DetectorScore> ScoreDetector(const std::string& checkpoint,
                                            const std::vector<Scene>& scenes,
                                            const std::string& precision) {
  constexpr double kDefaultThreshold = 0.5;
  const dataset::Dataset truth = TruthOf(scenes);
  const absl::StatusOr<DetectionsByImage> detections =
      DetectAsServed({checkpoint, precision},
                     SceneSource(scenes.size(), [&](std::uint64_t n) { return scenes[n]; }));
  if (!detections.ok()) return detections.status();
  return DetectorScore{
      .boxes = EvaluateCoco(truth, *detections, IouType::kBoxes),
      .mistakes = CountMistakes(truth, *detections, IouType::kBoxes, kDefaultThreshold)};
}

absl::StatusOr<SegmenterScore> ScoreSegmenter(const std::string& checkpoint,
                                              const std::vector<Scene>& scenes) {
  const auto file = checkpoint::ReadCheckpoint(checkpoint);
  if (!file.ok()) return file.status();
  const auto network = segmenter::LoadNetwork(file->state_dict, {});
  if (!network.ok()) return network.status();
  SegmenterScore score;
  for (const Scene& scene : scenes) {
    auto session = Session::Open(**network, scene.image);
    if (!session.ok()) return session.status();
    for (const SceneObject& object : scene.objects) {
      if (absl::Status status = AddObject(*session, object, score); !status.ok()) return status;
    }
  }
  const double count = std::max(score.objects, 1);
  score.box /= count;
  score.click /= count;
  score.second_click /= count;
  return score;
}

}  // namespace trainer
