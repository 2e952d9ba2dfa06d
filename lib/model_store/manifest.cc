#include "model_store/manifest.h"

#include <absl/status/status.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "model_store/json_object.h"
#include "text/str_cat.h"

namespace model_store {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kFormat = 1;

constexpr Verdict::Outcome kOutcomes[] = {Verdict::Outcome::kBetter, Verdict::Outcome::kNotBetter,
                                          Verdict::Outcome::kUndecided};

bool IsSha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string VerdictText(const Verdict& verdict) {
  return text::StrCat(
      "{\"outcome\": ", Quoted(NameOf(verdict.outcome)), ", \"reason\": ", Quoted(verdict.reason),
      ", \"old_score\": ", verdict.old_score, ", \"new_score\": ", verdict.new_score,
      ", \"images_needed\": ", verdict.images_needed, "}");
}

std::string ClassesText(const std::vector<std::string>& classes) {
  std::string text = "[";
  for (const std::string& name : classes) {
    text::StrAppend(&text, text.size() == 1 ? "" : ", ", Quoted(name));
  }
  return text + "]";
}

std::string FilesText(const std::vector<StoredFile>& files) {
  std::string text = "[";
  for (const StoredFile& file : files) {
    text::StrAppend(&text, text.size() == 1 ? "\n" : ",\n", "  {\"name\": ", Quoted(file.name),
                    ", \"bytes\": ", file.bytes, ", \"sha256\": ", Quoted(file.sha256), "}");
  }
  return text + "]";
}

absl::StatusOr<Verdict> ParseVerdict(const json::value& value) {
  const json::object* const object = value.if_object();
  if (object == nullptr) return absl::DataLossError("'verdict' is no object");
  Verdict verdict;
  std::string outcome;
  absl::Status status = ReadField(*object, "outcome", &outcome);
  if (status.ok()) status = ReadField(*object, "reason", &verdict.reason);
  if (status.ok()) status = ReadField(*object, "old_score", &verdict.old_score);
  if (status.ok()) status = ReadField(*object, "new_score", &verdict.new_score);
  if (status.ok()) status = ReadField(*object, "images_needed", &verdict.images_needed);
  if (!status.ok()) return status;
  const auto* const found = std::find_if(std::begin(kOutcomes), std::end(kOutcomes),
                                         [&](auto one) { return NameOf(one) == outcome; });
  if (found == std::end(kOutcomes)) {
    return absl::DataLossError("'outcome' is none of better, not_better, undecided");
  }
  verdict.outcome = *found;
  return verdict;
}

absl::StatusOr<StoredFile> ParseFile(const json::value& value) {
  const json::object* const object = value.if_object();
  if (object == nullptr) return absl::DataLossError("'files' has an element that is no object");
  StoredFile file;
  absl::Status status = ReadField(*object, "name", &file.name);
  if (status.ok()) status = ReadField(*object, "bytes", &file.bytes);
  if (status.ok()) status = ReadField(*object, "sha256", &file.sha256);
  if (!status.ok()) return status;
  if (!IsFileName(file.name)) {
    return absl::DataLossError(text::StrCat("'files' names ", Quoted(file.name),
                                            ", which is no file within the version's folder"));
  }
  if (!IsSha256(file.sha256)) {
    return absl::DataLossError(text::StrCat("'files' has no SHA-256 of ", Quoted(file.name)));
  }
  return file;
}

absl::Status ParseLists(const json::object& object, Manifest* manifest) {
  if (const json::value* const classes = object.if_contains("classes")) {
    if (!classes->is_array()) return absl::DataLossError("'classes' is no list");
    for (const json::value& name : classes->get_array()) {
      if (!name.is_string()) return absl::DataLossError("'classes' has an element that is no text");
      manifest->classes.emplace_back(name.get_string());
    }
  }
  const json::value* const files = object.if_contains("files");
  if (files == nullptr || !files->is_array()) return absl::DataLossError("'files' is no list");
  for (const json::value& value : files->get_array()) {
    absl::StatusOr<StoredFile> file = ParseFile(value);
    if (!file.ok()) return file.status();
    manifest->files.push_back(*std::move(file));
  }
  const bool has_model =
      std::any_of(manifest->files.begin(), manifest->files.end(),
                  [](const StoredFile& file) { return file.name == kModelFile; });
  if (!has_model) return absl::DataLossError(text::StrCat("'files' lacks ", kModelFile));
  return absl::OkStatus();
}

}  // namespace

