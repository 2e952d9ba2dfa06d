// The journal: what became of each image of the manifest, in its order, and never twice.
//
// A record is its length (4 bytes), a checksum (8 bytes, FNV-1a of the payload) and the payload, a
// Record of journal.proto; numbers are little-endian. A process that is killed leaves whole records
// and perhaps the beginning of another one, which is cut off when the journal is opened again.
//
// Beside it lies a checkpoint: up to where the journal is on the disk for certain. Opening reads
// the journal from there only, so that it takes as long for ten million records as for a hundred.
#ifndef DUET_BULK_JOURNAL_H_
#define DUET_BULK_JOURNAL_H_

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "bulk/journal.pb.h"
#include "bulk/manifest.h"

namespace bulk {

// What a number of records amounts to.
struct Totals {
  std::uint64_t images = 0;                       // with a result or a failure
  std::uint64_t objects = 0;                      // in those with a result
  std::uint64_t kept_bytes = 0;                   // of embeddings in the segmenter's store
  std::map<std::string, std::uint64_t> failures;  // by kind

  std::uint64_t failed() const;
};

class Journal {
 public:
  // Opens the journal of a folder, or begins it. DataLoss if what the checkpoint says isn't there;
  // errors of the file system. `manifest`: of the same folder.
  static absl::StatusOr<Journal> Open(const std::string& folder, const std::string& manifest);
  Journal(Journal&& other) noexcept;
  Journal& operator=(Journal&&) = delete;
  ~Journal();

  const Totals& totals() const { return totals_; }
  // Of the image that comes next.
  ManifestReader::Place place() const { return place_; }

  // Appends what became of the image at place(); `next` is the place behind it. The record is with
  // the system when this returns: it survives the process, but a failure of the power only from the
  // next Sync on. ResourceExhausted if the disk is full: nothing has been appended then, and the
  // same call may be repeated.
  absl::Status Append(const duet::bulk::v1::Record& record, ManifestReader::Place next);

  // Puts all of it onto the disk, and the checkpoint after it. ResourceExhausted as above. The
  // system may forget what it could not put there, and call it done the next time: so the next call
  // writes that again.
  absl::Status Sync();

 private:
  Journal(std::string folder, int file) : folder_(std::move(folder)), file_(file) {}

  absl::Status ReadCheckpoint();
  // Counts the records behind the checkpoint, and cuts off what is none.
  absl::Status CatchUp(const std::string& manifest);
  // Writes what stands from there on over itself, so that the next Sync puts it onto the disk even
  // if an earlier process has tried that in vain.
  absl::Status WriteAgain(std::uint64_t from) const;
  absl::Status WriteAt(std::uint64_t offset, std::string_view bytes) const;
  void Count(const duet::bulk::v1::Record& record);

  const std::string folder_;
  int file_;                  // -1 once moved from
  std::uint64_t size_ = 0;    // of all whole records
  std::string unsynced_;      // the last of their bytes: those since the last Sync
  bool may_be_lost_ = false;  // which may lack them on the disk although the system wouldn't say so
  ManifestReader::Place place_;
  Totals totals_;
};

// Reads one record. `read` gets where so many bytes belong, and is false if there aren't as many;
// `payload` is room that may be used again. False for anything but a whole record.
bool ReadRecord(absl::FunctionRef<bool(char* to, std::size_t count)> read, std::string* payload,
                duet::bulk::v1::Record* record);

// Reads a journal's records from the first one on.
class JournalReader {
 public:
  // `offset`: where a record begins.
  static absl::StatusOr<JournalReader> Open(const std::string& folder, std::uint64_t offset = 0);

  // The next record; nothing at the end, and where something else than a whole record stands.
  absl::StatusOr<std::optional<duet::bulk::v1::Record>> Next();
  // Behind the record that was read last.
  std::uint64_t offset() const { return offset_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  JournalReader(std::unique_ptr<std::FILE, Close> file, std::uint64_t offset)
      : file_(std::move(file)), offset_(offset) {}

  std::unique_ptr<std::FILE, Close> file_;
  std::uint64_t offset_;
  std::string payload_;
};

}  // namespace bulk

#endif  // DUET_BULK_JOURNAL_H_
