#include "trainer_service/work/freeze.h"

#include <absl/status/status.h>

#include <boost/json.hpp>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "dataset/findings.h"
#include "dataset/label_studio_reader.h"
#include "files/atomic_file.h"
#include "files/mapped_file.h"
#include "files/text_file.h"
#include "http_client/url.h"
#include "text/str_cat.h"
#include "trainer_service/work/await.h"
#include "trainer_service/work/image_copies.h"

namespace trainer_service {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using label_studio_api::AnnotatedTasks;
using label_studio_api::ProjectInfo;
using text::StrCat;

// An answer may have 64 MiB: brush strokes of 1000 tasks may not fit, so pages get shorter.
constexpr int kTasksAPage = 100;
constexpr std::size_t kMaxConfigBytes = 16 << 20;
constexpr std::size_t kMaxSidesBytes = std::size_t{1} << 30;

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::ErrnoToStatus(error.value(), StrCat(path, ": cannot be made"));
}

absl::Status OfProject(const Job& job, const absl::Status& status) {
  return absl::Status(status.code(), StrCat("project ", job.project, ": ", status.message()));
}

// The steps of one freezing.
class Freezing {
 public:
  Freezing(const LabelStudioSource& source, const std::string& work,
           const std::string& project_folder, JobControl& control)
      : source_(source), work_(work), project_folder_(project_folder), control_(control) {}

  absl::StatusOr<FrozenProject> Do() {
    if (absl::Status made = MakeFolder(work_); !made.ok()) return made;
    files::RemoveAbandonedFiles(work_);
    if (absl::Status copied = CopyAnnotations(); !copied.ok()) return copied;
    absl::StatusOr<dataset::Dataset> data = ReadAnnotations();
    if (!data.ok()) return data.status();
    ImageCopies images(source_.images, source_.site, work_ + "/images",
                       [this] { return AskForProject().status(); });
    if (absl::Status copied = images.CopyAll(data->samples, control_); !copied.ok()) return copied;
    // From here on images are only told of; their addresses may have signatures in them.
    for (dataset::Sample& sample : data->samples) {
      sample.image = http_client::RedactUri(sample.image);
    }
    return Freeze(*data, images);
  }

 private:
  std::string annotations_path() const { return work_ + "/annotations.json"; }
  std::string config_path() const { return work_ + "/label_config.xml"; }
  std::string sides_path() const { return project_folder_ + "/sides.json"; }
  std::string project_id() const { return StrCat(control_.job().project); }

  absl::StatusOr<ProjectInfo> AskForProject() {
    absl::StatusOr<ProjectInfo> info = Await(source_.api.Project(source_.site, project_id()),
                                             [this] { return control_.should_end(); });
    if (!absl::IsNotFound(info.status())) return info;
    return absl::NotFoundError(StrCat("Label Studio at ", source_.site.url, " has no project ",
                                      control_.job().project, " that the token may see"));
  }

  absl::Status CopyAnnotations();
  absl::StatusOr<AnnotatedTasks> NextPage(std::int64_t after, int* count);
  absl::StatusOr<dataset::Dataset> ReadAnnotations();
  absl::StatusOr<dataset::Sides> ReadSides() const;
  absl::Status WriteSides(const dataset::Sides& sides) const;
  absl::StatusOr<FrozenProject> Freeze(const dataset::Dataset& data, const ImageCopies& images);

  const LabelStudioSource& source_;
  const std::string& work_;
  const std::string& project_folder_;
  JobControl& control_;
  dataset::Findings findings_;
};

absl::StatusOr<AnnotatedTasks> Freezing::NextPage(std::int64_t after, int* count) {
  for (;; *count = (*count + 9) / 10) {
    absl::StatusOr<AnnotatedTasks> page =
        Await(source_.api.Annotated(source_.site, project_id(), after, *count),
              [this] { return control_.should_end(); });
    // Most likely more than an answer may have.
    if (*count == 1 || !absl::IsInvalidArgument(page.status())) return page;
  }
}

