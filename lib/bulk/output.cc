#include "bulk/output.h"

#include <algorithm>
#include <array>
#include <utility>

#include "bulk/text_file_writer.h"
#include "dataset/coco_writer.h"
#include "label_studio/json_text.h"
#include "text/str_cat.h"
#include "vision/box.h"
#include "vision/mask_rle.h"

namespace bulk {
namespace {

using duet::bulk::v1::Found;

absl::Status Damaged() {
  return absl::DataLossError(
      "the journal has an object that no run writes; delete it to begin anew");
}

absl::StatusOr<vision::Box> BoxOf(const duet::bulk::v1::Object& object) {
  if (object.box_size() != 4) return Damaged();
  return vision::Box{object.box(0), object.box(1), object.box(2), object.box(3)};
}

std::optional<vision::RotatedBox> RotatedBoxOf(const duet::bulk::v1::Object& object) {
  const auto& box = object.rotated_box();
  if (box.size() != 5) return std::nullopt;
  return vision::RotatedBox{
      .center = {box[0], box[1]}, .width = box[2], .height = box[3], .angle = box[4]};
}

absl::StatusOr<std::optional<vision::Mask>> MaskOf(const Found& found,
                                                   const duet::bulk::v1::Object& object) {
  if (object.mask().empty()) return std::nullopt;
  auto mask = vision::DecodeCocoRle(
      {static_cast<int>(found.width()), static_cast<int>(found.height())}, object.mask());
  if (!mask.ok()) return Damaged();
  return *std::move(mask);
}

}  // namespace

absl::Span<const OutputFormat> OutputFormats() {
  static constexpr std::array<OutputFormat, 6> kFormats = {{
      {.name = "coco", .write = WriteCocoOutput},
      {.name = "label-studio",
       .needs_label_config = true,
       .masked_classes = LabelStudioMaskedClasses,
       .write = WriteLabelStudioOutput},
      {.name = "yolo", .is_folder = true, .write = WriteYoloOutput},
      {.name = "voc", .is_folder = true, .write = WriteVocOutput},
      {.name = "dota", .is_folder = true, .write = WriteDotaOutput},
      {.name = "png", .is_folder = true, .needs_masks = true, .write = WritePngOutput},
  }};
  return kFormats;
}

const OutputFormat& NoOutput() {
  static constexpr OutputFormat kNone = {
      .name = "none",
      .writes_nothing = true,
      .write = [](const Results&, const OutputOptions&, dataset::Findings*) {
        return absl::OkStatus();
      }};
  return kNone;
}

const OutputFormat* FindOutputFormat(std::string_view name) {
  for (const OutputFormat& format : OutputFormats()) {
    if (format.name == name) return &format;
  }
  return nullptr;
}

absl::StatusOr<std::vector<dataset::Object>> ToDatasetObjects(const Found& found) {
  std::vector<dataset::Object> objects;
  for (const duet::bulk::v1::Object& from : found.objects()) {
    const auto box = BoxOf(from);
    if (!box.ok()) return box.status();
    auto mask = MaskOf(found, from);
    if (!mask.ok()) return mask.status();
    dataset::Object object{.class_index = static_cast<int>(from.class_index()),
                           .box = *box,
                           .rotated_box = RotatedBoxOf(from)};
    // A mask without a pixel is no outline of anything.
    if (*mask && !(*mask)->spans.empty()) object.mask = **std::move(mask);
    object.area =
        object.mask ? static_cast<double>(vision::Area(*object.mask)) : vision::BoxArea(*box);
    objects.push_back(std::move(object));
  }
  return objects;
}

absl::StatusOr<std::vector<label_studio::Object>> ToLabelStudioObjects(const Found& found,
                                                                       const Head& head) {
  std::vector<label_studio::Object> objects;
  for (const duet::bulk::v1::Object& from : found.objects()) {
    const auto box = BoxOf(from);
    if (!box.ok()) return box.status();
    auto mask = MaskOf(found, from);
    if (!mask.ok()) return mask.status();
    if (from.class_index() >= head.detector->classes.size()) return Damaged();
    objects.push_back({.class_name = head.detector->classes[from.class_index()],
                       .score = from.score(),
                       .box = *box,
                       .rotated_box = RotatedBoxOf(from),
                       .mask = *std::move(mask),
                       .mask_score = from.mask_score()});
  }
  return objects;
}

std::string FailuresPath(const std::string& out) { return WithoutSlashes(out) + ".failures.jsonl"; }

absl::Status WriteFailures(const Results& results, absl::Span<const ItemFailure> more,
                           const std::string& path) {
  absl::StatusOr<TextFileWriter> file = TextFileWriter::Create(path);
  if (!file.ok()) return file.status();
  const auto append = [&](const Item& item, const duet::bulk::v1::Failure& failure) {
    std::string line = "{\"image\":";
    dataset::AppendJsonFileName(item.name, &line);
    line.append(",\"kind\":");
    label_studio::AppendJsonString(failure.kind(), &line);
    line.append(",\"error\":");
    label_studio::AppendJsonString(failure.message(), &line);
    line.append("}\n");
    file->Append(line);
  };
  absl::Status status = results.folder.ForEachResult(
      results.count, [&](const Item& item, const duet::bulk::v1::Record& record) {
        if (record.has_failure()) append(item, record.failure());
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  for (const ItemFailure& one : more) append(one.item, one.failure);
  return file->Commit();
}

}  // namespace bulk
