#include <absl/functional/function_ref.h>
#include <absl/strings/numbers.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bulk/output.h"
#include "bulk/text_file_writer.h"
#include "dataset/coco_writer.h"
#include "dataset/label_studio_writer.h"
#include "hash/fnv.h"
#include "label_studio/json_text.h"
#include "label_studio/result.h"
#include "prelabel/project.h"
#include "text/str_cat.h"
#include "text/url.h"

namespace bulk {
namespace {

using duet::bulk::v1::Record;

// A label config whose only image comes from one field of a task's data.
struct Target {
  std::shared_ptr<prelabel::Project> project;
  std::shared_ptr<const prelabel::PlannedConfig> planned;
  std::string data_field;
};

absl::StatusOr<Target> MakeTarget(const Head& head) {
  Target target;
  auto project = prelabel::Project::Create(head.label_config, head.settings);
  if (!project.ok()) return project.status();
  target.project = *std::move(project);
  auto planned = target.project->PlanFor(head.models(), {});
  if (!planned.ok()) return planned.status();
  target.planned = *std::move(planned);
  auto field = dataset::DataField(*target.planned->config);
  if (!field.ok()) return field.status();
  target.data_field = *std::move(field);
  if (const auto review = target.project->ReviewFor(head.models()); !review.status.ok()) {
    return review.status;
  }
  return target;
}

void AppendTask(const Target& target, const OutputOptions& options, const Item& item,
                const label_studio::Regions& regions, std::string_view version, std::string* json) {
  const bool is_list = target.planned->config->images.front().is_list;
  json->append("{\"data\":{");
  label_studio::AppendJsonString(target.data_field, json);
  json->append(is_list ? ":[" : ":");
  dataset::AppendJsonFileName(options.image_prefix.empty()
                                  ? item.name
                                  : options.image_prefix + text::PercentEncode(item.name, "/"),
                              json);
  text::StrAppend(json, is_list ? "]}," : "},", "\"predictions\":[",
                  label_studio::PredictionJson(regions, version), "]}");
}

// Calls `on_regions` for each image that has a result.
absl::Status ForEachRegions(
    const Results& results, const Target& target, dataset::Findings* findings,
    absl::FunctionRef<absl::Status(const Item&, const label_studio::Regions&)> on_regions) {
  const label_studio::EmissionPlan& plan = target.planned->plans.front();
  const int item_index = target.planned->config->images.front().is_list ? 0 : -1;
  return results.folder.ForEachResult(
      results.count, [&](const Item& item, const Record& record) -> absl::Status {
        if (!record.has_found()) return absl::OkStatus();
        const auto objects = ToLabelStudioObjects(record.found(), results.head);
        if (!objects.ok()) return objects.status();
        // The same image gets regions of the same ids in every run, whichever part of it is made
        // where and when.
        const label_studio::Regions regions = label_studio::MakeRegions(
            plan,
            {static_cast<int>(record.found().width()), static_cast<int>(record.found().height())},
            *objects, item_index, hash::Fnv1a(item.id, hash::Fnv1a(item.name)));
        for (const std::string& name : regions.unmatched_classes) {
          findings->Add("images with objects that the label config has no label for, left out",
                        text::StrCat("'", name, "' on '", Shown(item.name), "'"));
        }
        return on_regions(item, regions);
      });
}

// Stores the predictions in the project, some at a time.
absl::Status StorePredictions(const Results& results, const Target& target,
                              const OutputOptions& options, dataset::Findings* findings) {
  constexpr std::size_t kMaxPredictions = 100;
  constexpr std::size_t kMaxBytes = std::size_t{4} << 20;
  const std::string version = target.project->ModelVersion(results.head.models());
  LabelStudioProject::Predictions batch;
  std::vector<Item> items;  // whose predictions these are
  std::size_t bytes = 0;
  const auto store = [&]() -> absl::Status {
    if (batch.empty()) return absl::OkStatus();
    const auto refused = options.project->Store(batch, version, options.patience);
    if (!refused.ok()) return refused.status();
    for (const auto& [task, why] : *refused) {
      for (std::size_t i = 0; i < batch.size(); ++i) {
        if (batch[i].first == task && options.on_refused) options.on_refused(items[i], why);
      }
    }
    batch.clear();
    items.clear();
    bytes = 0;
    return absl::OkStatus();
  };
  absl::Status status = ForEachRegions(
      results, target, findings,
      [&](const Item& item, const label_studio::Regions& regions) -> absl::Status {
        std::int64_t task = 0;
        if (!absl::SimpleAtoi(item.id, &task)) {
          return absl::DataLossError(text::StrCat("'", Shown(item.name), "' has no task"));
        }
        batch.emplace_back(task, label_studio::PredictionJson(regions, version));
        items.push_back(item);
        bytes += batch.back().second.size();
        return batch.size() == kMaxPredictions || bytes >= kMaxBytes ? store() : absl::OkStatus();
      });
  return status.ok() ? store() : status;
}

}  // namespace

absl::StatusOr<ClassNames> LabelStudioMaskedClasses(const Head& head) {
  const absl::StatusOr<Target> target = MakeTarget(head);
  if (!target.ok()) {
    return absl::Status(target.status().code(),
                        text::StrCat("--label_config: ", target.status().message()));
  }
  // As the gateway does it: if any region is made of masks, all objects with a label get one, since
  // the masks of one call differ in their last bits by what else is asked in it.
  const label_studio::EmissionPlan& plan = target->planned->plans.front();
  ClassNames classes;
  for (const std::string& name : head.detector->classes) {
    if (plan.needs_masks() && !plan.TargetsOf(name).empty()) classes.insert(name);
  }
  return classes;
}

absl::Status WriteLabelStudioOutput(const Results& results, const OutputOptions& options,
                                    dataset::Findings* findings) {
  const absl::StatusOr<Target> target = MakeTarget(results.head);
  if (!target.ok()) return target.status();
  if (options.project != nullptr) return StorePredictions(results, *target, options, findings);
  absl::StatusOr<TextFileWriter> file = TextFileWriter::Create(options.out);
  if (!file.ok()) return file.status();
  const std::string version = target->project->ModelVersion(results.head.models());
  std::string json = "[\n";
  bool first = true;
  absl::Status status = ForEachRegions(
      results, *target, findings, [&](const Item& item, const label_studio::Regions& regions) {
        if (!first) json.append(",\n");
        first = false;
        AppendTask(*target, options, item, regions, version, &json);
        file->Append(json);
        json.clear();
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  json.append("\n]\n");
  file->Append(json);
  return file->Commit();
}

}  // namespace bulk
