// Reads an mmengine config file (.py) together with the files that it builds upon.
#ifndef DUET_DETECTOR_SERVICE_CONFIG_CONFIG_FILE_H_
#define DUET_DETECTOR_SERVICE_CONFIG_CONFIG_FILE_H_

#include <absl/status/statusor.h>

#include <string>

#include "detector_service/config/python_config.h"

namespace detector {

// `_base_` (a path or a list of them, relative to the file that names it) is read first and the
// file merged over it as mmengine does: dictionaries key by key, unless the upper one says
// `_delete_=True`; everything else replaces. NotFound or InvalidArgument, naming the file, if one
// cannot be read, is larger than a config can be, or the chain does not end. `root`: where all of
// them must lie, as serving/file_access.h means it; "": anywhere.
absl::StatusOr<PythonConfig> ReadConfigFile(const std::string& path, const std::string& root = "");

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_CONFIG_CONFIG_FILE_H_
