#include "detector_service/inference/postprocess.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

namespace detector {
namespace {

struct Candidate {
  float score;
  int class_id;
  int cell;
};

bool BestFirst(const Candidate& a, const Candidate& b) { return a.score > b.score; }

float Sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

// A logit at or below it cannot have a sigmoid above `threshold`; a little low, since the sigmoid
// itself decides.
float LogitBelow(double threshold) {
  if (threshold <= 0) return -std::numeric_limits<float>::infinity();
  if (threshold >= 1) return std::numeric_limits<float>::infinity();
  return static_cast<float>(std::log(threshold / (1 - threshold)) - 1e-3);
}

// The level's candidates, best first, at most nms_pre.
std::vector<Candidate> SelectCandidates(const RawLevel& level, int num_classes,
                                        const PostprocessOptions& options) {
  std::vector<Candidate> candidates;
  const float threshold = static_cast<float>(options.score_threshold);
  const float logit_below = LogitBelow(options.score_threshold);
  const int cells = level.grid.width * level.grid.height;
  const float* logits = level.logits.data();
  for (int cell = 0; cell < cells; ++cell, logits += num_classes) {
    // Nearly every cell is empty; the maximum is one vectorised pass.
    float best = -std::numeric_limits<float>::infinity();
    for (int c = 0; c < num_classes; ++c) best = std::max(best, logits[c]);
    if (!(best > logit_below)) continue;
    for (int c = 0; c < num_classes; ++c) {
      if (!(logits[c] > logit_below)) continue;
      if (!options.wanted_classes.empty() && !options.wanted_classes[c]) continue;
      const float score = Sigmoid(logits[c]);
      if (score > threshold) candidates.push_back({score, c, cell});
    }
  }
  std::stable_sort(candidates.begin(), candidates.end(), BestFirst);
  if (candidates.size() > static_cast<std::size_t>(options.nms_pre)) {
    candidates.resize(options.nms_pre);
  }
  return candidates;
}

// The cell's box in the picture. It is clamped to the padded input, not to the picture in it:
// mmdet's Pad overwrites the shape that the clamp takes.
vision::Box DecodeBox(const RawLevel& level, int cell, int stride, vision::Size input_size,
                      const std::array<float, 2>& inverse_scale) {
  const float x = static_cast<float>(cell % level.grid.width * stride);
  const float y = static_cast<float>(cell / level.grid.width * stride);
  const float* d = &level.distances[static_cast<std::size_t>(cell) * 4];
  const auto clamp = [](float value, int most) {
    return std::min(std::max(value, 0.0F), static_cast<float>(most));
  };
  return {.x_min = clamp(x - d[0], input_size.width) * inverse_scale[0],
          .y_min = clamp(y - d[1], input_size.height) * inverse_scale[1],
          .x_max = clamp(x + d[2], input_size.width) * inverse_scale[0],
          .y_max = clamp(y + d[3], input_size.height) * inverse_scale[1]};
}

bool Overlap(const vision::Box& a, const vision::Box& b, float threshold) {
  const float width = std::max(0.0F, std::min(a.x_max, b.x_max) - std::max(a.x_min, b.x_min));
  const float height = std::max(0.0F, std::min(a.y_max, b.y_max) - std::max(a.y_min, b.y_min));
  const float both = width * height;
  return both / (a.width() * a.height() + b.width() * b.height() - both) > threshold;
}

// Indices of what is kept, best first, at most `most`. `detections` are sorted, best first.
//
// The reference shifts each class by label * (largest coordinate + 1) and runs one NMS over all.
// Boxes of different classes then never meet, so comparing within classes gives the same; the shift
// stays, because in float32 it changes the IoU's last digits.
std::vector<std::size_t> BatchedNms(const std::vector<Detection>& detections, double iou_threshold,
                                    std::size_t most) {
  float largest = -std::numeric_limits<float>::infinity();
  int classes = 0;
  for (const Detection& d : detections) {
    largest = std::max({largest, d.box.x_min, d.box.y_min, d.box.x_max, d.box.y_max});
    classes = std::max(classes, d.class_id + 1);
  }
  std::vector<std::vector<vision::Box>> kept_of_class(classes);
  std::vector<std::size_t> kept;
  const float threshold = static_cast<float>(iou_threshold);
  for (std::size_t i = 0; i < detections.size() && kept.size() < most; ++i) {
    const Detection& d = detections[i];
    const float shift = static_cast<float>(d.class_id) * (largest + 1);
    const vision::Box box = {d.box.x_min + shift, d.box.y_min + shift, d.box.x_max + shift,
                             d.box.y_max + shift};
    std::vector<vision::Box>& rivals = kept_of_class[d.class_id];
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
  // The reciprocal in double, rounded, then multiplied in float32, as the reference does.
  const std::array<float, 2> inverse_scale = {static_cast<float>(1 / placement.scale_x),
                                              static_cast<float>(1 / placement.scale_y)};
  std::vector<Detection> all;
  for (int i = 0; i < kLevels; ++i) {
    const RawLevel& level = output.levels[i];
    for (const Candidate& c : SelectCandidates(level, output.num_classes, options)) {
      const vision::Box box = DecodeBox(level, c.cell, kStrides[i], input_size, inverse_scale);
      // Also false for NaN.
      if (box.width() > options.min_bbox_size && box.height() > options.min_bbox_size) {
        all.push_back({box, c.score, c.class_id});
      }
    }
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Detection& a, const Detection& b) { return a.score > b.score; });

  std::vector<Detection> result;
  for (std::size_t i : BatchedNms(all, options.nms_iou_threshold, options.max_detections)) {
    Detection d = all[i];
    if (options.clip_to_image) {
      d.box.x_min = std::min(d.box.x_min, static_cast<float>(placement.image.width));
      d.box.y_min = std::min(d.box.y_min, static_cast<float>(placement.image.height));
      d.box.x_max = std::min(d.box.x_max, static_cast<float>(placement.image.width));
      d.box.y_max = std::min(d.box.y_max, static_cast<float>(placement.image.height));
      if (!(d.box.width() > 0 && d.box.height() > 0)) continue;
    }
    result.push_back(d);
  }
  return result;
}

}  // namespace detector
