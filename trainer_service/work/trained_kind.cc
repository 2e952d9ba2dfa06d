#include "trainer_service/work/trained_kind.h"

#include <algorithm>
#include <filesystem>

#include "text/str_cat.h"

namespace trainer_service {
namespace {

using model_store::Kind;

bool IsUsable(const dataset::Object& object, Kind kind) {
  return !object.crowd && (kind == Kind::kDetector || object.mask.has_value());
}

}  // namespace

std::string_view TrainCommand(Kind kind) { return kind == Kind::kSegmenter ? "segmenter" : ""; }

bool KnowsClasses(Kind kind) { return kind == Kind::kDetector; }

std::string_view KindFlag(Kind kind) { return kind == Kind::kSegmenter ? " --kind=segmenter" : ""; }

std::string LooksPath(Kind kind, const std::string& project_folder) {
  return text::StrCat(project_folder,
                      kind == Kind::kSegmenter ? "/looks_segmenter.json" : "/looks.json");
}

Usable UsableOf(const dataset::Revision& revision, dataset::Side side, Kind kind) {
  Usable usable;
  for (std::size_t i = 0; i < revision.sides.size(); ++i) {
    if (revision.sides[i] != side) continue;
    const dataset::Sample& sample = revision.dataset.samples[i];
    const auto objects = static_cast<std::size_t>(
        std::count_if(sample.objects.begin(), sample.objects.end(),
                      [&](const dataset::Object& object) { return IsUsable(object, kind); }));
    usable.objects += objects;
    // An image on which nothing is tells a detector something.
    if (kind == Kind::kSegmenter && objects == 0) continue;
    // Frozen images are called by their hash.
    usable.images.push_back(std::filesystem::path(sample.image).stem().string());
  }
  return usable;
}

absl::Status CheckUsable(std::uint64_t project, const dataset::Revision& revision, Kind kind) {
  if (kind != Kind::kSegmenter) return absl::OkStatus();
  if (!UsableOf(revision, dataset::Side::kTrain, kind).images.empty()) return absl::OkStatus();
  const std::size_t compared = UsableOf(revision, dataset::Side::kValidation, kind).objects;
  return absl::FailedPreconditionError(
      compared == 0
          ? text::StrCat("project ", project,
                         " has no mask that a segmenter could learn from; needed: brush strokes, "
                         "polygons or ellipses with a label")
          : text::StrCat("all ", compared, " masks of project ", project,
                         " are on images that models are compared on; needed: more images with "
                         "masks"));
}

}  // namespace trainer_service
