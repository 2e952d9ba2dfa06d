// Which names a detector's classes have.
#ifndef DUET_DETECTOR_SERVICE_CONFIG_CLASS_NAMES_H_
#define DUET_DETECTOR_SERVICE_CONFIG_CLASS_NAMES_H_

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

#include "detector_service/config/python_config.h"

namespace detector {

struct ClassNames {
  std::vector<std::string> names;
  // What a user should know of how they were found, as sentences: that names which don't fit were
  // passed over, or that they are a data set's because the file has none.
  std::vector<std::string> notes;
};

// What --classes says: the lines of a file if there is one of that name, else names with commas
// between them. InvalidArgument if a path leads to no file, or if there are no names.
absl::StatusOr<std::vector<std::string>> ReadClassesFlag(const std::string& flag);

// The names of `count` classes: the first of these that has so many. `given`, by --classes (may be
// empty; if it has another number, nothing else is tried); the checkpoint's own; the config's data
// sets. If none of these says anything: COCO's 80 names, DOTA's 15 for rotated boxes, else
// "class 0", "class 1", …. FailedPrecondition, with both numbers, if names are given but none fit.
absl::StatusOr<ClassNames> ChooseClassNames(const std::vector<std::string>& given,
                                            const std::vector<std::string>& in_checkpoint,
                                            const PythonConfig& config, int count, bool rotated);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_CONFIG_CLASS_NAMES_H_