std::string_view NameOf(Verdict::Outcome outcome) {
  switch (outcome) {
    case Verdict::Outcome::kBetter:
      return "better";
    case Verdict::Outcome::kNotBetter:
      return "not_better";
    case Verdict::Outcome::kUndecided:
      break;
  }
  return "undecided";
}

const StoredFile& Manifest::weights() const {
  return *std::find_if(files.begin(), files.end(),
                       [](const StoredFile& file) { return file.name == kModelFile; });
}

std::string ManifestText(const Manifest& manifest) {
  ObjectWriter writer;
  writer.Add("format", kFormat);
  writer.Add("kind", NameOf(manifest.kind));
  writer.Add("name", manifest.name);
  writer.Add("version", manifest.version);
  writer.Add("parent", manifest.parent);
  writer.Add("created", manifest.created);
  writer.Add("label_studio_url", manifest.label_studio_url);
  writer.Add("project_id", manifest.project_id);
  writer.Add("project_created", manifest.project_created);
  writer.Add("revision", manifest.revision);
  writer.Add("images", manifest.images);
  writer.Add("annotations", manifest.annotations);
  writer.AddJson("classes", ClassesText(manifest.classes));
  if (manifest.verdict) writer.AddJson("verdict", VerdictText(*manifest.verdict));
  writer.Add("seed", manifest.seed);
  writer.AddJson("files", FilesText(manifest.files));
  return writer.Finish();
}

absl::StatusOr<Manifest> ParseManifest(std::string_view text) {
  const absl::StatusOr<json::object> parsed = ParseObject(text);
  if (!parsed.ok()) return parsed.status();
  const json::object& object = *parsed;
  std::uint64_t format = 0;
  absl::Status status = ReadField(object, "format", &format);
  if (!status.ok()) return status;
  if (format > kFormat) {
    return absl::FailedPreconditionError(
        text::StrCat("has format ", format, ", of a later release; this one reads ", kFormat));
  }
  if (format != kFormat) return absl::DataLossError("has no 'format'");
  Manifest manifest;
  std::string kind;
  status = ReadField(object, "kind", &kind);
  if (status.ok()) status = ReadField(object, "name", &manifest.name);
  if (status.ok()) status = ReadField(object, "version", &manifest.version);
  if (status.ok()) status = ReadField(object, "parent", &manifest.parent);
  if (status.ok()) status = ReadField(object, "created", &manifest.created);
  if (status.ok()) status = ReadField(object, "label_studio_url", &manifest.label_studio_url);
  if (status.ok()) status = ReadField(object, "project_id", &manifest.project_id);
  if (status.ok()) status = ReadField(object, "project_created", &manifest.project_created);
  if (status.ok()) status = ReadField(object, "revision", &manifest.revision);
  if (status.ok()) status = ReadField(object, "images", &manifest.images);
  if (status.ok()) status = ReadField(object, "annotations", &manifest.annotations);
  if (status.ok()) status = ReadField(object, "seed", &manifest.seed);
  if (status.ok()) status = ParseLists(object, &manifest);
  if (!status.ok()) return status;
  const std::optional<Kind> known = ParseKind(kind);
  if (!known) return absl::DataLossError("'kind' is neither detector nor segmenter");
  manifest.kind = *known;
  if (const json::value* const verdict = object.if_contains("verdict")) {
    absl::StatusOr<Verdict> read = ParseVerdict(*verdict);
    if (!read.ok()) return read.status();
    manifest.verdict = *std::move(read);
  }
  return manifest;
}

}  // namespace model_store
