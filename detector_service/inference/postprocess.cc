#include "detector_service/inference/postprocess.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>

#include "detector_service/inference/instance_mask.h"
#include "vision/box.h"
#include "vision/nms.h"

namespace detector {
namespace {

struct Candidate {
  float score;
  int class_id;
  int level;
  int row;
  vision::Box box;  // in the image
  vision::RotatedBox rotated;
};

bool BestFirst(const Candidate& a, const Candidate& b) { return a.score > b.score; }

float Sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

// No logit at or below this has a sigmoid above `threshold`. It is a little lower than needed: the
// sigmoid decides on the rest.
float LogitBelow(double threshold) {
  if (threshold <= 0) return -std::numeric_limits<float>::infinity();
  if (threshold >= 1) return std::numeric_limits<float>::infinity();
  return static_cast<float>(std::log(threshold / (1 - threshold)) - 1e-3);
}

// Appends the candidates of output.levels[level] in the order of row and class.
void SelectCandidates(const RawOutput& output, int level, const PostprocessOptions& options,
                      std::vector<Candidate>* candidates) {
  const RawLevel& raw = output.levels[level];
  const float threshold = static_cast<float>(options.score_threshold);
  const float logit_below = LogitBelow(options.score_threshold);
  const int rows = raw.grid.width * raw.grid.height * output.coding.per_cell();
  for (int row = 0; row < rows; ++row) {
    // Nearly every row is empty; the maximum is one vectorised pass.
    const float* logits = raw.logits[row];
    float best = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : best)
    for (int c = 0; c < output.num_classes; ++c) best = logits[c] > best ? logits[c] : best;
    if (!(best > logit_below)) continue;
    float objectness = 1;
    if (raw.objectness.data != nullptr) {
      objectness = Sigmoid(*raw.objectness[row]);
      if (!(objectness > threshold)) continue;
    }
    for (int c = 0; c < output.num_classes; ++c) {
      if (!(logits[c] > logit_below)) continue;
      if (!options.multi_label && logits[c] < best) continue;
      if (options.wanted_classes.empty() || options.wanted_classes[c]) {
        const float score = Sigmoid(logits[c]) * objectness;
        if (score > threshold) candidates->push_back({score, c, level, row, {}, {}});
      }
      if (!options.multi_label) break;
    }
  }
}

// Sorts candidates[from …], best first, and leaves at most `most` of them; if it is negative, all
// but the last -most.
void KeepBest(std::size_t from, int most, std::vector<Candidate>* candidates) {
  std::stable_sort(candidates->begin() + static_cast<std::ptrdiff_t>(from), candidates->end(),
                   BestFirst);
  const auto count = static_cast<std::ptrdiff_t>(candidates->size() - from);
  const std::ptrdiff_t kept =
      most < 0 ? std::max<std::ptrdiff_t>(count + most, 0) : std::min<std::ptrdiff_t>(count, most);
  candidates->resize(from + static_cast<std::size_t>(kept));
}

// From the input's pixels to the image's.
vision::Box InImage(vision::Box box, const Placement& placement, PostprocessRule rule) {
  if (rule == PostprocessRule::kMmdet) {
    // To the padded image, not to the image in it: mmdet's Pad overwrites the shape that its clamp
    // takes; its data preprocessor, which may pad more, does not. The reciprocal in double,
    // rounded, then multiplied in float32.
    box = vision::Clip(box, placement.padded);
    const auto x = static_cast<float>(1 / placement.scale_x);
    const auto y = static_cast<float>(1 / placement.scale_y);
    return {box.x_min * x, box.y_min * y, box.x_max * x, box.y_max * y};
  }
  const auto left = static_cast<float>(placement.left);
  const auto top = static_cast<float>(placement.top);
  const auto x = static_cast<float>(placement.scale_x);
  const auto y = static_cast<float>(placement.scale_y);
  return {(box.x_min - left) / x, (box.y_min - top) / y, (box.x_max - left) / x,
          (box.y_max - top) / y};
}

// `box` turned about `pivot`; the angle is brought into [-π/2, π/2).
vision::RotatedBox Turn(const vision::Box& box, vision::Point pivot, float angle) {
  constexpr float kPi = std::numbers::pi_v<float>;
  const float cos = std::cos(angle), sin = std::sin(angle);
  const float dx = (box.x_min + box.x_max) / 2 - pivot.x;
  const float dy = (box.y_min + box.y_max) / 2 - pivot.y;
  const float turns = std::floor((angle + kPi / 2) / kPi);
  return {.center = {pivot.x + cos * dx - sin * dy, pivot.y + sin * dx + cos * dy},
          .width = box.width(),
          .height = box.height(),
          .angle = angle - turns * kPi};
}

// Where the two scales differ the sides would not stay at right angles; as upstream, each is scaled
// along its own direction and the first gives the angle.
vision::RotatedBox InImage(const vision::RotatedBox& box, const Placement& placement) {
  const float cos = std::cos(box.angle), sin = std::sin(box.angle);
  const auto x = static_cast<float>(1 / placement.scale_x);
  const auto y = static_cast<float>(1 / placement.scale_y);
  return {.center = {(box.center.x - static_cast<float>(placement.left)) * x,
                     (box.center.y - static_cast<float>(placement.top)) * y},
          .width = box.width * std::hypot(x * cos, y * sin),
          .height = box.height * std::hypot(x * sin, y * cos),
          .angle = std::atan2(x * sin, y * cos)};
}

bool IsNumeric(const vision::Box& box) {
  return !std::isnan(box.width()) && !std::isnan(box.height());
}

vision::Box Shifted(const vision::Box& box, float by) {
  return {box.x_min + by, box.y_min + by, box.x_max + by, box.y_max + by};
}

vision::RotatedBox Shifted(vision::RotatedBox box, float by) {
  box.center = {box.center.x + by, box.center.y + by};
  return box;
}

// The candidates that no better one suppresses, best first, at most `most`. `candidates` are
// sorted, best first.
//
// The reference shifts each class by label * spread and runs one NMS over all. Boxes of different
// classes then do not meet, so comparing within classes gives the same; the shift stays, because in
// float32 it changes the IoU's last digits. Only boxes with negative coordinates may reach into the
// class before. With class_agnostic there is no shift and all are compared, unless they are so many
// that the reference takes each class by itself.
template <typename Shape, typename Suppresses>
std::vector<Candidate> Nms(const std::vector<Candidate>& candidates, Shape Candidate::*shape,
                           float spread, bool within_classes, std::size_t most,
                           const Suppresses& suppresses) {
  std::vector<Shape> shapes;
  std::vector<int> classes;
  for (const Candidate& c : candidates) {
    shapes.push_back(Shifted(c.*shape, static_cast<float>(c.class_id) * spread));
    if (within_classes) classes.push_back(c.class_id);
  }
  std::vector<Candidate> kept;
  for (const std::size_t index : vision::SuppressSorted(shapes, classes, most, suppresses)) {
    kept.push_back(candidates[index]);
  }
  return kept;
}

bool IsSplit(const std::vector<Candidate>& candidates, const PostprocessOptions& options) {
  return candidates.size() >= static_cast<std::size_t>(options.nms_split_threshold);
}

std::vector<Candidate> BatchedNms(const std::vector<Candidate>& candidates,
                                  const PostprocessOptions& options) {
  float largest = -std::numeric_limits<float>::infinity();
  float smallest = 0;
  for (const Candidate& c : candidates) {
    largest = std::max({largest, c.box.x_min, c.box.y_min, c.box.x_max, c.box.y_max});
    smallest = std::min({smallest, c.box.x_min, c.box.y_min, c.box.x_max, c.box.y_max});
  }
  const auto threshold = static_cast<float>(options.nms_iou_threshold);
  const bool all = options.class_agnostic;
  return Nms(candidates, &Candidate::box, all ? 0 : largest + 1,
             IsSplit(candidates, options) || (!all && smallest >= 0), options.max_detections,
             [&](const vision::Box& better, const vision::Box& box) {
               return vision::BoxIou(better, box) > threshold;
             });
}

// Here the reference drops what overlaps by the very threshold too.
std::vector<Candidate> BatchedRotatedNms(const std::vector<Candidate>& candidates,
                                         const PostprocessOptions& options) {
  float furthest = -std::numeric_limits<float>::infinity();
  float longest = furthest;
  for (const Candidate& c : candidates) {
    furthest = std::max({furthest, c.rotated.center.x, c.rotated.center.y});
    longest = std::max({longest, c.rotated.width, c.rotated.height});
  }
  return Nms(candidates, &Candidate::rotated, options.class_agnostic ? 0 : furthest + longest + 1,
             IsSplit(candidates, options), options.max_detections,
             [&](const vision::RotatedBox& better, const vision::RotatedBox& box) {
               return vision::RotatedIou(better, box) >= options.nms_iou_threshold;
             });
}

// Sets the masks of detections[i], which came from kept[i].
void DrawMasks(const RawOutput& output, const Placement& placement, double threshold,
               const std::vector<Candidate>& kept, std::vector<Detection>* detections) {
  const InstanceMasks masks(output.mask_features.data, output.levels[0].grid, placement, threshold);
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const Candidate& c = kept[i];
    const RawLevel& level = output.levels[c.level];
    (*detections)[i].mask = masks.Draw(level.kernels[c.row], c.level, c.row % level.grid.width,
                                       c.row / level.grid.width);
  }
}

}  // namespace

