#include "trainer_service/work/freeze.h"

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "dataset/findings.h"
#include "dataset/label_studio_reader.h"
#include "files/atomic_file.h"
#include "files/folder.h"
#include "files/mapped_file.h"
#include "files/text_file.h"
#include "http_client/url.h"
#include "text/str_cat.h"
#include "trainer_service/work/await.h"
#include "trainer_service/work/image_copies.h"
#include "trainer_service/work/trained_kind.h"

namespace trainer_service {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using label_studio_api::AnnotatedTasks;
using label_studio_api::ProjectInfo;
using text::StrCat;

// An answer may have 64 MiB: brush strokes of 1000 tasks may not fit, so pages get shorter where it
// is needed.
constexpr int kTasksAPage = 100;
// So many pages in a row that fit make them longer again: it may have been a single task.
constexpr int kPagesToGrow = 8;
constexpr std::size_t kMaxConfigBytes = 16 << 20;
constexpr std::size_t kMaxSidesBytes = std::size_t{1} << 30;

absl::Status OfProject(const Job& job, const absl::Status& status) {
  return absl::Status(status.code(), StrCat("project ", job.project, ": ", status.message()));
}

// The steps of one freezing.
class Freezing {
 public:
  Freezing(const LabelStudioSource& source, const std::string& work,
           const std::string& project_folder, const std::string& parent_sides,
           const CheckProject& check, JobControl& control)
      : source_(source),
        work_(work),
        project_folder_(project_folder),
        parent_sides_(parent_sides),
        check_(check),
        control_(control) {}

  absl::StatusOr<FrozenProject> Do() {
    if (absl::Status made = files::MakeFolder(work_); !made.ok()) return made;
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
  std::string created_path() const { return work_ + "/created"; }
  std::string sides_path() const { return SidesPath(project_folder_); }
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
  absl::Status ParentCannotBeCompared(std::string_view learned_from) const;
  absl::Status WriteSides(const dataset::Sides& sides) const;
  absl::StatusOr<FrozenProject> Freeze(const dataset::Dataset& data, const ImageCopies& images);

  const LabelStudioSource& source_;
  const std::string& work_;
  const std::string& project_folder_;
  const std::string& parent_sides_;
  const CheckProject& check_;
  JobControl& control_;
  int fitted_ = 0;  // pages in a row
  dataset::Findings findings_;
};

absl::StatusOr<AnnotatedTasks> Freezing::NextPage(std::int64_t after, int* count) {
  for (;; *count = (*count + 9) / 10, fitted_ = 0) {
    absl::StatusOr<AnnotatedTasks> page =
        Await(source_.api.Annotated(source_.site, project_id(), after, *count),
              [this] { return control_.should_end(); });
    if (page.ok() && ++fitted_ >= kPagesToGrow) {
      *count = std::min(*count * 2, kTasksAPage);
      fitted_ = 0;
    }
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
  if (absl::Status may = check_(project->created); !may.ok()) return may;
  if (absl::Status s = files::WriteFile(config_path(), project->label_config); !s.ok()) return s;
  const std::string created = project->created == 0 ? "" : TimeText(project->created);
  if (absl::Status s = files::WriteFile(created_path(), created); !s.ok()) return s;
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

// Adds what a file says of images that `sides` has nothing of. NotFound; DataLoss.
absl::Status AddSides(const std::string& path, dataset::Sides* sides) {
  const absl::StatusOr<std::string> text = files::ReadText(path, kMaxSidesBytes);
  if (!text.ok()) return text.status();
  json::error_code error;
  const json::value value = json::parse(*text, error);
  const json::object* object = error ? nullptr : value.if_object();
  if (object == nullptr) {
    return absl::DataLossError(
        StrCat(path,
               ": is damaged; without it an image may be learned from and measured with. Whoever "
               "removes it begins anew"));
  }
  for (const auto& [image, side] : *object) {
    const bool validation = side.is_string() && side.get_string() == "validation";
    sides->emplace(std::string(image),
                   validation ? dataset::Side::kValidation : dataset::Side::kTrain);
  }
  return absl::OkStatus();
}

// Of all images that ever were in a revision of this project, or that the model it begins from has
// learned from.
absl::StatusOr<dataset::Sides> Freezing::ReadSides() const {
  absl::StatusOr<dataset::Sides> sides = dataset::ReadSides(project_folder_);
  if (!sides.ok()) return sides.status();
  const absl::Status of_project = AddSides(sides_path(), &*sides);
  if (!of_project.ok() && !absl::IsNotFound(of_project)) return of_project;
  if (parent_sides_.empty()) return sides;
  dataset::Sides of_parent;
  const absl::Status read = AddSides(parent_sides_, &of_parent);
  if (!read.ok() && !absl::IsNotFound(read)) return read;
  if (of_parent.empty() && sides->empty()) {
    return ParentCannotBeCompared("images that neither it nor --work_dir knows any more");
  }
  // As when a lost work folder was followed by a training that split the images anew.
  const auto learned_and_kept =
      std::count_if(of_parent.begin(), of_parent.end(), [&](const auto& one) {
        const auto here = sides->find(one.first);
        return here != sides->end() && one.second == dataset::Side::kTrain &&
               here->second == dataset::Side::kValidation;
      });
  if (learned_and_kept > 0) {
    return ParentCannotBeCompared(
        StrCat(learned_and_kept, " images that later trainings in --work_dir are measured with"));
  }
  for (const auto& [image, side] : of_parent) sides->emplace(image, side);
  return sides;
}

absl::Status Freezing::ParentCannotBeCompared(std::string_view learned_from) const {
  const Job& job = control_.job();
  return absl::FailedPreconditionError(StrCat(
      "version ", job.parent, " of ", job.model, ", which serves, has learned from ", learned_from,
      ", so it can't be told which are left to compare on; 'duet models rollback ", job.model, " 0",
      KindFlag(job.kind), "' lets the default model serve, from which a training can begin"));
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
  absl::StatusOr<std::string> created = files::ReadText(created_path(), 64);
  if (absl::IsNotFound(created.status())) created = "";  // begun by an earlier release
  if (!created.ok()) return created.status();
  if (absl::Status made = files::MakeFolder(project_folder_); !made.ok()) return made;
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
  FrozenProject frozen{.revision = *std::move(revision),
                       .label_config = *std::move(config),
                       .project_created = *std::move(created),
                       .left_out = {}};
  for (const std::string& line : findings_.Lines()) {
    text::StrAppend(&frozen.left_out, frozen.left_out.empty() ? "" : "; ", line);
  }
  return frozen;
}

}  // namespace

absl::StatusOr<FrozenProject> FreezeProject(const LabelStudioSource& source,
                                            const std::string& work,
                                            const std::string& project_folder,
                                            const std::string& parent_sides,
                                            const CheckProject& check, JobControl& control) {
  return Freezing(source, work, project_folder, parent_sides, check, control).Do();
}

std::string TimeText(std::int64_t seconds) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(seconds),
                          absl::UTCTimeZone());
}

std::string SidesPath(const std::string& project_folder) { return project_folder + "/sides.json"; }

}  // namespace trainer_service
