#include "trainer/evaluate/coco_scores.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "trainer/evaluate/matching.h"

namespace trainer {
namespace {

constexpr AreaRange kAllAreas{0, 1e5 * 1e5};
constexpr AreaRange kSmall{0, 32 * 32};
constexpr AreaRange kMedium{32 * 32, 96 * 96};
constexpr AreaRange kLarge{96 * 96, 1e5 * 1e5};
constexpr int kRecallPoints = 101;
constexpr int kIndexOf50 = 0;
constexpr int kIndexOf75 = 5;

using Score = CocoScores::Score;
using ByThreshold = std::array<double, kIouThresholds>;

double Mean(const ByThreshold& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / kIouThresholds;
}

// Precision made non-increasing and read at the recalls 0, 0.01, … 1. `ranked`: best score first.
double AveragePrecision(const std::vector<const Outcome*>& ranked, std::int64_t objects,
                        std::uint16_t bit) {
  std::vector<double> recall;
  std::vector<double> precision;
  std::int64_t hits = 0;
  std::int64_t false_alarms = 0;
  for (const Outcome* const outcome : ranked) {
    if ((outcome->ignored & bit) == 0) ++((outcome->hit & bit) != 0 ? hits : false_alarms);
    recall.push_back(static_cast<double>(hits) / static_cast<double>(objects));
    // As upstream, which so avoids a division by 0.
    precision.push_back(static_cast<double>(hits) / (static_cast<double>(false_alarms + hits) +
                                                     std::numeric_limits<double>::epsilon()));
  }
  for (std::size_t i = precision.size(); i > 1; --i)
    precision[i - 2] = std::max(precision[i - 2], precision[i - 1]);
  double sum = 0;
  auto at = recall.begin();
  for (int point = 0; point < kRecallPoints; ++point) {
    // numpy.linspace multiplies: 29 * 0.01 is not 0.29.
    at = std::lower_bound(at, recall.end(), point * 0.01);
    if (at == recall.end()) break;
    sum += precision[static_cast<std::size_t>(at - recall.begin())];
  }
  return sum / kRecallPoints;
}

ByThreshold Precisions(const ClassOutcomes& outcomes) {
  std::vector<const Outcome*> ranked;
  ranked.reserve(outcomes.detections.size());
  for (const Outcome& outcome : outcomes.detections) ranked.push_back(&outcome);
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const Outcome* a, const Outcome* b) { return a->score > b->score; });
  ByThreshold precisions;
  for (std::size_t t = 0; t < precisions.size(); ++t) {
    precisions[t] = AveragePrecision(ranked, outcomes.objects, static_cast<std::uint16_t>(1U << t));
  }
  return precisions;
}

Score Recall(const ClassOutcomes& outcomes, int max_detections) {
  if (outcomes.objects == 0) return std::nullopt;
  std::int64_t hits = 0;
  for (const Outcome& outcome : outcomes.detections) {
    if (outcome.rank >= max_detections) continue;
    hits += __builtin_popcount(outcome.hit & ~outcome.ignored);
  }
  return static_cast<double>(hits) / static_cast<double>(outcomes.objects * kIouThresholds);
}

CocoScores ScoresOfClass(const Matching& matching, int class_index) {
  CocoScores scores;
  const ClassOutcomes all = matching.MatchClass(class_index, kAllAreas);
  scores.ar1 = Recall(all, 1);
  scores.ar10 = Recall(all, 10);
  scores.ar100 = Recall(all, kMaxDetections);
  if (all.objects > 0) {
    const ByThreshold precisions = Precisions(all);
    scores.ap = Mean(precisions);
    scores.ap50 = precisions[kIndexOf50];
    scores.ap75 = precisions[kIndexOf75];
  }
  const auto of_area = [&](AreaRange range, Score* precision, Score* recall) {
    const ClassOutcomes outcomes = matching.MatchClass(class_index, range);
    *recall = Recall(outcomes, kMaxDetections);
    if (outcomes.objects > 0) *precision = Mean(Precisions(outcomes));
  };
  of_area(kSmall, &scores.ap_small, &scores.ar_small);
  of_area(kMedium, &scores.ap_medium, &scores.ar_medium);
  of_area(kLarge, &scores.ap_large, &scores.ar_large);
  return scores;
}

Score MeanOf(const std::vector<CocoScores>& classes, Score CocoScores::*score) {
  double sum = 0;
  std::size_t count = 0;
  for (const CocoScores& scores : classes) {
    if (!(scores.*score)) continue;
    sum += *(scores.*score);
    ++count;
  }
  if (count == 0) return std::nullopt;
  return sum / static_cast<double>(count);
}

}  // namespace

CocoEvaluation EvaluateCoco(const dataset::Dataset& truth, const DetectionsByImage& detections,
                            IouType type) {
  const Matching matching(truth, detections, type);
  CocoEvaluation evaluation;
  for (std::size_t c = 0; c < truth.classes.size(); ++c)
    evaluation.by_class.push_back(ScoresOfClass(matching, static_cast<int>(c)));
  for (Score CocoScores::*const score :
       {&CocoScores::ap, &CocoScores::ap50, &CocoScores::ap75, &CocoScores::ap_small,
        &CocoScores::ap_medium, &CocoScores::ap_large, &CocoScores::ar1, &CocoScores::ar10,
        &CocoScores::ar100, &CocoScores::ar_small, &CocoScores::ar_medium, &CocoScores::ar_large}) {
    evaluation.all.*score = MeanOf(evaluation.by_class, score);
  }
  return evaluation;
}

}  // namespace trainer
