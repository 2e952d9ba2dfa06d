#include "trainer/evaluate/average_precision.h"

#include <algorithm>
#include <cstddef>
#include <set>

#include "vision/box.h"

namespace trainer {
namespace {

struct Detection {
  std::size_t image;
  ClassBox box;
};

double OfClass(int class_id, const std::vector<std::vector<ClassBox>>& detections,
               const std::vector<std::vector<ClassBox>>& objects, float min_iou) {
  std::vector<Detection> ranked;
  std::size_t object_count = 0;
  std::vector<std::vector<bool>> taken(objects.size());
  for (std::size_t image = 0; image < objects.size(); ++image) {
    taken[image].resize(objects[image].size());
    for (const ClassBox& object : objects[image]) object_count += object.class_id == class_id;
    for (const ClassBox& box : detections[image]) {
      if (box.class_id == class_id) ranked.push_back({image, box});
    }
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const Detection& a, const Detection& b) {
    return a.box.score > b.box.score;
  });

  std::vector<double> recall;
  std::vector<double> precision;
  std::size_t hits = 0;
  for (const Detection& detection : ranked) {
    int best = -1;
    float best_iou = min_iou;
    const auto& here = objects[detection.image];
    for (std::size_t o = 0; o < here.size(); ++o) {
      if (here[o].class_id != class_id || taken[detection.image][o]) continue;
      const float iou = vision::BoxIou(detection.box.box, here[o].box);
      if (!(iou >= best_iou)) continue;  // NaN: both are empty
      best = static_cast<int>(o);
      best_iou = iou;
    }
    if (best >= 0) {
      taken[detection.image][best] = true;
      ++hits;
    }
    recall.push_back(static_cast<double>(hits) / static_cast<double>(object_count));
    precision.push_back(static_cast<double>(hits) / static_cast<double>(recall.size()));
  }
  for (std::size_t i = precision.size(); i > 1; --i)
    precision[i - 2] = std::max(precision[i - 2], precision[i - 1]);

  double sum = 0;
  for (int step = 0; step <= 100; ++step) {
    const auto at = std::lower_bound(recall.begin(), recall.end(), step / 100.0) - recall.begin();
    if (at < static_cast<std::ptrdiff_t>(precision.size())) sum += precision[at];
  }
  return sum / 101;
}

}  // namespace

AveragePrecision ComputeAveragePrecision(const std::vector<std::vector<ClassBox>>& detections,
                                         const std::vector<std::vector<ClassBox>>& objects,
                                         float min_iou) {
  std::set<int> classes;
  for (const auto& image : objects) {
    for (const ClassBox& object : image) classes.insert(object.class_id);
  }
  AveragePrecision result;
  for (const int class_id : classes) {
    result.by_class[class_id] = OfClass(class_id, detections, objects, min_iou);
    result.mean += result.by_class[class_id] / static_cast<double>(classes.size());
  }
  return result;
}

}  // namespace trainer
