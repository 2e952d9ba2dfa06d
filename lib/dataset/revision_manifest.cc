#include "dataset/revision_manifest.h"

#include <absl/status/status.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "dataset/json_elements.h"
#include "label_studio/json_fields.h"
#include "label_studio/json_text.h"
#include "text/str_cat.h"

namespace dataset {
namespace {

namespace json = boost::json;
using label_studio::AppendJsonString;
using label_studio::TextField;

constexpr std::string_view kFormat = "duet-revision-1";

std::string_view NameOf(Side side) { return side == Side::kTrain ? "train" : "validation"; }

void AppendField(std::string_view name, std::string_view value, std::string* text) {
  AppendJsonString(name, text);
  text->push_back(':');
  AppendJsonString(value, text);
}

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(text::StrCat("the manifest ", what));
}

bool IsSha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

absl::StatusOr<Side> ParseSide(std::string_view text) {
  if (text == NameOf(Side::kTrain)) return Side::kTrain;
  if (text == NameOf(Side::kValidation)) return Side::kValidation;
  return Damaged(text::StrCat("has a side '", text, "'; known: train, validation"));
}

absl::StatusOr<ManifestEntry> ParseEntry(const json::value& value) {
  const json::object* const object = value.if_object();
  if (object == nullptr) return Damaged("has a sample that is no object");
  ManifestEntry entry;
  entry.task_id = TextField(*object, "task");
  entry.annotation_id = TextField(*object, "annotation");
  entry.annotation_sha256 = TextField(*object, "annotation_sha256");
  entry.image = TextField(*object, "image");
  entry.image_sha256 = TextField(*object, "image_sha256");
  if (!IsSha256(entry.image_sha256) ||
      !entry.image.starts_with(text::StrCat("images/", entry.image_sha256, ".")) ||
      entry.image.find('/', 7) != std::string::npos) {
    return Damaged(text::StrCat("has an image '", entry.image, "' that isn't named by its hash"));
  }
  absl::StatusOr<Side> side = ParseSide(TextField(*object, "side"));
  if (!side.ok()) return side.status();
  entry.side = *side;
  return entry;
}

absl::Status ParseLists(const json::object& object, Manifest* manifest) {
  const json::value* const classes = object.if_contains("classes");
  const json::value* const samples = object.if_contains("samples");
  const json::value* const former = object.if_contains("former_sides");
  if (classes == nullptr || !classes->is_array() || samples == nullptr || !samples->is_array() ||
      former == nullptr || !former->is_object()) {
    return Damaged("lacks classes, samples or former_sides");
  }
  for (const json::value& name : classes->get_array()) {
    if (!name.is_string()) return Damaged("has a class that is no text");
    manifest->classes.emplace_back(name.get_string());
  }
  for (const json::value& sample : samples->get_array()) {
    absl::StatusOr<ManifestEntry> entry = ParseEntry(sample);
    if (!entry.ok()) return entry.status();
    manifest->samples.push_back(*std::move(entry));
  }
  for (const auto& [identity, value] : former->get_object()) {
    absl::StatusOr<Side> side = ParseSide(
        value.is_string() ? std::string_view(value.get_string().data(), value.get_string().size())
                          : std::string_view());
    if (!side.ok()) return side.status();
    manifest->former_sides.emplace(identity, *side);
  }
  return absl::OkStatus();
}

}  // namespace

std::string ManifestText(const Manifest& manifest) {
  std::string text = "{";
  AppendField("format", kFormat, &text);
  text.append(",\n\"classes\":[");
  for (std::size_t i = 0; i < manifest.classes.size(); ++i) {
    if (i > 0) text.push_back(',');
    AppendJsonString(manifest.classes[i], &text);
  }
  text.append("],\n");
  AppendField("train_sha256", manifest.train_sha256, &text);
  text.append(",\n");
  AppendField("validation_sha256", manifest.validation_sha256, &text);
  text.append(",\n\"samples\":[");
  for (std::size_t i = 0; i < manifest.samples.size(); ++i) {
    const ManifestEntry& entry = manifest.samples[i];
    text.append(i == 0 ? "\n{" : ",\n{");
    AppendField("task", entry.task_id, &text);
    text.push_back(',');
    AppendField("annotation", entry.annotation_id, &text);
    text.push_back(',');
    AppendField("annotation_sha256", entry.annotation_sha256, &text);
    text.push_back(',');
    AppendField("image", entry.image, &text);
    text.push_back(',');
    AppendField("image_sha256", entry.image_sha256, &text);
    text.push_back(',');
    AppendField("side", NameOf(entry.side), &text);
    text.push_back('}');
  }
  text.append("],\n\"former_sides\":{");
  bool first = true;
  for (const auto& [identity, side] : manifest.former_sides) {
    text.append(first ? "\n" : ",\n");
    first = false;
    AppendField(identity, NameOf(side), &text);
  }
  text.append("}}\n");
  return text;
}

absl::StatusOr<Manifest> ParseManifest(std::string_view text) {
  json::error_code error;
  const json::value value = json::parse({text.data(), text.size()}, error);
  if (error || !value.is_object()) return Damaged("is not a JSON object");
  const json::object& object = value.get_object();
  if (TextField(object, "format") != kFormat) {
    return Damaged(text::StrCat("has the format '", TextField(object, "format"),
                                "'; this version reads '", kFormat, "'"));
  }
  Manifest manifest;
  manifest.train_sha256 = TextField(object, "train_sha256");
  manifest.validation_sha256 = TextField(object, "validation_sha256");
  if (absl::Status status = ParseLists(object, &manifest); !status.ok()) return status;
  return manifest;
}

}  // namespace dataset
