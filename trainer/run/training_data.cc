#include "trainer/run/training_data.h"

#include <absl/status/status.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "dataset/annotations_reader.h"
#include "dataset/image_files.h"
#include "files/mapped_file.h"
#include "hash/sha256.h"
#include "text/str_cat.h"
#include "trainer/samples/training_filter.h"

namespace trainer {
namespace {

using text::StrCat;

absl::StatusOr<dataset::Dataset> ReadFile(const char* flag, const std::string& path,
                                          const DataOptions& options,
                                          const std::vector<std::string>& classes,
                                          dataset::Findings* findings) {
  const auto file = files::MappedFile::Open(path);
  if (!file.ok()) {
    return absl::Status(file.status().code(), StrCat("--", flag, ": ", file.status().message()));
  }
  std::string label_config;
  // COCO says its classes itself; by which names a model knows them is asked later (ClassMatch).
  if (!options.label_config.empty() && !dataset::IsCoco((*file)->bytes())) {
    const auto config = files::MappedFile::Open(options.label_config);
    if (!config.ok()) {
      return absl::Status(config.status().code(),
                          StrCat("--label_config: ", config.status().message()));
    }
    label_config = (*config)->bytes();
  }
  absl::StatusOr<dataset::Dataset> data = dataset::ReadAnnotations(
      (*file)->bytes(), {.label_config = std::move(label_config), .classes = classes}, findings);
  if (!data.ok()) {
    return absl::Status(data.status().code(),
                        StrCat("--", flag, "=", path, ": ", data.status().message()));
  }
  return data;
}

// All findings, to be put behind an error.
std::string Reasons(const dataset::Findings& findings) {
  std::string text;
  for (const std::string& line : findings.Lines()) text::StrAppend(&text, "; ", line);
  return text;
}

absl::Status CheckFolders(const DataOptions& options) {
  for (const auto& [flag, folder] : {std::pair("images", &options.images),
                                     std::pair("validation_images", &options.validation_images)}) {
    std::error_code error;
    if (folder == &options.validation_images && folder->empty()) continue;
    if (std::filesystem::is_directory(*folder, error)) continue;
    return absl::NotFoundError(StrCat("--", flag, "=", *folder, ": there is no such folder"));
  }
  if (options.validation.empty() && !options.validation_images.empty()) {
    return absl::InvalidArgumentError("--validation_images is for --validation, which is missing");
  }
  return absl::OkStatus();
}

// Brings `data` to `classes` by their names; objects of others are left out.
void UseClasses(const std::vector<std::string>& classes, dataset::Dataset* data,
                dataset::Findings* findings) {
  std::vector<int> index_of;
  for (const std::string& name : data->classes) {
    const auto found = std::find(classes.begin(), classes.end(), name);
    index_of.push_back(found == classes.end() ? -1 : static_cast<int>(found - classes.begin()));
  }
  for (dataset::Sample& sample : data->samples) {
    std::erase_if(sample.objects, [&](dataset::Object& object) {
      const std::string& name = data->classes[static_cast<std::size_t>(object.class_index)];
      object.class_index = index_of[static_cast<std::size_t>(object.class_index)];
      if (object.class_index >= 0) return false;
      findings->Add("validation objects of classes that the training data doesn't have, left out",
                    name);
      return true;
    });
  }
  data->classes = classes;
}

// Before the ids of the official validation set's samples: they are another file's.
const std::string kOfficial = "validation ";

const std::string& ValidationImages(const DataOptions& options) {
  return options.validation_images.empty() ? options.images : options.validation_images;
}

bool IsOfficial(const DataOptions& options, const dataset::Sample& sample) {
  return !options.validation.empty() && sample.id.starts_with(kOfficial);
}

// That no image of one of the files can be used. `all`: of both.
absl::Status NoneUsable(const DataOptions& options, dataset::Side side, const dataset::Dataset& all,
                        const dataset::Findings& findings) {
  const bool official = side == dataset::Side::kValidation;
  const auto count = std::count_if(
      all.samples.begin(), all.samples.end(),
      [&](const dataset::Sample& sample) { return IsOfficial(options, sample) == official; });
  const bool own_folder = official && !options.validation_images.empty();
  return absl::NotFoundError(StrCat(
      own_folder ? "--validation_images=" : "--images=",
      official ? ValidationImages(options) : options.images, ": none of the ", count, " images of ",
      official ? "--validation=" : "--data=", official ? options.validation : options.data,
      " can be used", Reasons(findings)));
}

// Adds the samples of the official validation set, and says on which side each image is. An image
// of both is for validation alone: what has been learned can't be measured with.
void JoinSides(const DataOptions& options, dataset::Dataset validation, dataset::Dataset* train,
               dataset::Sides* sides, dataset::Findings* findings) {
  const auto identity = [](const std::string& folder, const dataset::Sample& sample) {
    const absl::StatusOr<std::string> bytes = dataset::ReadImageFile(folder, sample.image);
    return bytes.ok() ? hash::Sha256Hex(*bytes) : std::string();
  };
  sides->clear();
  for (dataset::Sample& sample : validation.samples) {
    const std::string name = identity(ValidationImages(options), sample);
    sample.id = kOfficial + sample.id;
    if (!name.empty()) (*sides)[name] = dataset::Side::kValidation;
  }
  std::erase_if(train->samples, [&](const dataset::Sample& sample) {
    const std::string name = identity(options.images, sample);
    if (name.empty()) return false;  // counted when it is frozen
    if (sides->emplace(name, dataset::Side::kTrain).first->second == dataset::Side::kTrain) {
      return false;
    }
    findings->Add("training images that are validation images as well, not learned from",
                  StrCat("'", sample.image, "'"));
    return true;
  });
  std::move(validation.samples.begin(), validation.samples.end(),
            std::back_inserter(train->samples));
}

// Writes the revision of `all` into `data`, and what its images were called.
absl::Status Freeze(const DataOptions& options, const dataset::Dataset& all,
                    const dataset::RevisionOptions& revision, const std::string& directory,
                    TrainingData* data) {
  std::map<std::string, std::string> name_of_hash;
  absl::StatusOr<dataset::Revision> frozen = dataset::WriteRevision(
      all,
      [&](const dataset::Sample& sample) {
        absl::StatusOr<std::string> bytes = dataset::ReadWholeImage(
            IsOfficial(options, sample) ? ValidationImages(options) : options.images, sample.image);
        if (bytes.ok()) name_of_hash.emplace(hash::Sha256Hex(*bytes), sample.image);
        return bytes;
      },
      revision, directory, &data->findings);
  if (absl::IsFailedPrecondition(frozen.status())) {
    return NoneUsable(options, dataset::Side::kTrain, all, data->findings);
  }
  if (!frozen.ok()) return frozen.status();
  data->revision = *std::move(frozen);
  for (const dataset::Sample& sample : data->revision.dataset.samples) {
    const std::string hash = std::filesystem::path(sample.image).stem();
    data->names[sample.image] = name_of_hash[hash];
  }
  return absl::OkStatus();
}

dataset::Dataset SideOf(const dataset::Revision& revision, dataset::Side side) {
  dataset::Dataset data{revision.dataset.classes, {}};
  for (std::size_t i = 0; i < revision.sides.size(); ++i) {
    if (revision.sides[i] == side) data.samples.push_back(revision.dataset.samples[i]);
  }
  return data;
}

// FilterForTraining, whose findings shall have the names that people know.
void FilterByName(TrainingData* data) {
  std::map<std::string, std::string> frozen;
  for (dataset::Sample& sample : data->train.samples) {
    const std::string& name = data->names[sample.image];
    frozen[name] = sample.image;
    sample.image = name;
  }
  FilterForTraining({}, &data->train, &data->findings);
  for (dataset::Sample& sample : data->train.samples) sample.image = frozen[sample.image];
}

bool HasObjects(const dataset::Dataset& data) {
  const std::vector<ClassCount> counts = CountClasses(data);
  return std::any_of(counts.begin(), counts.end(),
                     [](const ClassCount& count) { return count.objects > 0; });
}

// That there is something to learn from.
absl::Status CheckTraining(const DataOptions& options, TrainingData* data) {
  if (!HasObjects(data->train)) {
    return absl::InvalidArgumentError(
        StrCat("--data=", options.data, ": ", data->revision.dataset.samples.size(),
               " images, but none with an object to learn from; annotated boxes are needed",
               Reasons(data->findings)));
  }
  const std::vector<ClassCount> counts = CountClasses(data->train);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i].objects > 0) continue;
    data->findings.Add("classes that no training image has an object of, not learned",
                       StrCat("'", data->train.classes[i], "'"));
  }
  return absl::OkStatus();
}

