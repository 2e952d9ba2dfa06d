#include "dataset/label_studio_reader.h"

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "dataset/json_elements.h"
#include "dataset/label_studio_regions.h"
#include "dataset/object_checks.h"
#include "label_studio/json_fields.h"
#include "label_studio/label_config.h"
#include "text/str_cat.h"
#include "vision/box.h"

namespace dataset {
namespace {

namespace json = boost::json;
using label_studio::Control;
using label_studio::ImageTag;
using label_studio::Label;
using label_studio::TextField;
using text::StrCat;

// The annotation that counts.
struct Annotation {
  std::string id;
  json::array results;
};

// One image of a task, by tag and place in its list.
struct TaskImage {
  std::string to_name;  // "": the tag isn't known
  int item_index = 0;
  std::string uri;
};

const json::object* ObjectField(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  return value == nullptr ? nullptr : value->if_object();
}

const json::array* ListField(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  return value == nullptr ? nullptr : value->if_array();
}

// Older exports say "completions".
const json::array* AnnotationsOf(const json::object& task) {
  const json::array* const annotations = ListField(task, "annotations");
  return annotations != nullptr ? annotations : ListField(task, "completions");
}

// A record of JSON-MIN is one annotation, whose regions are lists under their control's name, mixed
// with the task's data. A region has no id there; the shape and the labels of one, which are
// entries of two controls, have the same geometry.
bool IsMinimal(const json::object& task) {
  return !task.contains("data") && AnnotationsOf(task) == nullptr && task.contains("annotation_id");
}

bool IsLabelList(std::string_view key) { return key.ends_with("labels"); }

json::array ResultsOfMinimal(const json::object& record, json::object* data) {
  json::array results;
  for (const auto& [key, value] : record) {
    const json::array* const list = value.if_array();
    const bool is_control =
        list != nullptr && !list->empty() &&
        std::all_of(list->begin(), list->end(), [](const json::value& element) {
          return element.is_object() && element.get_object().contains("original_width");
        });
    if (!is_control) {
      (*data)[key] = value;
      continue;
    }
    for (const json::value& element : *list) {
      json::object shape;
      for (const auto& [name, field] : element.get_object()) {
        if (!IsLabelList({name.data(), name.size()})) shape[name] = field;
      }
      json::object result;
      result["id"] = json::serialize(shape);
      result["from_name"] = key;
      result["value"] = element;
      result["original_width"] = shape["original_width"];
      result["original_height"] = shape["original_height"];
      results.push_back(std::move(result));
    }
  }
  return results;
}

bool LooksLikeImage(std::string_view text) {
  for (const std::string_view start :
       {"http://", "https://", "s3://", "gs://", "azure-blob://", "/data/", "data:image/"}) {
    if (text.starts_with(start)) return true;
  }
  const std::string lower = absl::AsciiStrToLower(text::View(text));
  for (const std::string_view end :
       {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}) {
    if (std::string_view(lower).ends_with(end)) return true;
  }
  return false;
}

// Reads tasks one by one, and names the classes when all are read.
class Reader {
 public:
  Reader(const LabelStudioReadOptions& options, Findings* findings)
      : options_(options), findings_(*findings) {}

  absl::Status ReadLabelConfig();
  absl::Status Take(const JsonElement& element);
  absl::StatusOr<Dataset> Finish();

 private:
  absl::StatusOr<Dataset> NameClasses();
  absl::Status TakeTask(const json::object& task);
  absl::Status TakeMinimal(const json::object& record);
  absl::Status AddSamples(const std::string& task_id, const json::object& data,
                          const std::string& annotation_id, const json::array& results);
  absl::StatusOr<std::vector<TaskImage>> ImagesOf(const std::string& where,
                                                  const json::object& data);
  absl::StatusOr<std::vector<TaskImage>> GuessImages(const std::string& where,
                                                     const json::object& data) const;
  // Moves the regions of `image` out of `drawn`.
  Regions TakeRegionsOf(const TaskImage& image, Regions* drawn) const;
  void AddObjects(std::vector<Region> regions, Sample* sample);
  void AddNames(const label_studio::LabelConfig& config);
  std::string ClassName(std::string_view from_name, std::string_view label, std::string_view where);
  int ClassIndex(const std::string& name);

