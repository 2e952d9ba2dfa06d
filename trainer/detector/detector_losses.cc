#include "trainer/detector/detector_losses.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "trainer/detector/assigner.h"
#include "trainer/losses/detection_losses.h"
#include "trainer/losses/dynamic_masks.h"

namespace trainer {
namespace {

constexpr int kMaskStride = 4;  // mask_loss_stride: masks are compared at every fourth pixel

// [B, C, H, W] of each level to [B, all cells, C], cells row-major, levels from fine to coarse.
at::Tensor Flatten(const detector::Features& maps) {
  std::vector<at::Tensor> rows;
  for (const at::Tensor& map : maps) rows.push_back(map.flatten(2).transpose(1, 2));
  return at::cat(rows, 1);
}

// mmdet's MlvlPointGenerator with offset 0: the top-left corner of each cell.
std::vector<Prior> PriorsOf(const detector::Features& maps) {
  std::vector<Prior> priors;
  for (int level = 0; level < detector::kLevels; ++level) {
    const auto stride = static_cast<float>(detector::kStrides[level]);
    for (std::int64_t y = 0; y < maps[level].size(2); ++y) {
      for (std::int64_t x = 0; x < maps[level].size(3); ++x) {
        priors.push_back({static_cast<float>(x) * stride, static_cast<float>(y) * stride, stride});
      }
    }
  }
  return priors;
}

// mmdet's center_of_mass; (0, 0) of an empty mask.
vision::Point CentreOfMass(const vision::Mask& mask) {
  double pixels = 0;
  double sum_x = 0;
  double sum_y = 0;
  for (const vision::Span& span : mask.spans) {
    const double length = span.x_end - span.x_begin;
    pixels += length;
    sum_x += length * (span.x_begin + span.x_end - 1) / 2;
    sum_y += length * span.y;
  }
  const double area = std::max(pixels, 1e-7);
  return {static_cast<float>(sum_x / area), static_cast<float>(sum_y / area)};
}

// What the head says of every prior, in input pixels.
struct Predictions {
  std::vector<Prior> priors;
  at::Tensor logits;  // [B, priors, C]
  at::Tensor boxes;   // [B, priors, 4]
};

Predictions Decode(const detector::HeadOutput& output) {
  Predictions decoded{.priors = PriorsOf(output.cls_logits), .logits = Flatten(output.cls_logits)};
  const at::Tensor distances = Flatten(output.distances);
  std::vector<float> corners;
  for (const Prior& prior : decoded.priors) corners.insert(corners.end(), {prior.x, prior.y});
  const at::Tensor points = at::tensor(at::ArrayRef<float>(corners)).view({1, -1, 2});
  decoded.boxes =
      at::cat({points - distances.slice(2, 0, 2), points + distances.slice(2, 2, 4)}, 2);
  return decoded;
}

using Objects = std::vector<std::vector<TrainingObject>>;

std::vector<std::vector<Assignment>> Assign(const Predictions& predictions, const Objects& objects,
                                            bool masks, const AssignerOptions& options) {
  const std::size_t cells = predictions.priors.size();
  const std::int64_t classes = predictions.logits.size(2);
  const at::Tensor all_boxes = predictions.boxes.detach().contiguous();
  const at::Tensor all_logits = predictions.logits.detach().contiguous();
  std::vector<std::vector<Assignment>> assigned(objects.size());
  const auto assign = [&](std::size_t image) {
    std::vector<LabelledBox> labelled;
    std::vector<int> places;
    for (std::size_t o = 0; o < objects[image].size(); ++o) {
      const TrainingObject& object = objects[image][o];
      if (object.ignored) continue;
      labelled.push_back({object.box, object.class_index});
      if (masks) labelled.back().centre = CentreOfMass(*object.mask);
      places.push_back(static_cast<int>(o));
    }
    const float* edges = all_boxes.data_ptr<float>() + 4 * image * cells;
    std::vector<vision::Box> boxes;
    for (std::size_t cell = 0; cell < cells; ++cell, edges += 4)
      boxes.push_back({edges[0], edges[1], edges[2], edges[3]});
    const float* image_logits =
        all_logits.data_ptr<float>() + image * cells * static_cast<std::size_t>(classes);
    assigned[image] = AssignDynamicSoftLabels(
        predictions.priors, boxes, {image_logits, cells * static_cast<std::size_t>(classes)},
        static_cast<int>(classes), labelled, options);
    for (Assignment& assignment : assigned[image]) {
      if (assignment.object >= 0) assignment.object = places[assignment.object];
    }
  };
  at::parallel_for(0, static_cast<std::int64_t>(objects.size()), /*grain_size=*/1,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t image = begin; image < end; ++image)
                       assign(static_cast<std::size_t>(image));
                   });
  return assigned;
}

// An assigned prior of an image.
struct Positive {
  std::int64_t cell;
  const TrainingObject* object;
};

// What the assigner says, as tensors.
struct Targets {
  at::Tensor soft_labels;                       // [B * cells, C]
  at::Tensor positive;                          // [N] indices of rows
  at::Tensor boxes;                             // [N, 4]
  at::Tensor weights;                           // [N]: the assigned IoU
  std::vector<std::vector<Positive>> by_image;  // the same N
};

