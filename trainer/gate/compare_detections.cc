#include "trainer/gate/compare_detections.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <span>

#include "text/str_cat.h"
#include "trainer/gate/verdict_json.h"
#include "trainer/gate/weighted_precision.h"

namespace trainer {
namespace {

namespace json = boost::json;

std::optional<ScorePair> Pair(const std::optional<double>& old_score,
                              const std::optional<double>& new_score) {
  if (!old_score) return std::nullopt;
  return ScorePair{*old_score, *new_score};
}

// IoU 0.5 to 0.75. What an annotator accepts unchanged is the old model's box to the pixel, which
// has an IoU of 1 with the annotation, while a new model that is as good draws its own: at the
// upper thresholds that would count against it (docs/adr/0707).
constexpr int kGateThresholds = 6;

bool SameDetections(const DetectionsByImage& one, const DetectionsByImage& other) {
  const auto same = [](const Detection& a, const Detection& b) {
    return a.class_index == b.class_index && a.box == b.box && a.score == b.score &&
           a.mask == b.mask;
  };
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [&](const std::vector<Detection>& a, const std::vector<Detection>& b) {
                      return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
                    });
}

bool HasMasks(const dataset::Dataset& truth) {
  return std::any_of(truth.samples.begin(), truth.samples.end(), [](const dataset::Sample& sample) {
    return std::any_of(sample.objects.begin(), sample.objects.end(),
                       [](const auto& object) { return object.mask.has_value(); });
  });
}

bool HasMasks(const DetectionsByImage& detections) {
  return std::any_of(detections.begin(), detections.end(), [](const auto& image) {
    return std::any_of(image.begin(), image.end(),
                       [](const Detection& one) { return one.mask.has_value(); });
  });
}

// How many images have an object of each class, and how many objects there are.
void CountObjects(const dataset::Dataset& truth, DetectionComparison* comparison,
                  std::vector<int>* images) {
  images->assign(truth.classes.size(), 0);
  for (const std::string& name : truth.classes) comparison->by_class.emplace_back().name = name;
  for (const dataset::Sample& sample : truth.samples) {
    std::vector<bool> seen(truth.classes.size());
    for (const dataset::Object& object : sample.objects) {
      if (object.crowd) continue;
      const auto c = static_cast<std::size_t>(object.class_index);
      ++comparison->by_class[c].objects;
      ++comparison->objects;
      if (!seen[c]) ++(*images)[c];
      seen[c] = true;
    }
  }
}

}  // namespace

DetectionComparison CompareDetections(const dataset::Dataset& truth,
                                      const DetectionsByImage& old_detections,
                                      const DetectionsByImage& new_detections,
                                      const BootstrapOptions& options, const GateRule& rule) {
  DetectionComparison comparison{.images = truth.samples.size()};
  std::vector<int> images_of_class;
  CountObjects(truth, &comparison, &images_of_class);

  const WeightedPrecision old_precision(truth, old_detections, IouType::kBoxes, kGateThresholds);
  const WeightedPrecision new_precision(truth, new_detections, IouType::kBoxes, kGateThresholds);
  // Models of masks are those that find some; one that doesn't lets their AP fall to 0.
  const bool masks = HasMasks(truth) && HasMasks(old_detections);
  const DetectionsByImage none(truth.samples.size());
  const WeightedPrecision old_masks(truth, masks ? old_detections : none, IouType::kMasks);
  const WeightedPrecision new_masks(truth, masks ? new_detections : none, IouType::kMasks);
  const auto measure = [&](std::span<const int> counts) {
    const std::vector<Precision> of_old = old_precision.ByClass(counts);
    const std::vector<Precision> of_new = new_precision.ByClass(counts);
    const Precision old_mean = MeanOf(of_old);
    const Precision new_mean = MeanOf(of_new);
    ScorePairs pairs{Pair(old_mean.ap, new_mean.ap), Pair(old_mean.ap50, new_mean.ap50),
                     Pair(old_precision.Pooled(counts).ap, new_precision.Pooled(counts).ap)};
    for (std::size_t c = 0; c < of_old.size(); ++c)
      pairs.push_back(Pair(of_old[c].ap50, of_new[c].ap50));
    if (masks) {
      pairs.push_back(
          Pair(MeanOf(old_masks.ByClass(counts)).ap50, MeanOf(new_masks.ByClass(counts)).ap50));
    }
    return pairs;
  };
  const auto differences = PairedBootstrap(truth.samples.size(), measure, options);

  comparison.ap = differences[0];
  comparison.ap50 = differences[1];
  comparison.pooled_ap = differences[2];
  std::vector<ComparedPart> parts;
  for (std::size_t c = 0; c < truth.classes.size(); ++c) {
    std::optional<Difference>& difference = comparison.by_class[c].ap50 = differences[3 + c];
    if (!difference) continue;
    difference->images = images_of_class[c];
    parts.push_back({truth.classes[c], *difference});
  }
  if (masks && differences.back()) {
    comparison.masks_ap50 = differences.back();
    parts.push_back({"masks", *comparison.masks_ap50});
  }
  // AP50 is what people see as the score; AP decides.
  const std::string score =
      comparison.ap50 ? absl::StrFormat("AP50 goes from %.3f to %.3f, AP@[.5:.75]",
                                        comparison.ap50->old_score, comparison.ap50->new_score)
                      : "AP@[.5:.75]";
  comparison.verdict = Decide(score, comparison.ap, parts, static_cast<int>(comparison.images),
                              rule, comparison.pooled_ap);
  if (comparison.ap && SameDetections(old_detections, new_detections)) {
    comparison.verdict = {.decision = Decision::kNotBetter,
                          .reason = text::StrCat("Both models find the very same on ",
                                                 comparison.images, " images: not better."),
                          .fallen = {},
                          .perhaps_fallen = {}};
  }
  return comparison;
}

json::object ToJson(const DetectionComparison& comparison) {
  json::object by_class;
  for (const DetectionComparison::OfClass& one : comparison.by_class) {
    json::value figures = ToJson(one.ap50);
    if (figures.is_object()) {
      figures.as_object()["objects"] = one.objects;
      figures.as_object()["images"] = one.ap50->images;
    }
    by_class[one.name] = std::move(figures);
  }
  json::object report = ToJson(comparison.verdict);
  report["old_score"] = comparison.ap50 ? comparison.ap50->old_score : 0;
  report["new_score"] = comparison.ap50 ? comparison.ap50->new_score : 0;
  report["images"] = comparison.images;
  report["objects"] = comparison.objects;
  report["ap"] = ToJson(comparison.ap);
  report["ap50"] = ToJson(comparison.ap50);
  report["pooled_ap"] = ToJson(comparison.pooled_ap);
  report["masks_ap50"] = ToJson(comparison.masks_ap50);
  report["by_class"] = std::move(by_class);
  return report;
}

}  // namespace trainer
