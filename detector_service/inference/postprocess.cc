#include "detector_service/inference/postprocess.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace detector {
namespace {

struct Candidate {
  float score;
  int class_id;
  int level;
  int row;
};

float Sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

// A logit at or below it cannot have a sigmoid above `threshold`; a little low, since the sigmoid
// itself decides.
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
    for (int c = 0; c < output.num_classes; ++c) best = std::max(best, logits[c]);
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
        if (score > threshold) candidates->push_back({score, c, level, row});
      }
      if (!options.multi_label) break;
    }
  }
}

// Sorts candidates[from …], best first, and leaves at most `most` of them.
void KeepBest(std::size_t from, int most, std::vector<Candidate>* candidates) {
  std::stable_sort(candidates->begin() + static_cast<std::ptrdiff_t>(from), candidates->end(),
                   [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  if (candidates->size() - from > static_cast<std::size_t>(most)) candidates->resize(from + most);
}

vision::Box Clamp(const vision::Box& box, vision::Size size) {
  const auto clamp = [](float value, int most) {
    return std::min(std::max(value, 0.0F), static_cast<float>(most));
  };
  return {clamp(box.x_min, size.width), clamp(box.y_min, size.height), clamp(box.x_max, size.width),
          clamp(box.y_max, size.height)};
}

// From the input's pixels to the picture's.
vision::Box InPicture(vision::Box box, const Placement& placement, vision::Size input_size,
                      PostprocessRule rule) {
  if (rule == PostprocessRule::kMmdet) {
    // To the padded input, not to the picture in it: mmdet's Pad overwrites the shape that its
    // clamp takes. The reciprocal in double, rounded, then multiplied in float32.
    box = Clamp(box, input_size);
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

bool IsNumeric(const vision::Box& box) {
  return !std::isnan(box.width()) && !std::isnan(box.height());
}

bool Overlap(const vision::Box& a, const vision::Box& b, float threshold) {
  const float width = std::max(0.0F, std::min(a.x_max, b.x_max) - std::max(a.x_min, b.x_min));
  const float height = std::max(0.0F, std::min(a.y_max, b.y_max) - std::max(a.y_min, b.y_min));
  const float both = width * height;
  return both / (a.width() * a.height() + b.width() * b.height() - both) > threshold;
}

// mmcv compares only within classes from so many boxes on.
constexpr std::size_t kSplitNmsFrom = 10000;

// Indices of what is kept, best first, at most `most`. `detections` are sorted, best first.
//
// The reference shifts each class by label * (largest coordinate + 1) and runs one NMS over all.
// Boxes of different classes then do not meet, so comparing within classes gives the same; the
// shift stays, because in float32 it changes the IoU's last digits. Only boxes with negative
// coordinates may reach into the class before.
std::vector<std::size_t> BatchedNms(const std::vector<Detection>& detections, double iou_threshold,
                                    std::size_t most) {
  float largest = -std::numeric_limits<float>::infinity();
  float smallest = 0;
  int classes = 0;
  for (const Detection& d : detections) {
    largest = std::max({largest, d.box.x_min, d.box.y_min, d.box.x_max, d.box.y_max});
    smallest = std::min({smallest, d.box.x_min, d.box.y_min, d.box.x_max, d.box.y_max});
    classes = std::max(classes, d.class_id + 1);
  }
  const bool within_classes = smallest >= 0 || detections.size() >= kSplitNmsFrom;
  std::vector<std::vector<vision::Box>> kept_of_class(within_classes ? classes : 1);
  std::vector<std::size_t> kept;
  const float threshold = static_cast<float>(iou_threshold);
  for (std::size_t i = 0; i < detections.size() && kept.size() < most; ++i) {
    const Detection& d = detections[i];
    const float shift = static_cast<float>(d.class_id) * (largest + 1);
    const vision::Box box = {d.box.x_min + shift, d.box.y_min + shift, d.box.x_max + shift,
                             d.box.y_max + shift};
    std::vector<vision::Box>& rivals = kept_of_class[within_classes ? d.class_id : 0];
    const bool suppressed =
        std::any_of(rivals.begin(), rivals.end(),
                    [&](const vision::Box& better) { return Overlap(better, box, threshold); });
    if (suppressed) continue;
    rivals.push_back(box);
    kept.push_back(i);
  }
  return kept;
}

}  // namespace

std::vector<Detection> Postprocess(const RawOutput& output, const Placement& placement,
                                   vision::Size input_size, const PostprocessOptions& options) {
  std::vector<Candidate> candidates;
  for (int level = 0; level < kLevels; ++level) {
    const std::size_t before = candidates.size();
    SelectCandidates(output, level, options, &candidates);
    if (options.rule == PostprocessRule::kMmdet) KeepBest(before, options.nms_pre, &candidates);
  }
  if (options.rule == PostprocessRule::kMmyolo) KeepBest(0, options.nms_pre, &candidates);

  std::vector<Detection> all;
  for (const Candidate& c : candidates) {
    const RawLevel& raw = output.levels[c.level];
    const int cell = c.row / output.coding.per_cell();
    const vision::Box box =
        InPicture(DecodeBox(output.coding, raw.boxes[c.row], c.level, cell % raw.grid.width,
                            cell / raw.grid.width, c.row % output.coding.per_cell()),
                  placement, input_size, options.rule);
    const bool large = options.min_bbox_size < 0 || (box.width() > options.min_bbox_size &&
                                                     box.height() > options.min_bbox_size);
    if (large && IsNumeric(box)) all.push_back({box, c.score, c.class_id});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Detection& a, const Detection& b) { return a.score > b.score; });

  std::vector<Detection> result;
  for (std::size_t i : BatchedNms(all, options.nms_iou_threshold, options.max_detections)) {
    Detection d = all[i];
    if (options.clip_to_image || options.rule == PostprocessRule::kMmyolo) {
      d.box = Clamp(d.box, placement.image);
    }
    if (options.clip_to_image && !(d.box.width() > 0 && d.box.height() > 0)) continue;
    result.push_back(d);
  }
  return result;
}

}  // namespace detector
