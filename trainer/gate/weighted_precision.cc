#include "trainer/gate/weighted_precision.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "trainer/evaluate/matching.h"

namespace trainer {
namespace {

constexpr int kRecallPoints = 101;

// Of one IoU threshold, after a hit: how many objects are found by then, and with which precision.
struct Point {
  std::int64_t hits;
  double precision;
};

// How many objects must be found for each of the recalls 0, 0.01, … 1.
using HitsOfRecalls = std::array<std::int64_t, kRecallPoints>;

HitsOfRecalls HitsOf(std::int64_t objects) {
  HitsOfRecalls hits;
  std::int64_t enough = 0;
  for (std::size_t point = 0; point < hits.size(); ++point) {
    const double recall = static_cast<double>(point) * 0.01;  // as numpy.linspace has it
    while (static_cast<double>(enough) / static_cast<double>(objects) < recall) ++enough;
    hits[point] = enough;
  }
  return hits;
}

// Precision made non-increasing and read at the recalls, as coco_scores.cc does it. It is enough to
// look at hits: at a false alarm recall stays and precision falls.
double AveragePrecision(std::vector<Point>& points, const HitsOfRecalls& recalls) {
  for (std::size_t i = points.size(); i > 1; --i)
    points[i - 2].precision = std::max(points[i - 2].precision, points[i - 1].precision);
  double sum = 0;
  auto at = points.begin();
  for (const std::int64_t hits : recalls) {
    while (at != points.end() && at->hits < hits) ++at;
    if (at == points.end()) break;
    sum += at->precision;
  }
  return sum / kRecallPoints;
}

}  // namespace

WeightedPrecision::WeightedPrecision(const dataset::Dataset& truth,
                                     const DetectionsByImage& detections, IouType type,
                                     int thresholds)
    : thresholds_(static_cast<std::size_t>(thresholds)), classes_(truth.classes.size()) {
  for (std::size_t image = 0; image < truth.samples.size(); ++image) {
    for (const dataset::Object& object : truth.samples[image].objects) {
      if (object.crowd) continue;
      std::vector<ObjectCount>& objects =
          classes_[static_cast<std::size_t>(object.class_index)].objects;
      if (objects.empty() || objects.back().image != image)
        objects.push_back({static_cast<std::uint32_t>(image), 0});
      ++objects.back().objects;
    }
  }
  const Matching matching(truth, detections, type);
  for (std::size_t c = 0; c < classes_.size(); ++c) {
    std::vector<Answer>& answers = classes_[c].answers;
    for (const Outcome& outcome : matching.MatchClass(static_cast<int>(c), {}).detections) {
      answers.push_back(
          {outcome.score, static_cast<std::uint32_t>(outcome.image), outcome.hit, outcome.ignored});
    }
    pooled_.answers.insert(pooled_.answers.end(), answers.begin(), answers.end());
    pooled_.objects.insert(pooled_.objects.end(), classes_[c].objects.begin(),
                           classes_[c].objects.end());
    Rank(&answers);
  }
  Rank(&pooled_.answers);
}

// Best score first. What is behind the last hit is left out, where precision is never read.
void WeightedPrecision::Rank(std::vector<Answer>* answers) {
  std::stable_sort(answers->begin(), answers->end(),
                   [](const Answer& a, const Answer& b) { return a.score > b.score; });
  while (!answers->empty() && (answers->back().hit & ~answers->back().ignored) == 0)
    answers->pop_back();
}

Precision WeightedPrecision::Of(const OfClass& one, std::span<const int> counts) const {
  std::int64_t objects = 0;
  for (const ObjectCount& count : one.objects)
    objects += std::int64_t{counts[count.image]} * count.objects;
  if (objects == 0) return {};

  std::array<std::vector<Point>, kIouThresholds> points;
  std::array<std::int64_t, kIouThresholds> hits{};
  std::array<std::int64_t, kIouThresholds> ignored{};
  std::int64_t answers = 0;
  for (const Answer& answer : one.answers) {
    const int count = counts[answer.image];
    if (count == 0) continue;
    answers += count;
    if ((answer.hit | answer.ignored) == 0) continue;
    for (std::size_t t = 0; t < points.size(); ++t) {
      const auto bit = static_cast<std::uint16_t>(1U << t);
      if ((answer.ignored & bit) != 0) {
        ignored[t] += count;
      } else if ((answer.hit & bit) != 0) {
        hits[t] += count;
        points[t].push_back(
            {hits[t], static_cast<double>(hits[t]) / static_cast<double>(answers - ignored[t])});
      }
    }
  }
  const HitsOfRecalls recalls = HitsOf(objects);
  Precision precision{.ap = 0, .ap50 = 0};
  for (std::size_t t = 0; t < thresholds_; ++t) {
    const double at_threshold = AveragePrecision(points[t], recalls);
    *precision.ap += at_threshold / static_cast<double>(thresholds_);
    if (t == 0) precision.ap50 = at_threshold;
  }
  return precision;
}

std::vector<Precision> WeightedPrecision::ByClass(std::span<const int> counts) const {
  std::vector<Precision> result;
  result.reserve(classes_.size());
  for (const OfClass& one : classes_) result.push_back(Of(one, counts));
  return result;
}

Precision MeanOf(const std::vector<Precision>& classes) {
  double ap = 0;
  double ap50 = 0;
  int count = 0;
  for (const Precision& one : classes) {
    if (!one.ap) continue;
    ap += *one.ap;
    ap50 += *one.ap50;
    ++count;
  }
  if (count == 0) return {};
  return {.ap = ap / count, .ap50 = ap50 / count};
}

}  // namespace trainer
