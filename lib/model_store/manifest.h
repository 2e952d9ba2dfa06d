// What a version says of itself: manifest.json (docs/formats.md).
#ifndef DUET_MODEL_STORE_MANIFEST_H_
#define DUET_MODEL_STORE_MANIFEST_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model_store/names.h"

namespace model_store {

// The weights of a version; the one file that each has.
inline constexpr std::string_view kModelFile = "model.pth";

// What a comparison with the parent came to.
struct Verdict {
  enum class Outcome { kBetter, kNotBetter, kUndecided };
  Outcome outcome = Outcome::kUndecided;
  std::string reason;  // one sentence with figures
  // 0 to 1: AP50 of boxes, or IoU of masks.
  double old_score = 0;
  double new_score = 0;
  // Annotated images that would probably be enough to decide, in all; 0 unless undecided.
  std::uint64_t images_needed = 0;
};

// "better", "not_better" or "undecided".
std::string_view NameOf(Verdict::Outcome outcome);

struct StoredFile {
  std::string name;  // within the version's folder
  std::uint64_t bytes = 0;
  std::string sha256;  // 64 lower-case hexadecimal digits
};

struct Manifest {
  Kind kind = Kind::kDetector;
  std::string name;
  std::uint64_t version = 0;
  // The version of the same name that it began from and was compared with; 0: the default model.
  std::uint64_t parent = 0;
  // RFC 3339, for people. Clocks jump: which of two versions is newer says their number.
  std::string created;
  std::string label_studio_url;
  std::uint64_t project_id = 0;
  // RFC 3339, as Label Studio tells it; "": not known. By it two projects of one number differ:
  // those of two Label Studios, or of one whose database was made anew.
  std::string project_created;
  std::string revision;  // id of the data that it learned from (dataset/revision.h)
  std::uint64_t images = 0;
  std::uint64_t annotations = 0;
  std::vector<std::string> classes;
  std::optional<Verdict> verdict;
  std::uint64_t seed = 0;
  std::vector<StoredFile> files;  // by name

  // REQUIRES: kModelFile is among them, as in every manifest that was read.
  const StoredFile& weights() const;
};

// REQUIRES: scores are finite. Texts that aren't UTF-8 are made so.
std::string ManifestText(const Manifest& manifest);

// DataLoss, which says what is wrong, if `text` is not of this form; FailedPrecondition if it is of
// a later release's. The names of files lead nowhere else, and model.pth is among them.
absl::StatusOr<Manifest> ParseManifest(std::string_view text);

}  // namespace model_store

#endif  // DUET_MODEL_STORE_MANIFEST_H_