Targets TargetsOf(const std::vector<std::vector<Assignment>>& assigned, const Objects& objects,
                  const at::Tensor& logits) {
  const auto cells = static_cast<std::size_t>(logits.size(1));
  const auto classes = static_cast<std::size_t>(logits.size(2));
  Targets targets;
  targets.soft_labels = at::zeros({logits.size(0) * logits.size(1), logits.size(2)});
  std::vector<std::int64_t> rows;
  std::vector<float> matched;
  std::vector<float> weights;
  for (std::size_t image = 0; image < assigned.size(); ++image) {
    std::vector<Positive>& positives = targets.by_image.emplace_back();
    for (std::size_t cell = 0; cell < cells; ++cell) {
      const Assignment& assignment = assigned[image][cell];
      if (assignment.object < 0) continue;
      const TrainingObject& object = objects[image][assignment.object];
      const std::size_t row = image * cells + cell;
      rows.push_back(static_cast<std::int64_t>(row));
      positives.push_back({static_cast<std::int64_t>(cell), &object});
      matched.insert(matched.end(),
                     {object.box.x_min, object.box.y_min, object.box.x_max, object.box.y_max});
      weights.push_back(assignment.iou);
      targets.soft_labels.data_ptr<float>()[row * classes + object.class_index] = assignment.iou;
    }
  }
  targets.positive = at::tensor(at::ArrayRef<std::int64_t>(rows), at::kLong);
  targets.boxes = at::tensor(at::ArrayRef<float>(matched)).view({-1, 4});
  targets.weights = at::tensor(at::ArrayRef<float>(weights));
  return targets;
}

// The object at pixels (2, 2), (6, 2), …: [H / 4, W / 4], 0 or 1.
at::Tensor MaskTarget(const vision::Mask& mask) {
  constexpr int kFirst = kMaskStride / 2;
  const int rows = mask.size.height / kMaskStride;
  const int columns = mask.size.width / kMaskStride;
  at::Tensor sampled = at::zeros({1, rows, columns});
  auto* const cells = sampled.data_ptr<float>();
  // How many sampled columns are left of x.
  const auto before = [&](int x) {
    return std::min((x - kFirst + kMaskStride - 1) / kMaskStride, columns);
  };
  for (const vision::Span& span : mask.spans) {
    if (span.y % kMaskStride != kFirst || span.y / kMaskStride >= rows) continue;
    float* const row = cells + static_cast<std::ptrdiff_t>(span.y / kMaskStride) * columns;
    std::fill(row + before(span.x_begin), row + before(span.x_end), 1.0F);
  }
  return sampled;
}

// Mean over the assigned priors of all images of the dice loss between the mask that the prior
// draws and its object's.
at::Tensor MaskLoss(const detector::HeadOutput& output, const std::vector<Prior>& priors,
                    const Targets& targets) {
  const at::Tensor kernels = Flatten(output.kernels);
  std::vector<at::Tensor> drawn;
  std::vector<at::Tensor> wanted;
  for (std::size_t image = 0; image < targets.by_image.size(); ++image) {
    if (targets.by_image[image].empty()) continue;
    std::vector<std::int64_t> cells;
    std::vector<float> points;
    for (const Positive& positive : targets.by_image[image]) {
      const Prior& prior = priors[static_cast<std::size_t>(positive.cell)];
      cells.push_back(positive.cell);
      points.insert(points.end(), {prior.x, prior.y, prior.stride});
      wanted.push_back(MaskTarget(*positive.object->mask));
    }
    const auto index = static_cast<std::int64_t>(image);
    drawn.push_back(DrawMasks(
        output.mask_features[index],
        kernels[index].index_select(0, at::tensor(at::ArrayRef<std::int64_t>(cells), at::kLong)),
        at::tensor(at::ArrayRef<float>(points)).view({-1, 3})));
  }
  if (drawn.empty()) return output.mask_features.sum() * 0;
  const at::Tensor logits = at::cat(drawn, 0).unsqueeze(0);
  const at::Tensor larger =
      at::upsample_bilinear2d(logits, {logits.size(2) * 2, logits.size(3) * 2},
                              /*align_corners=*/false)
          .squeeze(0);
  return SquaredDiceLoss(larger, at::cat(wanted, 0)).mean();
}

}  // namespace

std::vector<std::vector<Assignment>> AssignObjects(const detector::HeadOutput& output,
                                                   const Objects& objects) {
  return Assign(Decode(output), objects, output.mask_features.defined(), {});
}

DetectorLosses ComputeLosses(const detector::HeadOutput& output, const Objects& objects,
                             const LossWeights& weights, const AssignerOptions& assigner) {
  const bool masks = output.mask_features.defined();
  const Predictions predictions = Decode(output);
  const at::Tensor& logits = predictions.logits;
  const Targets targets = TargetsOf(Assign(predictions, objects, masks, assigner), objects, logits);
  // Never below 1: a batch in which nothing fits yet has a small loss, not a huge one.
  const double average = std::max(targets.weights.sum().item<double>(), 1.0);
  const at::Tensor classes =
      QualityFocalLoss(logits.flatten(0, 1), targets.soft_labels).sum() / average;
  const at::Tensor giou =
      GiouLoss(predictions.boxes.flatten(0, 1).index_select(0, targets.positive), targets.boxes);
  DetectorLosses losses;
  losses.classes = weights.classes == 1 ? classes : weights.classes * classes;
  losses.boxes = weights.boxes * (giou * targets.weights).sum() / average;
  if (masks) losses.masks = weights.masks * MaskLoss(output, predictions.priors, targets);
  return losses;
}

}  // namespace trainer
