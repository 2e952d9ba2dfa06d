// Reads one case a line, {"config": XML, "data": a task's, "classes": [...], "outputs", "masks",
// "prompts": [...]}, and writes a line with what Duet would write into Label Studio:
// {"result": [...]} or {"error": "..."}. One object of each class is found in every image; with
// prompts, the line is the answer to them instead. For tests/e2e/test_label_configs.py, which has
// Label Studio's SDK.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "label_studio/context.h"
#include "label_studio/result.h"
#include "prelabel/project.h"

namespace {

namespace json = boost::json;
using label_studio::Regions;

constexpr vision::Size kSize = {200, 100};

vision::Mask Filled(int x_begin, int y_begin, int x_end, int y_end) {
  vision::Mask mask{kSize, {}};
  for (int y = y_begin; y < y_end; ++y) mask.spans.push_back({y, x_begin, x_end});
  return mask;
}

std::vector<label_studio::Object> OneOfEach(const std::vector<std::string>& classes) {
  std::vector<label_studio::Object> objects;
  for (const std::string& name : classes) {
    label_studio::Object object;
    object.class_name = name;
    object.score = 0.9f;
    object.box = {20, 10, 80, 60};
    object.mask = Filled(20, 10, 80, 60);
    object.mask_score = 1.01f;  // as a segmenter's estimate may be
    objects.push_back(std::move(object));
  }
  return objects;
}

absl::StatusOr<Regions> Batch(prelabel::Project& project, const prelabel::ServedModels& models,
                              const json::object& data) {
  const auto planned = project.PlanFor(models, data);
  if (!planned.ok()) return planned.status();
  Regions regions;
  for (const label_studio::EmissionPlan& plan : (*planned)->plans) {
    const auto uris = label_studio::ImageUris(plan.image(), data);
    if (!uris.ok()) return uris.status();
    for (std::size_t i = 0; i < uris->size(); ++i) {
      regions.Append(label_studio::MakeRegions(plan, kSize, OneOfEach(models.detector->classes),
                                               plan.image().is_list ? static_cast<int>(i) : -1));
    }
  }
  return regions;
}

absl::StatusOr<Regions> Answer(const prelabel::Project& project, const json::object& data,
                               const json::value& prompts) {
  const auto config = project.ConfigFor(data);
  if (!config.ok()) return config.status();
  const auto prompt = label_studio::ParseContext(json::object{{"result", prompts}}, **config);
  if (!prompt.ok()) return prompt.status();
  const auto targets = label_studio::AnswerPlan(**config).ChooseTargets(*prompt);
  if (!targets.ok()) return targets.status();
  return label_studio::MakeAnswer(*prompt, *targets, Filled(30, 20, 90, 70), 0.8f);
}

absl::StatusOr<Regions> ResultOf(const json::object& asked) {
  const auto text = [&](const char* field) {
    const json::value* value = asked.if_contains(field);
    return value == nullptr ? std::string() : std::string(value->as_string());
  };
  prelabel::Settings settings;
  if (asked.contains("outputs")) settings.outputs = text("outputs");
  auto project = prelabel::Project::Create(text("config"), settings);
  if (!project.ok()) return project.status();
  const json::object& data = asked.at("data").as_object();
  if (const json::value* prompts = asked.if_contains("prompts")) {
    return Answer(**project, data, *prompts);
  }
  auto detector = std::make_shared<backends::DetectorModel>();
  for (const json::value& name : asked.at("classes").as_array()) {
    detector->classes.emplace_back(name.as_string());
  }
  prelabel::ServedModels models{.detector = detector};
  const json::value* masks = asked.if_contains("masks");
  if (masks == nullptr || masks->as_bool()) {
    models.segmenter = std::make_shared<backends::SegmenterModel>();
  }
  const auto review = (*project)->ReviewFor(models);
  if (!review.status.ok()) return review.status;
  return Batch(**project, models, data);
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const auto regions = ResultOf(json::parse(line).as_object());
    if (regions.ok()) {
      std::cout << "{\"result\":[" << regions->json << "]}\n";
    } else {
      std::cout << json::serialize(json::object{{"error", std::string(regions.status().message())}})
                << '\n';
    }
  }
}
