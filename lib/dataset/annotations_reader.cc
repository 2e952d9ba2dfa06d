#include "dataset/annotations_reader.h"

#include <absl/status/status.h>

#include <optional>
#include <utility>

#include "dataset/coco_reader.h"
#include "dataset/json_elements.h"
#include "text/str_cat.h"

namespace dataset {

bool IsCoco(std::string_view json) {
  std::optional<bool> coco;
  // The first part that tells ends the reading, by an error that is nobody's business.
  ReadJsonElements(json, [&coco](const JsonElement& element) -> absl::Status {
    const std::string_view field = element.field;
    // A task has "annotations", too, but behind its "id".
    if (field == "" || field == "id" || field == "data" || field == "tasks") coco = false;
    if (field == "images" || field == "annotations" || field == "categories") coco = true;
    return coco ? absl::CancelledError() : absl::OkStatus();
  }).IgnoreError();
  // Empty lists have no parts.
  return coco.value_or(json.find("\"images\"") != std::string_view::npos);
}

absl::StatusOr<Dataset> ReadAnnotations(std::string_view json,
                                        const LabelStudioReadOptions& options, Findings* findings) {
  if (!IsCoco(json)) return ReadLabelStudio(json, options, findings);
  for (const auto& [name, value] : {std::pair("label_config", &options.label_config),
                                    std::pair("unlabeled_class", &options.unlabeled_class)}) {
    if (value->empty()) continue;
    return absl::InvalidArgumentError(text::StrCat("is COCO, whose classes are its categories; --",
                                                   name, " is for Label Studio's annotations"));
  }
  return ReadCoco(json, {.classes = options.classes, .boxes_as_written = true}, findings);
}

}  // namespace dataset
