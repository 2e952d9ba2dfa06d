// What a training learns from: a project's annotations and images as they are just now, copied
// into a revision that never changes (dataset/revision.h).
#ifndef DUET_TRAINER_SERVICE_WORK_FREEZE_H_
#define DUET_TRAINER_SERVICE_WORK_FREEZE_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dataset/revision.h"
#include "image_fetch/image_fetcher.h"
#include "label_studio_api/label_studio_api.h"
#include "label_studio_api/label_studio_site.h"
#include "trainer_service/work/job_control.h"

namespace trainer_service {

// Where annotations and images come from. All must outlive their use.
struct LabelStudioSource {
  label_studio_api::LabelStudioApi& api;
  image_fetch::ImageFetcher& images;
  label_studio_api::LabelStudioSite site;
  double validation_share = 0.2;
};

// OK, or why this project can't be trained. Seconds since 1970; 0: not known.
using CheckProject = std::function<absl::Status(std::int64_t created)>;

struct FrozenProject {
  dataset::Revision revision;
  std::string label_config;     // XML
  std::string project_created;  // RFC 3339; "": Label Studio doesn't say
  std::string left_out;         // one sentence, "" if everything could be used
};

// Copies project `control.job().project`. `work`: a folder for what is in the making, which a
// later call goes on with; its files are gone after success. `project_folder`: where the revisions
// of this project are. An image keeps the side that it had in any revision there, also after a
// Forget, and the one that it had for the model that the training begins from: `parent_sides`, a
// file of its version, or "". `check` is asked about the project before anything of it is copied.
//
// Left out and counted: what the reader can't use (dataset/label_studio_reader.h), and images that
// don't exist, are none, or can't be had although Label Studio answers. Errors, one sentence each:
// NotFound (no such project), FailedPrecondition (nobody has annotated anything, nothing can be
// used), InvalidArgument (the annotations can't be understood), DataLoss (a revision was changed
// by hand), Unavailable, DeadlineExceeded, Unauthenticated and PermissionDenied (Label Studio is
// away or refuses the token: worth another try), Cancelled, those of the file system.
absl::StatusOr<FrozenProject> FreezeProject(const LabelStudioSource& source,
                                            const std::string& work,
                                            const std::string& project_folder,
                                            const std::string& parent_sides,
                                            const CheckProject& check, JobControl& control);

// Seconds since 1970 as RFC 3339.
std::string TimeText(std::int64_t seconds);

// Where that side of each image is kept.
std::string SidesPath(const std::string& project_folder);

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_WORK_FREEZE_H_
