// The images of a project's tasks, copied one file each, before a revision is made of them.
// Internal to work; freeze.h is the caller.
#ifndef DUET_TRAINER_SERVICE_WORK_IMAGE_COPIES_H_
#define DUET_TRAINER_SERVICE_WORK_IMAGE_COPIES_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "dataset/sample.h"
#include "image_fetch/image_fetcher.h"
#include "label_studio_api/label_studio_site.h"
#include "trainer_service/work/job_control.h"

namespace trainer_service {

class ImageCopies {
 public:
  // `folder`: for the copies; those that are there already aren't fetched again. `is_away`: asks
  // whether Label Studio itself can be used just now; OK if it can.
  ImageCopies(image_fetch::ImageFetcher& fetcher, label_studio_api::LabelStudioSite site,
              std::string folder, std::function<absl::Status()> is_away)
      : fetcher_(fetcher),
        site_(std::move(site)),
        folder_(std::move(folder)),
        is_away_(std::move(is_away)) {}

  // Copies the images of all samples, some at a time. Images that can't be had are no error,
  // unless Label Studio can't be used: then its. Cancelled; errors of the file system.
  absl::Status CopyAll(const std::vector<dataset::Sample>& samples, JobControl& control);

  // The image of one of these samples (the id tells which), or why it can't be had.
  absl::StatusOr<std::string> Read(const dataset::Sample& sample) const;

 private:
  std::string PathOf(const dataset::Sample& sample) const;
  absl::Status Take(const dataset::Sample& sample, image_fetch::ImageFetcher::Result fetched);

  image_fetch::ImageFetcher& fetcher_;
  const label_studio_api::LabelStudioSite site_;
  const std::string folder_;
  const std::function<absl::Status()> is_away_;
  std::map<std::string, absl::Status> failures_;  // by path
};

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_WORK_IMAGE_COPIES_H_
