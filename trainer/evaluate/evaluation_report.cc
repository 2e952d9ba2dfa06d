#include "trainer/evaluate/evaluation_report.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "trainer/evaluate/mistakes.h"

namespace trainer {
namespace {

namespace json = boost::json;

json::object ToJson(const CocoEvaluation& evaluation, const dataset::Dataset& truth) {
  json::object by_class;
  for (std::size_t c = 0; c < truth.classes.size(); ++c)
    by_class[truth.classes[c]] = ToJson(evaluation.by_class[c]);
  return {{"all", ToJson(evaluation.all)}, {"by_class", std::move(by_class)}};
}

bool HaveMasks(const dataset::Dataset& truth, const DetectionsByImage& detections) {
  const auto has_mask = [](const auto& one) { return one.mask.has_value(); };
  return std::any_of(truth.samples.begin(), truth.samples.end(),
                     [&](const dataset::Sample& sample) {
                       return std::any_of(sample.objects.begin(), sample.objects.end(), has_mask);
                     }) &&
         std::any_of(detections.begin(), detections.end(),
                     [&](const std::vector<Detection>& image) {
                       return std::any_of(image.begin(), image.end(), has_mask);
                     });
}

}  // namespace

json::object ToJson(const CocoScores& scores) {
  json::object result;
  const auto add = [&](const char* name, const CocoScores::Score& score) {
    result[name] = score ? json::value(*score) : json::value(nullptr);
  };
  add("ap", scores.ap);
  add("ap50", scores.ap50);
  add("ap75", scores.ap75);
  add("ap_small", scores.ap_small);
  add("ap_medium", scores.ap_medium);
  add("ap_large", scores.ap_large);
  add("ar1", scores.ar1);
  add("ar10", scores.ar10);
  add("ar100", scores.ar100);
  add("ar_small", scores.ar_small);
  add("ar_medium", scores.ar_medium);
  add("ar_large", scores.ar_large);
  return result;
}

json::object EvaluationReport(const dataset::Dataset& truth, const DetectionsByImage& detections,
                              std::size_t worst) {
  std::size_t objects = 0;
  for (const dataset::Sample& sample : truth.samples) objects += sample.objects.size();
  json::object report{{"images", truth.samples.size()}, {"objects", objects}};
  report["boxes"] = ToJson(EvaluateCoco(truth, detections, IouType::kBoxes), truth);
  if (HaveMasks(truth, detections))
    report["masks"] = ToJson(EvaluateCoco(truth, detections, IouType::kMasks), truth);
  const Mistakes mistakes = CountMistakes(truth, detections, IouType::kBoxes);
  report["best_f1"] = json::object{{"score_threshold", mistakes.score_threshold},
                                   {"precision", mistakes.precision},
                                   {"recall", mistakes.recall},
                                   {"f1", mistakes.f1}};
  json::array& images = (report["worst_images"] = json::array()).get_array();
  for (const std::size_t image : WorstImages(mistakes, worst)) {
    images.push_back(json::object{{"image", truth.samples[image].image},
                                  {"missed", mistakes.by_image[image].missed},
                                  {"false_alarms", mistakes.by_image[image].false_alarms}});
  }
  return report;
}

}  // namespace trainer
