#include "trainer/evaluate/mistakes.h"

#include <algorithm>

#include "trainer/evaluate/matching.h"

namespace trainer {
namespace {

constexpr std::uint16_t kIou50 = 1;  // the bit of IouThreshold(0)

// Of all classes, without those that count neither way; best score first.
std::vector<Outcome> RankedOutcomes(const dataset::Dataset& truth,
                                    const DetectionsByImage& detections, IouType type) {
  const Matching matching(truth, detections, type);
  std::vector<Outcome> ranked;
  for (std::size_t c = 0; c < truth.classes.size(); ++c) {
    for (const Outcome& outcome : matching.MatchClass(static_cast<int>(c), {}).detections) {
      if ((outcome.ignored & kIou50) == 0) ranked.push_back(outcome);
    }
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const Outcome& a, const Outcome& b) { return a.score > b.score; });
  return ranked;
}

double F1(double hits, double detections, double objects) {
  return detections + objects > 0 ? 2 * hits / (detections + objects) : 0;
}

// Lies in the middle between the worst detection that is better kept and the next one: so it also
// separates them on other images.
double BestThreshold(const std::vector<Outcome>& ranked, int objects) {
  double best = 0;
  double threshold = ranked.empty() ? 0 : ranked.front().score;
  int hits = 0;
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    hits += (ranked[i].hit & kIou50) != 0;
    const double next = i + 1 < ranked.size() ? ranked[i + 1].score : 0;
    if (next == ranked[i].score) continue;  // no threshold separates them
    const double f1 = F1(hits, static_cast<double>(i + 1), objects);
    if (!(f1 > best)) continue;
    best = f1;
    threshold = (ranked[i].score + next) / 2;
  }
  return threshold;
}

}  // namespace

Mistakes CountMistakes(const dataset::Dataset& truth, const DetectionsByImage& detections,
                       IouType type, std::optional<double> score_threshold) {
  Mistakes result;
  result.by_image.resize(truth.samples.size());
  int objects = 0;
  for (std::size_t image = 0; image < truth.samples.size(); ++image) {
    for (const dataset::Object& object : truth.samples[image].objects)
      result.by_image[image].missed += !object.crowd;
    objects += result.by_image[image].missed;
  }
  const std::vector<Outcome> ranked = RankedOutcomes(truth, detections, type);
  result.score_threshold = score_threshold ? *score_threshold : BestThreshold(ranked, objects);
  for (const Outcome& outcome : ranked) {
    if (!(outcome.score > result.score_threshold)) break;
    Mistakes::OfImage& image = result.by_image[outcome.image];
    if ((outcome.hit & kIou50) != 0) {
      --image.missed;
      ++result.hits;
    } else {
      ++image.false_alarms;
      ++result.false_alarms;
    }
  }
  result.missed = objects - result.hits;
  const int answers = result.hits + result.false_alarms;
  if (answers > 0) result.precision = static_cast<double>(result.hits) / answers;
  if (objects > 0) result.recall = static_cast<double>(result.hits) / objects;
  result.f1 = F1(result.hits, answers, objects);
  return result;
}

std::vector<std::size_t> WorstImages(const Mistakes& mistakes, std::size_t count) {
  std::vector<std::size_t> images;
  for (std::size_t i = 0; i < mistakes.by_image.size(); ++i) {
    if (mistakes.by_image[i].count() > 0) images.push_back(i);
  }
  std::stable_sort(images.begin(), images.end(), [&](std::size_t a, std::size_t b) {
    return mistakes.by_image[a].count() > mistakes.by_image[b].count();
  });
  if (images.size() > count) images.resize(count);
  return images;
}

}  // namespace trainer
