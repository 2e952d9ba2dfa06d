#include "dataset/revision.h"

#include <absl/status/status.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "dataset/coco_reader.h"
#include "dataset/coco_writer.h"
#include "dataset/revision_manifest.h"
#include "dataset/sample_image.h"
#include "files/atomic_file.h"
#include "files/folder.h"
#include "files/mapped_file.h"
#include "hash/sha256.h"
#include "text/str_cat.h"

namespace dataset {
namespace {

using text::StrCat;

constexpr std::size_t kIdDigits = 16;

std::string FolderOf(const std::string& directory, const std::string& id) {
  return StrCat(directory, "/revisions/", id);
}

// A file's contents, if their hash is what the manifest says.
absl::StatusOr<std::shared_ptr<const files::MappedFile>> OpenVerified(const std::string& path,
                                                                      std::string_view sha256) {
  absl::StatusOr<std::shared_ptr<const files::MappedFile>> file = files::MappedFile::Open(path);
  if (!file.ok()) return absl::DataLossError(file.status().message());
  if (hash::Sha256Hex((*file)->bytes()) != sha256) {
    return absl::DataLossError(
        StrCat(path, ": has changed since it was frozen: its SHA-256 is not ", sha256));
  }
  return file;
}

// What an annotation says, without its ids and its image's name.
std::string AnnotationSha256(const std::vector<std::string>& classes, const Sample& sample) {
  Dataset one{classes, {sample}};
  one.samples.front().id = "";
  one.samples.front().image = "";
  Findings none;
  return hash::Sha256Hex(WriteCoco(one, {}, &none));
}

struct Frozen {
  Sample sample;
  ManifestEntry entry;
};

// Reads, checks and stores the images of samples.
class ImageStore {
 public:
  ImageStore(ReadImage read_image, const std::string& directory, Findings* findings)
      : read_image_(read_image), directory_(directory), findings_(*findings) {}

  // The sample with its stored image; none if it was left out, an error if storing failed.
  absl::StatusOr<std::optional<Frozen>> Freeze(const std::vector<std::string>& classes,
                                               Sample sample);

 private:
  absl::Status Store(const ManifestEntry& entry, std::string_view bytes);