  const LabelStudioReadOptions& options_;
  std::optional<label_studio::LabelConfig> label_config_;
  Findings& findings_;
  // By control (or the <Labels> tag beside it), then value or alias.
  std::map<std::pair<std::string, std::string>, std::string, std::less<>> class_names_;
  std::vector<std::string> classes_;  // in the order of their discovery
  std::size_t configured_ = 0;        // of them: those of the label config, which come first
  absl::flat_hash_map<std::string, int> class_index_;
  std::vector<Sample> samples_;
  std::size_t tasks_ = 0;
  bool has_categories_ = false;  // as COCO's files and what comes with YOLO's have them
  json::object single_;          // a file that is one task
  json::array single_annotations_;
  // Of JSON-MIN, whose records are annotations: the newest record of each task.
  absl::flat_hash_map<std::string, json::object> newest_minimal_;
  std::vector<std::string> minimal_tasks_;  // in the file's order
};

absl::Status Reader::ReadLabelConfig() {
  if (options_.label_config.empty()) return absl::OkStatus();
  absl::StatusOr<label_studio::LabelConfig> config =
      label_studio::ParseLabelConfig(options_.label_config);
  if (!config.ok()) return config.status();
  label_config_ = *std::move(config);
  AddNames(*label_config_);
  for (const Control& control : label_config_->controls) {
    for (const label_studio::LabelGroupPtr& group : control.groups) {
      for (const Label& label : group->labels) ClassIndex(label.written());
    }
  }
  configured_ = classes_.size();
  return absl::OkStatus();
}

void Reader::AddNames(const label_studio::LabelConfig& config) {
  for (const Control& control : config.controls) {
    for (const label_studio::LabelGroupPtr& group : control.groups) {
      const std::string& from_name = control.has_own_labels ? control.name : group->name;
      for (const Label& label : group->labels) {
        class_names_.emplace(std::pair(from_name, label.value), label.written());
        class_names_.emplace(std::pair(from_name, label.written()), label.written());
      }
    }
  }
}

std::string Reader::ClassName(std::string_view from_name, std::string_view label,
                              std::string_view where) {
  if (!label_config_) return std::string(label);
  const auto known = class_names_.find(std::pair(std::string(from_name), std::string(label)));
  if (known != class_names_.end()) return known->second;
  findings_.Add("labels that the label config doesn't have, classes all the same",
                StrCat("'", label, "' in ", where));
  return std::string(label);
}

int Reader::ClassIndex(const std::string& name) {
  const auto [known, is_new] = class_index_.emplace(name, static_cast<int>(classes_.size()));
  if (is_new) classes_.push_back(name);
  return known->second;
}

absl::Status Reader::Take(const JsonElement& element) {
  const json::object* const object = element.value.if_object();
  if (element.field.empty() || (element.field == "tasks" && element.of_list)) {
    // Some exports have null for a task that was deleted meanwhile.
    return object == nullptr ? absl::OkStatus() : TakeTask(*object);
  }
  if (element.of_list) {
    if (element.field == "categories") has_categories_ = true;
    if (element.field == "annotations" || element.field == "completions") {
      single_annotations_.push_back(json::value(element.value, json::storage_ptr()));
      single_["annotations"] = nullptr;
    }
  } else if (element.field == "id" || element.field == "data") {
    single_[element.field] = json::value(element.value, json::storage_ptr());
  }
  return absl::OkStatus();
}

absl::Status Reader::TakeTask(const json::object& task) {
  ++tasks_;
  if (IsMinimal(task)) return TakeMinimal(task);
  std::string id = IdField(task, "id");
  if (id.empty()) id = StrCat(tasks_);  // tasks that were never imported have none
  const std::string where = StrCat("task ", id);
  const json::object* const data = ObjectField(task, "data");
  const json::array* const annotations = AnnotationsOf(task);
  if (data == nullptr || annotations == nullptr) {
    return absl::InvalidArgumentError(
        StrCat(where, " has no ", data == nullptr ? "'data'" : "'annotations'",
               "; needed: Label Studio's export as JSON, or tasks with their annotations"));
  }
  const json::object* const annotation = NewestAnnotation(*annotations);
  if (annotation == nullptr) {
    findings_.Add(annotations->empty() ? "tasks without an annotation, left out"
                                       : "tasks that were skipped, left out",
                  where);
    return absl::OkStatus();
  }
  return AddSamples(id, *data, IdField(*annotation, "id"), *ListField(*annotation, "result"));
}

absl::Status Reader::TakeMinimal(const json::object& record) {
  const std::string id = IdField(record, "id");
  const auto age = [](const json::object& one) {
    return std::tuple(TextField(one, "created_at"), IdField(one, "annotation_id"));
  };
  const auto [known, is_new] = newest_minimal_.emplace(id, json::object());
  if (is_new) minimal_tasks_.push_back(id);
  if (is_new || age(known->second) < age(record)) {
    known->second = json::object(record, json::storage_ptr());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<TaskImage>> Reader::ImagesOf(const std::string& where,
                                                        const json::object& data) {
  if (!label_config_) return GuessImages(where, data);
  const auto named = [&where](const absl::Status& status) {
    return absl::InvalidArgumentError(StrCat(where, ": ", status.message()));
  };
  std::vector<ImageTag> tags = label_config_->images;
  if (label_config_->depends_on_task) {
    absl::StatusOr<label_studio::LabelConfig> config =
        label_studio::ParseLabelConfig(options_.label_config, data);
    if (!config.ok()) return named(config.status());
    AddNames(*config);
    tags = std::move(config->images);
  }
  std::vector<TaskImage> images;
  for (const ImageTag& tag : tags) {
    absl::StatusOr<std::vector<std::string>> uris = label_studio::ImageUris(tag, data);
    if (!uris.ok()) return named(uris.status());
    for (std::size_t i = 0; i < uris->size(); ++i) {
      images.push_back({tag.name, static_cast<int>(i), std::move((*uris)[i])});
    }
  }
  return images;
}

absl::StatusOr<std::vector<TaskImage>> Reader::GuessImages(const std::string& where,
                                                           const json::object& data) const {
  std::vector<std::pair<std::string, std::vector<TaskImage>>> fields;
  for (const auto& [key, value] : data) {
    std::vector<TaskImage> images;
    const auto add = [&images](const json::value& one) {
      const json::string* const text = one.if_string();
      if (text == nullptr || !LooksLikeImage({text->data(), text->size()})) return;
      images.push_back({"", static_cast<int>(images.size()), std::string(*text)});
    };
    if (const json::array* const list = value.if_array()) {
      for (const json::value& one : *list) add(one);
      if (images.size() != list->size()) images.clear();
    } else {
      add(value);
    }
    if (!images.empty()) fields.emplace_back(key, std::move(images));
  }
  if (fields.size() == 1) return std::move(fields.front().second);
  std::string names;
  for (const auto& [name, images] : fields) {
    if (name == "image") return images;
    text::StrAppend(&names, names.empty() ? "" : ", ", name);
  }
  return absl::InvalidArgumentError(StrCat(
      where,
      fields.empty() ? ": no field of its 'data' looks like an image"
                     : StrCat(": several fields of its 'data' look like images (", names, ")"),
      "; give the label config, which says what is the image"));
}

Regions Reader::TakeRegionsOf(const TaskImage& image, Regions* drawn) const {
  Regions mine{.regions = {}, .relations = drawn->relations};
  std::vector<Region> others;
  for (Region& region : drawn->regions) {
    const bool same_tag =
        image.to_name.empty() || region.to_name.empty() || region.to_name == image.to_name;
    (same_tag && region.item_index == image.item_index ? mine.regions : others)
        .push_back(std::move(region));
  }
  drawn->regions = std::move(others);
  return mine;
}

void Reader::AddObjects(std::vector<Region> regions, Sample* sample) {
  for (Region& region : regions) {
    const std::string where = StrCat("region '", region.id, "' of task ", sample->id);
    if (sample->size == vision::Size{}) sample->size = region.size;
    if (region.size != sample->size) {
      findings_.Add("regions whose image had another size than for the first region, left out",
                    where);
      continue;
    }
    if (region.labels.empty() && !options_.unlabeled_class.empty()) {
      region.labels = {options_.unlabeled_class};
    }
    if (region.labels.empty()) findings_.Add("regions without a label, left out", where);
    if (region.labels.size() > 1) {
      findings_.Add("regions with several labels, an object for each", where);
    }
    for (const std::string& label : region.labels) {
      Object& object = sample->objects.emplace_back();
      object.class_index = ClassIndex(label);
      object.box = region.box;
      object.rotated_box = region.rotated_box;
      object.mask = region.mask;
      object.area = region.mask          ? static_cast<double>(vision::Area(*region.mask))
                    : region.rotated_box ? static_cast<double>(region.rotated_box->width) *
                                               region.rotated_box->height
                                         : vision::BoxArea(region.box);
    }
  }
}

absl::Status Reader::AddSamples(const std::string& task_id, const json::object& data,
                                const std::string& annotation_id, const json::array& results) {
  const std::string where = StrCat("task ", task_id);
  absl::StatusOr<std::vector<TaskImage>> images = ImagesOf(where, data);
  if (!images.ok()) return images.status();
  const auto names = [&](std::string_view from_name, std::string_view label) {
    return ClassName(from_name, label, where);
  };
  Regions drawn = ReadRegions(results, names, where, &findings_);
  if (!label_config_) {
    for (const Region& region : drawn.regions) {
      if (region.to_name != drawn.regions.front().to_name) {
        return absl::InvalidArgumentError(
            StrCat(where, ": has regions on several images ('", drawn.regions.front().to_name,
                   "', '", region.to_name, "'); give the label config, which says where they are"));
      }
    }
  }
  for (const TaskImage& image : *images) {
    Sample& sample = samples_.emplace_back();
    sample.id = task_id;
    if (images->size() > 1) {
      const bool several_tags = images->front().to_name != images->back().to_name;
      text::StrAppend(&sample.id, several_tags ? StrCat("/", image.to_name) : "", "/",
                      image.item_index);
    }
    sample.annotation_id = annotation_id;
    sample.image = image.uri;
    AddObjects(JoinRegions(TakeRegionsOf(image, &drawn), options_.min_join_iou), &sample);
  }
  for (const Region& region : drawn.regions) {
    findings_.Add("regions on images that the task doesn't have, left out",
                  StrCat("region '", region.id, "' of ", where));
  }
  return absl::OkStatus();
}

absl::StatusOr<Dataset> Reader::Finish() {
  if (single_.contains("data") && single_.contains("annotations")) {
    single_["annotations"] = std::move(single_annotations_);
    if (absl::Status status = TakeTask(single_); !status.ok()) return status;
  }
  for (const std::string& id : minimal_tasks_) {
    json::object data;
    const json::object& record = newest_minimal_[id];
    const json::array results = ResultsOfMinimal(record, &data);
    absl::Status status = AddSamples(id, data, IdField(record, "annotation_id"), results);
    if (!status.ok()) return status;
  }
  if (samples_.empty()) {
    if (tasks_ > 0)
      return absl::InvalidArgumentError(StrCat("none of ", tasks_, " tasks is annotated"));
    return absl::InvalidArgumentError(
        StrCat("has no tasks: needed is Label Studio's export JSON or JSON-MIN",
               has_categories_ ? ", and this looks like COCO's or YOLO's" : ""));
  }

  return NameClasses();
}

absl::StatusOr<Dataset> Reader::NameClasses() {
  std::vector<std::string> order = options_.classes;
  if (order.empty()) {
    order = classes_;
    // By name, so that the order of the tasks doesn't matter.
    std::sort(order.begin() + static_cast<std::ptrdiff_t>(configured_), order.end());
  }
  if (absl::Status status = CheckClasses(order); !status.ok()) return status;
  if (order.empty()) {
    return absl::InvalidArgumentError(
        "no region has a label; name a class for regions without one, or label them");
  }
  absl::flat_hash_map<std::string, int> place;
  for (std::size_t i = 0; i < order.size(); ++i) place.emplace(order[i], static_cast<int>(i));
  for (Sample& sample : samples_) {
    auto& objects = sample.objects;
    for (Object& object : objects) {
      const auto at = place.find(classes_[static_cast<std::size_t>(object.class_index)]);
      object.class_index = at == place.end() ? -1 : at->second;
    }
    objects.erase(std::remove_if(objects.begin(), objects.end(),
                                 [](const Object& object) { return object.class_index < 0; }),
                  objects.end());
  }
  return Dataset{std::move(order), std::move(samples_)};
}

}  // namespace

absl::StatusOr<Dataset> ReadLabelStudio(std::string_view json,
                                        const LabelStudioReadOptions& options, Findings* findings) {
  Reader reader(options, findings);
  absl::Status status = reader.ReadLabelConfig();
  if (!status.ok()) return status;
  status = ReadJsonElements(json, [&](const JsonElement& element) { return reader.Take(element); });
  if (!status.ok()) return status;
  return reader.Finish();
}

}  // namespace dataset
