// The folder beside an output in which a run keeps what it needs to be resumed: OUT.journal.
//
//   lock        held while a process works on the run; the lock dies with the process
//   manifest    which images there are (manifest.h)
//   head.json   what the results are made of (head.h)
//   journal     the results (journal.h), with its checkpoint
//   shards      of a merge: which results of shards the journal is made from (merge.cc)
#ifndef DUET_BULK_RUN_FOLDER_H_
#define DUET_BULK_RUN_FOLDER_H_

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <optional>
#include <string>

#include "bulk/head.h"
#include "bulk/item.h"
#include "bulk/journal.pb.h"

namespace bulk {

class RunFolder {
 public:
  // Makes the folder of the output `out` if it is missing, and locks it. What killed processes left
  // there, and of the output itself, is removed. Unavailable while another process has the lock;
  // errors of the file system.
  static absl::StatusOr<RunFolder> Lock(const std::string& out);
  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&&) = delete;
  ~RunFolder();

  const std::string& path() const { return path_; }
  std::string manifest() const { return path_ + "/manifest"; }

  // Nothing if the run hasn't begun.
  absl::StatusOr<std::optional<Head>> ReadHead() const;
  // The run has begun from then on: with the manifest that is there, and without a result.
  absl::Status WriteHead(const Head& head) const;
  // For a run that couldn't begin, or that nobody goes on with. Killed meanwhile, it hasn't begun.
  void Remove() const;

  // Calls `on_result` for each image that the journal has a record of, in the manifest's order, and
  // passes on its first error. DataLoss if the journal has fewer records than `count`.
  absl::Status ForEachResult(
      std::uint64_t count,
      absl::FunctionRef<absl::Status(const Item& item, const duet::bulk::v1::Record& record)>
          on_result) const;

 private:
  static absl::StatusOr<RunFolder> LockAt(const std::string& path, const std::string& out);

  RunFolder(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}

  std::string path_;
  int lock_;  // -1 once moved from
};

}  // namespace bulk

#endif  // DUET_BULK_RUN_FOLDER_H_