  ReadImage read_image_;
  const std::string& directory_;
  Findings& findings_;
};

absl::Status ImageStore::Store(const ManifestEntry& entry, std::string_view bytes) {
  const std::string path = StrCat(directory_, "/", entry.image);
  // The name is the hash, but somebody may have changed the file since.
  if (OpenVerified(path, entry.image_sha256).ok()) return absl::OkStatus();
  return files::WriteFile(path, bytes);
}

absl::StatusOr<std::optional<Frozen>> ImageStore::Freeze(const std::vector<std::string>& classes,
                                                         Sample sample) {
  const absl::StatusOr<std::string> bytes = sample.image_bytes != nullptr
                                                ? absl::StatusOr<std::string>(*sample.image_bytes)
                                                : read_image_(sample);
  sample.image_bytes = nullptr;
  const std::optional<std::string> format = AcceptImage(bytes, &sample, &findings_);
  if (!format) return std::optional<Frozen>();
  Frozen frozen{std::move(sample), {}};
  frozen.entry.image_sha256 = hash::Sha256Hex(*bytes);
  frozen.entry.image = StrCat("images/", frozen.entry.image_sha256, ".", *format);
  frozen.entry.task_id = frozen.sample.id;
  frozen.entry.annotation_id = frozen.sample.annotation_id;
  frozen.entry.annotation_sha256 = AnnotationSha256(classes, frozen.sample);
  frozen.sample.image = frozen.entry.image;
  if (absl::Status status = Store(frozen.entry, *bytes); !status.ok()) return status;
  return frozen;
}

Sides SplitFrozen(const std::vector<std::string>& classes, const std::vector<Frozen>& frozen,
                  const RevisionOptions& options) {
  std::vector<SplitImage> images;
  for (const Frozen& one : frozen) {
    SplitImage& image = images.emplace_back();
    image.identity = one.entry.image_sha256;
    for (const Object& object : one.sample.objects) {
      image.classes.push_back(classes[static_cast<std::size_t>(object.class_index)]);
    }
  }
  return SplitImages(images, options.validation_share, options.former);
}

// The samples of one side as COCO. They are numbered, so that the reader finds them in this order.
std::string CocoOf(const Revision& revision, Side side) {
  Dataset part{revision.dataset.classes, {}};
  for (std::size_t i = 0; i < revision.sides.size(); ++i) {
    if (revision.sides[i] != side) continue;
    Sample& sample = part.samples.emplace_back(revision.dataset.samples[i]);
    sample.id = StrCat(part.samples.size());
  }
  Findings none;
  return WriteCoco(part, {}, &none);
}

absl::StatusOr<std::string> WriteFolder(const Revision& revision, Manifest manifest,
                                        const std::string& directory) {
  const std::string train = CocoOf(revision, Side::kTrain);
  const std::string validation = CocoOf(revision, Side::kValidation);
  manifest.train_sha256 = hash::Sha256Hex(train);
  manifest.validation_sha256 = hash::Sha256Hex(validation);
  const std::string text = ManifestText(manifest);
  std::string id = hash::Sha256Hex(text).substr(0, kIdDigits);
  const std::string folder = FolderOf(directory, id);
  if (absl::Status status = files::MakeFolder(folder); !status.ok()) return status;
  for (const auto& [name, contents] :
       {std::pair<std::string_view, std::string_view>("train.json", train),
        {"validation.json", validation},
        {"manifest.json", text}}) {
    absl::Status status = files::WriteFile(StrCat(folder, "/", name), contents);
    if (!status.ok()) return status;
  }
  return id;
}

absl::StatusOr<Manifest> OpenManifest(const std::string& path, std::string_view id) {
  if (id.size() != kIdDigits || id.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return absl::NotFoundError(StrCat("'", id, "' is no revision's id: 16 hexadecimal digits"));
  }
  auto file = files::MappedFile::Open(path);
  if (!file.ok()) return file.status();
  if (!hash::Sha256Hex((*file)->bytes()).starts_with(id)) {
    return absl::DataLossError(StrCat(path, ": has changed since it was frozen"));
  }
  absl::StatusOr<Manifest> manifest = ParseManifest((*file)->bytes());
  if (!manifest.ok()) return absl::DataLossError(StrCat(path, ": ", manifest.status().message()));
  return manifest;
}

// The samples of one side in order; none if the manifest has none of it.
absl::StatusOr<std::vector<Sample>> ReadSide(const std::string& path, std::string_view sha256,
                                             const Manifest& manifest, Side side) {
  auto file = OpenVerified(path, sha256);
  if (!file.ok()) return file.status();
  if (std::none_of(manifest.samples.begin(), manifest.samples.end(),
                   [side](const ManifestEntry& entry) { return entry.side == side; })) {
    return std::vector<Sample>{};
  }
  Findings findings;
  absl::StatusOr<Dataset> part = ReadCoco(
      (*file)->bytes(), {.classes = manifest.classes, .boxes_as_written = true}, &findings);
  if (!part.ok()) return absl::DataLossError(StrCat(path, ": ", part.status().message()));
  return std::move(part->samples);
}

}  // namespace

absl::StatusOr<Revision> WriteRevision(const Dataset& dataset, ReadImage read_image,
                                       const RevisionOptions& options, const std::string& directory,
                                       Findings* findings) {
  if (absl::Status status = files::MakeFolder(directory + "/images"); !status.ok()) return status;
  ImageStore store(read_image, directory, findings);
  std::vector<Frozen> frozen;
  for (const Sample& sample : dataset.samples) {
    absl::StatusOr<std::optional<Frozen>> one = store.Freeze(dataset.classes, sample);
    if (!one.ok()) return one.status();
    if (*one) frozen.push_back(**std::move(one));
  }
  if (frozen.empty()) {
    return absl::FailedPreconditionError(
        StrCat("none of ", dataset.samples.size(), " samples can be used",
               findings->empty() ? "" : StrCat(": ", findings->Lines().back())));
  }
  std::stable_sort(frozen.begin(), frozen.end(), [](const Frozen& a, const Frozen& b) {
    return std::pair(a.entry.image_sha256, a.entry.task_id) <
           std::pair(b.entry.image_sha256, b.entry.task_id);
  });

  Revision revision;
  revision.all_sides = SplitFrozen(dataset.classes, frozen, options);
  revision.dataset.classes = dataset.classes;
  Manifest manifest{.classes = dataset.classes, .former_sides = revision.all_sides};
  for (Frozen& one : frozen) {
    one.entry.side = revision.all_sides.at(one.entry.image_sha256);
    manifest.former_sides.erase(one.entry.image_sha256);
    revision.sides.push_back(one.entry.side);
    revision.dataset.samples.push_back(std::move(one.sample));
    manifest.samples.push_back(std::move(one.entry));
  }
  absl::StatusOr<std::string> id = WriteFolder(revision, std::move(manifest), directory);
  if (!id.ok()) return id.status();
  // As it will be read: numbers were rounded.
  return ReadRevision(directory, *id, /*verify_images=*/false);
}

absl::StatusOr<Revision> ReadRevision(const std::string& directory, const std::string& id,
                                      bool verify_images) {
  const std::string folder = FolderOf(directory, id);
  const std::string path = folder + "/manifest.json";
  const absl::StatusOr<Manifest> manifest = OpenManifest(path, id);
  if (!manifest.ok()) return manifest.status();

  auto train = ReadSide(folder + "/train.json", manifest->train_sha256, *manifest, Side::kTrain);
  if (!train.ok()) return train.status();
  auto validation = ReadSide(folder + "/validation.json", manifest->validation_sha256, *manifest,
                             Side::kValidation);
  if (!validation.ok()) return validation.status();

  Revision revision{
      .id = id, .dataset = {manifest->classes, {}}, .all_sides = manifest->former_sides};
  std::size_t next[2] = {0, 0};
  for (const ManifestEntry& entry : manifest->samples) {
    std::vector<Sample>& side = entry.side == Side::kTrain ? *train : *validation;
    std::size_t& at = next[entry.side == Side::kTrain ? 0 : 1];
    if (at == side.size() || side[at].image != entry.image) {
      return absl::DataLossError(
          StrCat(path, ": lists '", entry.image, "' where the annotations have another image"));
    }
    if (verify_images) {
      auto image = OpenVerified(StrCat(directory, "/", entry.image), entry.image_sha256);
      if (!image.ok()) return image.status();
    }
    Sample& sample = revision.dataset.samples.emplace_back(std::move(side[at++]));
    sample.id = entry.task_id;
    sample.annotation_id = entry.annotation_id;
    revision.sides.push_back(entry.side);
    revision.all_sides.emplace(entry.image_sha256, entry.side);
  }
  return revision;
}

absl::StatusOr<Sides> ReadSides(const std::string& directory) {
  std::error_code error;
  std::set<std::filesystem::path> folders;  // in the order of their names
  for (std::filesystem::directory_iterator at(directory + "/revisions", error), end;
       !error && at != end; at.increment(error)) {
    folders.insert(at->path());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return absl::ErrnoToStatus(error.value(), StrCat(directory, "/revisions: cannot be read"));
  }
  Sides sides;
  for (const std::filesystem::path& folder : folders) {
    const std::string path = folder / "manifest.json";
    // What an interrupted writer left has none.
    if (!std::filesystem::exists(path, error)) continue;
    const absl::StatusOr<Manifest> manifest = OpenManifest(path, folder.filename().string());
    if (!manifest.ok()) return manifest.status();
    Sides known = manifest->former_sides;
    for (const ManifestEntry& entry : manifest->samples) {
      known.emplace(entry.image_sha256, entry.side);
    }
    for (const auto& [image, side] : known) {
      if (sides.emplace(image, side).first->second == side) continue;
      return absl::DataLossError(StrCat(path, ": has image ", image,
                                        " on another side than an other revision below ",
                                        directory));
    }
  }
  return sides;
}

}  // namespace dataset