// That there is something to measure with. Without an object there is no AP, which must not be
// taken for one of 0: what was asked for is an error then; the split's images are left out.
absl::Status CheckValidation(const DataOptions& options, TrainingData* data) {
  if (HasObjects(data->validation)) return absl::OkStatus();
  if (options.validation.empty()) {
    for (const dataset::Sample& sample : data->validation.samples) {
      data->findings.Add("validation images without objects, which measure nothing, left out",
                         StrCat("'", data->names[sample.image], "'"));
    }
    data->validation.samples.clear();
    return absl::OkStatus();
  }
  std::string classes;
  for (const std::string& name : data->train.classes) {
    text::StrAppend(&classes, classes.empty() ? "'" : ", '", name, "'");
  }
  return absl::InvalidArgumentError(StrCat(
      "--validation=", options.validation, ": ", data->validation.samples.size(),
      " images, but no object on them of what is learned: ", classes, Reasons(data->findings)));
}

}  // namespace

std::vector<ClassCount> CountClasses(const dataset::Dataset& data) {
  std::vector<ClassCount> counts(data.classes.size());
  for (const dataset::Sample& sample : data.samples) {
    std::set<int> seen;
    for (const dataset::Object& object : sample.objects) {
      if (object.crowd) continue;
      ClassCount& count = counts[static_cast<std::size_t>(object.class_index)];
      ++count.objects;
      count.images += seen.insert(object.class_index).second;
    }
  }
  return counts;
}

