#include "prelabel/review.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <map>
#include <utility>

#include "dataset/findings.h"
#include "dataset/label_studio_regions.h"
#include "label_studio/json_fields.h"
#include "label_studio/label_config.h"
#include "label_studio/task.h"
#include "text/str_cat.h"

namespace prelabel {
namespace {

namespace json = boost::json;
using boost::asio::awaitable;

// A rectangle and a mask whose boxes overlap as much are one object, as in trainings
// (dataset/label_studio_reader.h).
constexpr double kMinJoinIou = 0.5;

// What regions call a label: its alias if it has one.
std::map<std::string, std::string, std::less<>> WrittenLabels(
    const label_studio::LabelConfig& config) {
  std::map<std::string, std::string, std::less<>> written;
  for (const label_studio::Control& control : config.controls) {
    for (const label_studio::LabelGroupPtr& group : control.groups) {
      for (const label_studio::Label& label : group->labels) {
        written.emplace(label.value, label.written());
      }
    }
  }
  return written;
}

// The editor may have measured the image at another size than it has.
vision::Box Scaled(const vision::Box& box, vision::Size from, vision::Size to) {
  const float x = static_cast<float>(to.width) / static_cast<float>(from.width);
  const float y = static_cast<float>(to.height) / static_cast<float>(from.height);
  return {box.x_min * x, box.y_min * y, box.x_max * x, box.y_max * y};
}

// Moves the regions that were drawn on the image out of `drawn`.
dataset::Regions TakeRegionsOf(const FoundInImage& image, dataset::Regions* drawn) {
  dataset::Regions mine{.regions = {}, .relations = drawn->relations};
  std::vector<dataset::Region> others;
  for (dataset::Region& region : drawn->regions) {
    const bool on_it = (region.to_name.empty() || region.to_name == image.to_name) &&
                       region.item_index == image.item_index;
    (on_it ? mine.regions : others).push_back(std::move(region));
  }
  drawn->regions = std::move(others);
  return mine;
}

void ReviewImage(const FoundInTask& found, const FoundInImage& image, dataset::Regions drawn,
                 TaskReview* review) {
  const std::vector<dataset::Region> regions = dataset::JoinRegions(std::move(drawn), kMinJoinIou);
  std::vector<curation::AnnotatedObject> objects;
  for (const dataset::Region& region : regions) {
    const bool can_be_found =
        region.labels.empty() ||
        std::any_of(region.labels.begin(), region.labels.end(),
                    [&](const std::string& label) { return found.labels.contains(label); });
    ++(can_be_found ? review->objects : review->unknown);
    objects.push_back({.labels = region.labels,
                       .box = Scaled(region.box, region.size, image.size),
                       .can_be_found = can_be_found});
  }
  for (curation::Issue& issue : curation::FindIssues(objects, image.detections)) {
    TaskIssue& added = review->issues.emplace_back();
    added.to_name = image.to_name;
    added.item_index = image.item_index;
    added.size = image.size;
    if (issue.object >= 0) {
      const dataset::Region& region = regions[static_cast<std::size_t>(issue.object)];
      added.region_id = region.id;
      added.labels = region.labels;
    }
    added.issue = std::move(issue);
  }
}

}  // namespace

awaitable<absl::StatusOr<TaskReview>> ReviewTask(Predictor& predictor, const json::object& task,
                                                 PredictContext& context) {
  const json::value* const id = task.if_contains("id");
  const json::value* const data = task.if_contains("data");
  const json::value* const annotations = task.if_contains("annotations");
  if (id == nullptr || !id->is_int64() || data == nullptr || !data->is_object() ||
      annotations == nullptr || !annotations->is_array()) {
    co_return absl::InvalidArgumentError("a task without 'id', 'data' or 'annotations'");
  }
  TaskReview review{.task_id = id->get_int64()};
  const json::object* const annotation = dataset::NewestAnnotation(annotations->get_array());
  if (annotation == nullptr) co_return review;
  if (const json::value* number = annotation->if_contains("id"); number != nullptr) {
    if (number->is_int64()) review.annotation_id = text::StrCat(number->get_int64());
  }
  const label_studio::Task asked{.id = review.task_id, .data = data->get_object()};
  auto finding = predictor.Find(asked, context);
  const auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  review.model_version = found->model_version;
  const auto written = WrittenLabels(*found->config);
  const auto names = [&written](std::string_view, std::string_view label) {
    const auto known = written.find(label);
    return known == written.end() ? std::string(label) : known->second;
  };
  // What can't be used, keypoints say, isn't compared with anything.
  dataset::Findings left_out;
  dataset::Regions drawn = dataset::ReadRegions(annotation->at("result").get_array(), names,
                                                text::StrCat("task ", review.task_id), &left_out);
  for (const FoundInImage& image : found->images) {
    ReviewImage(*found, image, TakeRegionsOf(image, &drawn), &review);
  }
  co_return review;
}

}  // namespace prelabel
