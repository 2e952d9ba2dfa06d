#include "dataset/label_studio_writer.h"

#include <absl/status/status.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "label_studio/json_text.h"
#include "label_studio/label_config.h"
#include "label_studio/result.h"
#include "label_studio/task_data.h"
#include "text/str_cat.h"
#include "text/url.h"

namespace dataset {
namespace {

using label_studio::AppendJsonString;
using text::StrCat;

class Writer {
 public:
  Writer(const Dataset& dataset, const LabelStudioWriteOptions& options, std::string data_field,
         const label_studio::LabelConfig& config, label_studio::EmissionPlan plan,
         Findings* findings)
      : dataset_(dataset),
        options_(options),
        data_field_(std::move(data_field)),
        is_list_(config.images.front().is_list),
        plan_(std::move(plan)),
        findings_(*findings) {}

  void AppendTask(const Sample& sample, std::string* json);

 private:
  std::vector<label_studio::Object> ObjectsOf(const Sample& sample, std::string_view where);

  const Dataset& dataset_;
  const LabelStudioWriteOptions& options_;
  const std::string data_field_;
  const bool is_list_;
  const label_studio::EmissionPlan plan_;
  Findings& findings_;
};

std::vector<label_studio::Object> Writer::ObjectsOf(const Sample& sample, std::string_view where) {
  std::vector<label_studio::Object> objects;
  for (const Object& object : sample.objects) {
    if (object.crowd) {
      findings_.Add("crowds, which Label Studio has no regions for, left out", where);
      continue;
    }
    if (object.ignore) {
      findings_.Add("objects marked 'ignore', which Label Studio has no mark for, left out", where);
      continue;
    }
    if (object.mask && !plan_.needs_masks()) {
      findings_.Add("masks that the label config has no place for, left out", where);
    }
    objects.push_back({.class_name = dataset_.classes[static_cast<std::size_t>(object.class_index)],
                       .score = 1,
                       .box = object.box,
                       .rotated_box = object.rotated_box,
                       .mask = object.mask,
                       .mask_score = 1});
  }
  return objects;
}

void Writer::AppendTask(const Sample& sample, std::string* json) {
  const std::string where = StrCat("'", sample.image, "'");
  const label_studio::Regions regions =
      label_studio::MakeRegions(plan_, sample.size, ObjectsOf(sample, where), is_list_ ? 0 : -1);
  for (const std::string& name : regions.unmatched_classes) {
    findings_.Add("images with objects that the label config has no label for, left out",
                  StrCat("'", name, "' on ", where));
  }
  json->append("{\"data\":{");
  AppendJsonString(data_field_, json);
  json->append(is_list_ ? ":[" : ":");
  AppendJsonString(options_.image_prefix.empty()
                       ? sample.image
                       : options_.image_prefix + text::PercentEncode(sample.image, "/"),
                   json);
  json->append(is_list_ ? "]}," : "},");
  if (options_.predictions) {
    text::StrAppend(json, "\"predictions\":[",
                    label_studio::PredictionJson(regions, options_.model_version), "]}");
  } else {
    text::StrAppend(json, "\"annotations\":[{\"result\":[", regions.json, "]}]}");
  }
}

}  // namespace

absl::StatusOr<std::string> DataField(const label_studio::LabelConfig& config) {
  if (config.depends_on_task) {
    return absl::InvalidArgumentError(
        "the label config takes images or labels from the tasks; needed: one that has them itself");
  }
  if (config.images.size() != 1) {
    return absl::InvalidArgumentError(
        StrCat("the label config has ", config.images.size(), " images; needed: one"));
  }
  const std::string& value = config.images.front().value;
  const std::optional<std::string_view> path = label_studio::PathOf(value);
  if (!path || path->find_first_of(".[]{}") != std::string_view::npos) {
    return absl::InvalidArgumentError(
        StrCat("the label config's image has value=\"", value,
               "\"; needed: the name of one field, as value=\"$image\""));
  }
  return std::string(*path);
}

absl::StatusOr<std::string> WriteLabelStudioTasks(const Dataset& dataset,
                                                  const LabelStudioWriteOptions& options,
                                                  Findings* findings) {
  absl::StatusOr<label_studio::LabelConfig> config =
      label_studio::ParseLabelConfig(options.label_config);
  if (!config.ok()) return config.status();
  absl::StatusOr<std::string> data_field = DataField(*config);
  if (!data_field.ok()) return data_field.status();
  absl::StatusOr<label_studio::Outputs> outputs = label_studio::ParseOutputs(options.outputs);
  if (!outputs.ok()) return outputs.status();
  Writer writer(dataset, options, *std::move(data_field), *config,
                label_studio::EmissionPlan::Make(*config, config->images.front(), dataset.classes,
                                                 {.outputs = *outputs}),
                findings);
  std::string json = "[";
  for (const Sample& sample : dataset.samples) {
    if (json.size() > 1) json.push_back(',');
    json.push_back('\n');
    writer.AppendTask(sample, &json);
  }
  json.append("\n]\n");
  return json;
}

}  // namespace dataset
