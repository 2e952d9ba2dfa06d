#include "trainer/evaluate/matching.h"

#include <absl/strings/numbers.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "vision/box.h"
#include "vision/mask_overlap.h"

namespace trainer {
namespace {

// The samples in the order of pycocotools' image ids.
std::vector<std::size_t> OrderOfImages(const std::vector<dataset::Sample>& samples) {
  std::vector<std::size_t> order(samples.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::vector<std::int64_t> ids(samples.size());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (!absl::SimpleAtoi(samples[i].id, &ids[i])) return order;
  }
  if (std::set<std::int64_t>(ids.begin(), ids.end()).size() != ids.size()) return order;
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return ids[a] < ids[b]; });
  return order;
}

// In double, as pycocotools computes it. Of a crowd it is the share of the detection that lies in
// it.
double IouOfBoxes(const vision::Box& detection, const dataset::Object& object) {
  const vision::Box& other = object.box;
  const double width =
      double{std::min(detection.x_max, other.x_max)} - std::max(detection.x_min, other.x_min);
  const double height =
      double{std::min(detection.y_max, other.y_max)} - std::max(detection.y_min, other.y_min);
  if (!(width > 0 && height > 0)) return 0;
  const double both = width * height;
  const double area = vision::BoxArea(detection);
  return both / (object.crowd ? area : area + vision::BoxArea(other) - both);
}

double IouOfMasks(const Detection& detection, double area, const dataset::Object& object) {
  if (!detection.mask || !object.mask || detection.mask->size != object.mask->size) return 0;
  const auto both = static_cast<double>(vision::IntersectionArea(*detection.mask, *object.mask));
  if (both == 0) return 0;
  if (object.crowd) return both / area;
  return both / (area + static_cast<double>(vision::Area(*object.mask)) - both);
}

// Sorts, cuts off and measures.
void Prepare(IouType type, ImageMatch* match) {
  std::vector<const Detection*>& detections = match->detections;
  std::stable_sort(detections.begin(), detections.end(),
                   [](const Detection* a, const Detection* b) { return a->score > b->score; });
  if (detections.size() > kMaxDetections) detections.resize(kMaxDetections);
  match->ious.reserve(detections.size() * match->objects.size());
  for (const Detection* const detection : detections) {
    const bool boxes = type == IouType::kBoxes;
    const double area = boxes             ? vision::BoxArea(detection->box)
                        : detection->mask ? static_cast<double>(vision::Area(*detection->mask))
                                          : 0;
    match->detection_areas.push_back(area);
    for (const dataset::Object* const object : match->objects) {
      match->ious.push_back(boxes ? IouOfBoxes(detection->box, *object)
                                  : IouOfMasks(*detection, area, *object));
    }
  }
}

bool Outside(double area, AreaRange range) { return area < range.min || area > range.max; }

// An object and whether it need not be found.
struct Target {
  std::size_t index;
  bool crowd;
  bool ignored;
};

// The target that a detection takes, or targets.size(). `ious`: of the detection with all objects.
std::size_t BestTarget(const std::vector<Target>& targets, const std::vector<bool>& taken,
                       const double* ious, double min_iou) {
  std::size_t best = targets.size();
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (taken[i] && !targets[i].crowd) continue;
    if (best < targets.size() && !targets[best].ignored && targets[i].ignored) break;
    if (ious[targets[i].index] < min_iou) continue;
    min_iou = ious[targets[i].index];
    best = i;
  }
  return best;
}

void MatchImage(const ImageMatch& match, AreaRange range, ClassOutcomes* outcomes) {
  std::vector<Target> targets;
  for (std::size_t i = 0; i < match.objects.size(); ++i) {
    const dataset::Object& object = *match.objects[i];
    targets.push_back({i, object.crowd, object.crowd || Outside(object.area, range)});
  }
  const auto ignored = std::stable_partition(targets.begin(), targets.end(),
                                             [](const Target& target) { return !target.ignored; });
  outcomes->objects += ignored - targets.begin();

  const std::size_t first = outcomes->detections.size();
  for (std::size_t rank = 0; rank < match.detections.size(); ++rank) {
    outcomes->detections.push_back({.image = match.image,
                                    .score = match.detections[rank]->score,
                                    .rank = static_cast<int>(rank)});
  }
  for (int t = 0; t < kIouThresholds; ++t) {
    const auto bit = static_cast<std::uint16_t>(1U << t);
    std::vector<bool> taken(targets.size());
    for (std::size_t rank = 0; rank < match.detections.size(); ++rank) {
      Outcome& outcome = outcomes->detections[first + rank];
      const std::size_t best = BestTarget(targets, taken, &match.ious[rank * targets.size()],
                                          std::min(IouThreshold(t), 1 - 1e-10));
      if (best < targets.size()) {
        taken[best] = true;
        outcome.hit |= bit;
        if (targets[best].ignored) outcome.ignored |= bit;
      } else if (Outside(match.detection_areas[rank], range)) {
        outcome.ignored |= bit;
      }
    }
  }
}

}  // namespace

double IouThreshold(int index) {
  constexpr double kFirst = 0.5;
  constexpr double kLast = 0.95;
  return index == kIouThresholds - 1 ? kLast
                                     : index * ((kLast - kFirst) / (kIouThresholds - 1)) + kFirst;
}

Matching::Matching(const dataset::Dataset& truth, const DetectionsByImage& detections, IouType type)
    : by_class_(truth.classes.size()) {
  for (const std::size_t image : OrderOfImages(truth.samples)) {
    const auto of_class = [&](int class_index) -> ImageMatch& {
      std::vector<ImageMatch>& images = by_class_[static_cast<std::size_t>(class_index)];
      if (images.empty() || images.back().image != image) images.push_back({.image = image});
      return images.back();
    };
    for (const dataset::Object& object : truth.samples[image].objects)
      of_class(object.class_index).objects.push_back(&object);
    for (const Detection& detection : detections[image])
      of_class(detection.class_index).detections.push_back(&detection);
  }
  for (std::vector<ImageMatch>& images : by_class_) {
    for (ImageMatch& match : images) Prepare(type, &match);
  }
}

ClassOutcomes Matching::MatchClass(int class_index, AreaRange range) const {
  ClassOutcomes outcomes;
  for (const ImageMatch& match : by_class_[static_cast<std::size_t>(class_index)])
    MatchImage(match, range, &outcomes);
  return outcomes;
}

}  // namespace trainer
