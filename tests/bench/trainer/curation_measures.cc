// What lib/curation says of images, for label_next.py and review_recall.py.
//
// usage: curation_measures < IMAGES > MEASURES
//
// A line is an image: {"detections": [{"label": "cat", "score": 0.9, "box": [x, y, width,
// height]}, …], "objects": [{"label": "cat", "box": […]}, …]}. Its answer is a line, too:
// {"informativeness": 1.5, "issues": [{"kind", "suspicion", "object", "label", "box"}, …]}.
#include <boost/json.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "curation/informativeness.h"
#include "curation/label_issues.h"

namespace {

namespace json = boost::json;

vision::Box BoxOf(const json::value& value) {
  const auto at = [&](std::size_t i) { return value.at(i).to_number<float>(); };
  return {at(0), at(1), at(0) + at(2), at(1) + at(3)};
}

json::array ToJson(const vision::Box& box) {
  return {box.x_min, box.y_min, box.width(), box.height()};
}

json::object Measure(const json::value& image) {
  std::vector<curation::Detection> detections;
  for (const json::value& one : image.at("detections").as_array()) {
    detections.push_back({.label = json::value_to<std::string>(one.at("label")),
                          .score = one.at("score").to_number<double>(),
                          .box = BoxOf(one.at("box"))});
  }
  std::vector<curation::AnnotatedObject> objects;
  for (const json::value& one : image.at("objects").as_array()) {
    objects.push_back(
        {.labels = {json::value_to<std::string>(one.at("label"))}, .box = BoxOf(one.at("box"))});
  }
  json::array issues;
  for (const curation::Issue& issue : curation::FindIssues(objects, detections)) {
    issues.push_back(json::object{{"kind", curation::NameOf(issue.kind)},
                                  {"suspicion", issue.suspicion},
                                  {"object", issue.object},
                                  {"label", issue.found.label},
                                  {"box", ToJson(issue.found.box)}});
  }
  return {{"informativeness", curation::Informativeness(detections)},
          {"issues", std::move(issues)}};
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << json::serialize(Measure(json::parse(line))) << "\n";
  }
  return 0;
}