std::vector<Detection> Postprocess(const RawOutput& output, const Placement& placement,
                                   const PostprocessOptions& options) {
  std::vector<Candidate> candidates;
  for (int level = 0; level < kLevels; ++level) {
    const std::size_t before = candidates.size();
    SelectCandidates(output, level, options, &candidates);
    if (options.rule == PostprocessRule::kMmdet) KeepBest(before, options.nms_pre, &candidates);
  }
  if (options.rule == PostprocessRule::kMmyolo) KeepBest(0, options.nms_pre, &candidates);

  const bool rotated = output.levels[0].angles.data != nullptr;
  std::vector<Candidate> all;
  for (Candidate& c : candidates) {
    const RawLevel& raw = output.levels[c.level];
    const int cell = c.row / output.coding.per_cell();
    const int x = cell % raw.grid.width, y = cell / raw.grid.width;
    const vision::Box box =
        DecodeBox(output.coding, raw.boxes[c.row], c.level, x, y, c.row % output.coding.per_cell());
    vision::Box upright;  // of the box's size, wherever it is
    if (rotated) {
      const auto stride = static_cast<float>(kStrides[c.level]);
      const vision::Point point = {(static_cast<float>(x) + output.coding.point) * stride,
                                   (static_cast<float>(y) + output.coding.point) * stride};
      c.rotated = InImage(Turn(box, point, *raw.angles[c.row]), placement);
      upright = {0, 0, c.rotated.width, c.rotated.height};
    } else {
      c.box = InImage(box, placement, options.rule);
      upright = c.box;
    }
    const bool large = options.min_bbox_size < 0 || (upright.width() > options.min_bbox_size &&
                                                     upright.height() > options.min_bbox_size);
    if (large && IsNumeric(upright)) all.push_back(c);
  }
  std::stable_sort(all.begin(), all.end(), BestFirst);
  const auto nms = rotated ? BatchedRotatedNms : BatchedNms;
  std::vector<Candidate> kept = nms(all, options);

  for (Candidate& c : kept) {
    if (rotated) c.box = vision::BoundingBox(c.rotated);
    if (options.clip_to_image || (options.rule == PostprocessRule::kMmyolo && !rotated)) {
      c.box = vision::Clip(c.box, placement.image);
    }
  }
  if (options.clip_to_image) {
    std::erase_if(kept,
                  [](const Candidate& c) { return !(c.box.width() > 0 && c.box.height() > 0); });
  }
  std::vector<Detection> result;
  for (const Candidate& c : kept) {
    result.push_back({.box = c.box, .score = c.score, .class_id = c.class_id});
    if (rotated) result.back().rotated_box = c.rotated;
  }
  if (options.draw_masks && output.mask_features.data != nullptr) {
    DrawMasks(output, placement, options.mask_threshold, kept, &result);
  }
  return result;
}

}  // namespace detector