absl::Status Freezing::CopyAnnotations() {
  std::error_code error;
  if (fs::exists(annotations_path(), error)) return absl::OkStatus();
  control_.Say("copies annotations");
  const absl::StatusOr<ProjectInfo> project = AskForProject();
  if (!project.ok()) return project.status();
  if (absl::Status s = files::WriteFile(config_path(), project->label_config); !s.ok()) return s;
  absl::StatusOr<files::AtomicFile> file = files::AtomicFile::Create(annotations_path());
  if (!file.ok()) return file.status();
  std::size_t tasks = 0;
  int count = kTasksAPage;
  for (std::int64_t after = 0;;) {
    const absl::StatusOr<AnnotatedTasks> page = NextPage(after, &count);
    if (!page.ok()) return page.status();
    if (page->tasks.empty()) break;
    if (page->last_id <= after) {
      return absl::UnavailableError(
          "Label Studio answered tasks that it was not asked for; is a proxy in between?");
    }
    for (const std::string& task : page->tasks) {
      file->Append(tasks++ == 0 ? "[" : ",\n");
      file->Append(task);
    }
    after = page->last_id;
    control_.Say(StrCat("copies annotations: ", tasks, " tasks"));
    if (absl::Status go_on = GoOn(control_); !go_on.ok()) return go_on;
  }
  if (tasks == 0) {
    return absl::FailedPreconditionError(StrCat("nobody has annotated anything in project ",
                                                control_.job().project,
                                                "; needed: a few submitted annotations"));
  }
  file->Append("]\n");
  return file->Commit();
}

absl::StatusOr<dataset::Dataset> Freezing::ReadAnnotations() {
  absl::StatusOr<std::string> config = files::ReadText(config_path(), kMaxConfigBytes);
  if (!config.ok()) return config.status();
  const auto file = files::MappedFile::Open(annotations_path());
  if (!file.ok()) return file.status();
  absl::StatusOr<dataset::Dataset> data = dataset::ReadLabelStudio(
      (*file)->bytes(), {.label_config = *std::move(config), .classes = {}, .unlabeled_class = {}},
      &findings_);
  if (!data.ok()) return OfProject(control_.job(), data.status());
  return data;
}

// Of all images that ever were in a revision of this project.
absl::StatusOr<dataset::Sides> Freezing::ReadSides() const {
  absl::StatusOr<dataset::Sides> sides = dataset::ReadSides(project_folder_);
  if (!sides.ok()) return sides.status();
  const absl::StatusOr<std::string> text = files::ReadText(sides_path(), kMaxSidesBytes);
  if (absl::IsNotFound(text.status())) return sides;
  if (!text.ok()) return text.status();
  json::error_code error;
  const json::value value = json::parse(*text, error);
  const json::object* object = error ? nullptr : value.if_object();
  if (object == nullptr) {
    return absl::DataLossError(
        StrCat(sides_path(),
               ": is damaged; without it an image may be learned from and measured "
               "with. Whoever removes it begins anew"));
  }
  for (const auto& [image, side] : *object) {
    const bool validation = side.is_string() && side.get_string() == "validation";
    sides->emplace(std::string(image),
                   validation ? dataset::Side::kValidation : dataset::Side::kTrain);
  }
  return sides;
}

absl::Status Freezing::WriteSides(const dataset::Sides& sides) const {
  json::object object;
  for (const auto& [image, side] : sides) {
    object[image] = side == dataset::Side::kValidation ? "validation" : "train";
  }
  return files::WriteFile(sides_path(), json::serialize(object));
}

absl::StatusOr<FrozenProject> Freezing::Freeze(const dataset::Dataset& data,
                                               const ImageCopies& images) {
  control_.Say("freezes annotations and images");
  absl::StatusOr<std::string> config = files::ReadText(config_path(), kMaxConfigBytes);
  if (!config.ok()) return config.status();
  if (absl::Status made = MakeFolder(project_folder_); !made.ok()) return made;
  absl::StatusOr<dataset::Sides> former = ReadSides();
  if (!former.ok()) return former.status();
  absl::StatusOr<dataset::Revision> revision = dataset::WriteRevision(
      data, [&](const dataset::Sample& sample) { return images.Read(sample); },
      {.validation_share = source_.validation_share, .former = *std::move(former)}, project_folder_,
      &findings_);
  if (!revision.ok()) return OfProject(control_.job(), revision.status());
  if (absl::Status kept = WriteSides(revision->all_sides); !kept.ok()) return kept;
  std::error_code error;
  fs::remove_all(work_, error);
  FrozenProject frozen{
      .revision = *std::move(revision), .label_config = *std::move(config), .left_out = {}};
  for (const std::string& line : findings_.Lines()) {
    text::StrAppend(&frozen.left_out, frozen.left_out.empty() ? "" : "; ", line);
  }
  return frozen;
}

}  // namespace

absl::StatusOr<FrozenProject> FreezeProject(const LabelStudioSource& source,
                                            const std::string& work,
                                            const std::string& project_folder,
                                            JobControl& control) {
  return Freezing(source, work, project_folder, control).Do();
}

std::size_t CountObjects(const dataset::Revision& revision, dataset::Side side) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < revision.sides.size(); ++i) {
    if (revision.sides[i] != side) continue;
    for (const dataset::Object& object : revision.dataset.samples[i].objects) {
      count += object.crowd ? 0 : 1;
    }
  }
  return count;
}

}  // namespace trainer_service