absl::StatusOr<TrainingData> FreezeTrainingData(const DataOptions& options,
                                                const dataset::Sides& former,
                                                const std::string& directory) {
  if (absl::Status status = CheckFolders(options); !status.ok()) return status;
  TrainingData data;
  absl::StatusOr<dataset::Dataset> all =
      ReadFile("data", options.data, options, options.classes, &data.findings);
  if (!all.ok()) return all.status();
  dataset::RevisionOptions revision{.validation_share = options.val_share, .former = former};
  if (!options.validation.empty()) {
    auto validation = ReadFile("validation", options.validation, options, {}, &data.findings);
    if (!validation.ok()) return validation.status();
    UseClasses(all->classes, &*validation, &data.findings);
    JoinSides(options, *std::move(validation), &*all, &revision.former, &data.findings);
  }
  absl::Status status = Freeze(options, *all, revision, directory, &data);
  if (!status.ok()) return status;
  data.train = SideOf(data.revision, dataset::Side::kTrain);
  data.validation = SideOf(data.revision, dataset::Side::kValidation);
  for (const auto& [side, found] : {std::pair(dataset::Side::kTrain, &data.train),
                                    std::pair(dataset::Side::kValidation, &data.validation)}) {
    if (options.validation.empty() || !found->samples.empty()) continue;
    return NoneUsable(options, side, *all, data.findings);
  }
  FilterByName(&data);
  status = CheckTraining(options, &data);
  if (status.ok()) status = CheckValidation(options, &data);
  if (!status.ok()) return status;
  return data;
}

absl::StatusOr<TrainingData> FreezeTrainingData(const DataOptions& options,
                                                const RunFolder& folder) {
  const std::string directory = folder.file("data");
  dataset::Sides former;
  if (folder.record().has_value()) {
    // Of a revision that somebody removed, nothing is known.
    const auto before =
        dataset::ReadRevision(directory, folder.record()->revision, /*verify_images=*/false);
    if (before.ok()) former = before->all_sides;
  }
  return FreezeTrainingData(options, former, directory);
}

}  // namespace trainer
