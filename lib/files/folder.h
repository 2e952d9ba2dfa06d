// Folders: made, and put onto the disk.
#ifndef DUET_FILES_FOLDER_H_
#define DUET_FILES_FOLDER_H_

#include <absl/status/status.h>

#include <string>

namespace files {

// Makes the folder and those that it lies in, as far as they are missing. Errors of the file
// system; messages start with `path`.
absl::Status MakeFolder(const std::string& path);

// Names that were given or taken in the folder are on the disk from then on. File systems that
// can't say so of a folder are believed.
absl::Status SyncFolder(const std::string& path);

}  // namespace files

#endif  // DUET_FILES_FOLDER_H_
