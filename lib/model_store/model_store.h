// The model root: a folder, mostly of a shared volume, where trained models lie as numbered
// versions, and where is said which of them serves.
//
//   ROOT/KIND/NAME/VERSION/       immutable once it is there: model.pth, manifest.json, and what
//                                 the training left besides (config.py, report.md, log.jsonl, …)
//   ROOT/KIND/NAME/serving.json   which version serves; replaced atomically
//   ROOT/KIND/NAME/.lock          held by who changes something below the name; in it, the highest
//                                 number that a version ever had
//   ROOT/KIND/NAME/.staging-…     what becomes a version
//
// A trainer stages and publishes versions, a gateway says which of them serves, the services read.
// They are processes of their own, perhaps on other machines: nothing is remembered between calls,
// and who changes something holds the name's lock. Which of two versions is newer says the number
// alone, since clocks jump. Nothing below the root is reached through symbolic links. The layouts
// are in docs/formats.md, the reasons in docs/adr/0901.
#ifndef DUET_MODEL_STORE_MODEL_STORE_H_
#define DUET_MODEL_STORE_MODEL_STORE_H_

#include <absl/functional/function_ref.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model_store/manifest.h"
#include "model_store/names.h"
#include "model_store/opened_version.h"
#include "model_store/staging.h"

namespace model_store {

// serving.json. All zero is also what holds where there is none: the default model serves.
struct Serving {
  std::uint64_t version = 0;   // 0: the default model serves this name
  std::uint64_t previous = 0;  // served before, for a rollback
  // The highest version that a gate's verdict was applied to. A version that was rolled back is
  // never promoted again by the same verdict.
  std::uint64_t decided = 0;
  std::string changed;  // RFC 3339, for people
  std::string by;       // who changed it
  std::string reason;   // one sentence
  // A gateway has begun to renew the project's predictions since the version changed.
  bool renewed = false;

  bool operator==(const Serving&) const = default;
};

// What serves is `now`; returns what is to serve, or an error, after which nothing changes. Only
// version, decided, by, reason and renewed are looked at; by and reason are cut if they are long.
using ChangeServing = absl::FunctionRef<absl::StatusOr<Serving>(const Serving& now)>;

// All calls block on the file system, and those that change something also wait for the name's
// lock. They return InvalidArgument for a name that CheckName refuses; FailedPrecondition if the
// root can't be opened as a folder, or where something below it is a symbolic link; other errors of
// the file system as they are (ResourceExhausted: the disk is full). Messages start with the path.
// Thread-safe.
class ModelStore {
 public:
  // `root` need not exist yet.
  explicit ModelStore(std::string root) : root_(std::move(root)) {}

  const std::string& root() const { return root_; }
  // Of a version's folder, or of the name's if the version is 0; whether or not it exists.
  std::string PathOf(Kind kind, std::string_view name, std::uint64_t version = 0) const;

  // Names that have a folder, sorted by their bytes; none if the kind has no folder. What can't be
  // a name is passed over; a folder that can't be opened has its name all the same.
  absl::StatusOr<std::vector<std::string>> ListNames(Kind kind) const;
  // Numbers, ascending. NotFound if the name has no folder.
  absl::StatusOr<std::vector<std::uint64_t>> ListVersions(Kind kind, const std::string& name) const;

  // NotFound if the version has no folder; DataLoss, naming the file, if its manifest is missing,
  // damaged, or another version's.
  absl::StatusOr<Manifest> ReadManifest(Kind kind, const std::string& name,
                                        std::uint64_t version) const;
  // The same, and DataLoss if one of its files is missing or isn't what the manifest says. Reads
  // all of them: a second for some 500 MB.
  absl::StatusOr<Manifest> VerifyVersion(Kind kind, const std::string& name,
                                         std::uint64_t version) const;

  // The same, for whoever serves it: with the weights in memory.
  absl::StatusOr<OpenedVersion> OpenVersion(Kind kind, const std::string& name,
                                            std::uint64_t version) const;

  // NotFound if the name has no serving.json; DataLoss if it is damaged. Whether its version exists
  // isn't looked at.
  absl::StatusOr<Serving> ReadServing(Kind kind, const std::string& name) const;
  // Lets `change` decide what serves, and returns that. No other change comes between. Filled in
  // here: `previous` and `changed`, if the version changes, and then nothing is renewed; `decided`
  // never falls. A version other
  // than 0 that didn't serve before is verified first, with VerifyVersion's errors. NotFound if the
  // name has no folder.
  absl::StatusOr<Serving> UpdateServing(Kind kind, const std::string& name,
                                        ChangeServing change) const;

  // Begins a version. Makes the name's folder, but not the root.
  absl::StatusOr<Staging> Stage(Kind kind, const std::string& name) const;

  // FailedPrecondition if it serves. NotFound.
  absl::Status DeleteVersion(Kind kind, const std::string& name, std::uint64_t version) const;
  // With all versions, whatever serves: from then on the default model does. NotFound.
  absl::Status DeleteName(Kind kind, const std::string& name) const;
  // Deletes versions but the newest `keep`, the one that serves, its previous, and the parents of
  // these two; returns which. Nothing is deleted if one of these can't be read.
  absl::StatusOr<std::vector<std::uint64_t>> DeleteOldVersions(Kind kind, const std::string& name,
                                                               std::uint64_t keep) const;
  // Removes what processes left that were killed while they staged, published or deleted. What is
  // being staged by a process that lives stays.
  absl::Status RemoveAbandoned(Kind kind) const;

 private:
  std::string root_;
};

}  // namespace model_store

#endif  // DUET_MODEL_STORE_MODEL_STORE_H_
