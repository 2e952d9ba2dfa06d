// Outputs of one file an image, in a folder that appears when all of it is there.
#ifndef DUET_BULK_FOLDER_OUTPUT_H_
#define DUET_BULK_FOLDER_OUTPUT_H_

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "bulk/output.h"

namespace bulk {

class FolderOutput {
 public:
  // Begins it in `results`' run folder, in place of what an earlier attempt left there.
  static absl::StatusOr<FolderOutput> Begin(const Results& results, const OutputOptions& options);

  // Writes a file of its own, with the folders that its path needs. Errors are those of the file
  // system; ResourceExhausted for a full disk.
  absl::Status Write(const std::string& path, std::string_view contents) const;
  // Writes the file of an image, FOLDER/NAME+ending, and returns its path below `folder`. If
  // another image has it, a number is added, and said.
  absl::StatusOr<std::string> WriteOf(const Item& item, std::string_view folder,
                                      std::string_view ending, std::string_view contents,
                                      dataset::Findings* findings) const;
  // Puts all of it in place of options.out. Call once, last.
  absl::Status Commit() const;

 private:
  FolderOutput(std::string making, std::string out, std::string former)
      : making_(std::move(making)), out_(std::move(out)), former_(std::move(former)) {}

  std::string making_;
  std::string out_;
  std::string former_;  // where what was at `out_` goes meanwhile
};

// The path of an image's own file below a folder: its name without the ending, and with `ending`
// instead. Of an address it is the path; what would lead out of the folder is left out, and what is
// too long for a file system is cut. Two images may have the same one: "a.jpg" and "a.png".
std::string PathFor(const Item& item, std::string_view ending);

}  // namespace bulk

#endif  // DUET_BULK_FOLDER_OUTPUT_H_
