#include "curation/informativeness.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <vector>

#include "vision/box.h"

namespace curation {
namespace {

// Boxes of one object overlap so much, as in COCO's AP50.
constexpr double kSameObject = 0.5;
constexpr std::size_t kMostDoubtful = 3;

// Bits of a question whose answer is yes with this probability.
double Entropy(double probability) {
  if (!(probability > 0 && probability < 1)) return 0;
  const double other = 1 - probability;
  return -(probability * std::log2(probability) + other * std::log2(other));
}

struct Place {
  vision::Box box;  // of the best of its detections
  double bits = 0;
};

// The objects, each with the bits of all classes that it is found as.
std::vector<Place> PlacesOf(absl::Span<const Detection> detections) {
  std::vector<const Detection*> best_first;
  for (const Detection& detection : detections) {
    if (detection.score > kLeastScore) best_first.push_back(&detection);
  }
  std::stable_sort(best_first.begin(), best_first.end(),
                   [](const auto* a, const auto* b) { return a->score > b->score; });
  std::vector<Place> places;
  for (const Detection* detection : best_first) {
    auto place = std::find_if(places.begin(), places.end(), [&](const Place& known) {
      return vision::BoxIou(known.box, detection->box) >= kSameObject;
    });
    if (place == places.end()) place = places.insert(places.end(), {.box = detection->box});
    place->bits += Entropy(detection->score);
  }
  return places;
}

}  // namespace

double Informativeness(absl::Span<const Detection> detections) {
  std::vector<double> bits;
  for (const Place& place : PlacesOf(detections)) bits.push_back(place.bits);
  std::sort(bits.begin(), bits.end(), std::greater<>());
  if (bits.size() > kMostDoubtful) bits.resize(kMostDoubtful);
  double sum = 0;
  for (const double one : bits) sum += one;
  return sum;
}

double PredictionScore(double informativeness) { return 1 / (1 + informativeness); }

}  // namespace curation
