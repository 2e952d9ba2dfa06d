// How often a project's validation images have decided between models.
//
// A project is trained again and again, and most of the images that old and new are compared on
// stay the same. Who asks the same images often enough gets a yes by chance, so the comparison is
// told how often they have been asked.
#ifndef DUET_TRAINER_SERVICE_WORK_LOOKS_H_
#define DUET_TRAINER_SERVICE_WORK_LOOKS_H_

#include <absl/status/statusor.h>

#include <string>
#include <vector>

namespace trainer_service {

// Counts a comparison on images, which are told by their hashes, in the file `path`, and returns
// how often these have been compared on, on average, this time included: 1 if all are new, or there
// are none. DataLoss if the file is damaged; errors of the file system.
absl::StatusOr<double> CountLook(const std::string& path, const std::vector<std::string>& images);

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_WORK_LOOKS_H_
