#include "bulk/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "bulk/journal.h"
#include "bulk/manifest.h"
#include "bulk/output.h"
#include "files/atomic_file.h"
#include "files/folder.h"
#include "files/text_file.h"
#include "text/str_cat.h"

namespace bulk {

using text::StrCat;

namespace {

constexpr std::size_t kMaxHeadBytes = std::size_t{64} << 20;

// The process that holds the lock has written its number there.
std::string Holder(int lock) {
  std::array<char, 32> digits = {};
  const ssize_t size = pread(lock, digits.data(), digits.size(), 0);
  return size > 0 ? StrCat("process ", std::string(digits.data(), static_cast<std::size_t>(size)))
                  : "another process";
}

// Whether the open file is the one of this name.
bool IsAt(int file, const std::string& path) {
  struct stat opened = {};
  struct stat named = {};
  return fstat(file, &opened) == 0 && stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

}  // namespace

absl::StatusOr<RunFolder> RunFolder::Lock(const std::string& out) {
  const std::string path = WithoutSlashes(out) + ".journal";
  for (;;) {
    absl::StatusOr<RunFolder> folder = LockAt(path, out);
    // Whoever had the lock may have removed the folder before the lock was free.
    if (!folder.ok() || IsAt(folder->lock_, path + "/lock")) return folder;
  }
}

absl::StatusOr<RunFolder> RunFolder::LockAt(const std::string& path, const std::string& out) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return absl::FailedPreconditionError(
        StrCat(Shown(path), ": cannot be made: ", error.message()));
  }
  const std::string lock_path = path + "/lock";
  const int lock = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock < 0) return absl::ErrnoToStatus(errno, StrCat(lock_path, ": cannot open"));
  RunFolder folder(path, lock);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return absl::ErrnoToStatus(errno, StrCat(lock_path, ": cannot lock"));
    return absl::UnavailableError(
        StrCat(Holder(lock), " is working on ", Shown(out),
               " already; needed: another --out, or to wait until it has ended"));
  }
  const std::string number = StrCat(getpid());
  if (ftruncate(lock, 0) != 0 ||
      pwrite(lock, number.data(), number.size(), 0) != static_cast<ssize_t>(number.size())) {
    // The number is only for a message, so that a full disk doesn't matter here.
  }
  files::RemoveAbandonedFiles(path);
  files::RemoveAbandonedAttempts(WithoutSlashes(out));
  files::RemoveAbandonedAttempts(FailuresPath(out));
  return folder;
}

RunFolder::RunFolder(RunFolder&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

RunFolder::~RunFolder() {
  if (lock_ >= 0) close(lock_);
}

void RunFolder::Remove() const {
  // What a run makes, and nothing else: somebody may have had a folder of this name. First of all
  // the head, without which nothing else there belongs to a run.
  std::error_code ignored;
  if (std::filesystem::remove(path_ + "/head.json", ignored)) (void)files::SyncFolder(path_);
  for (const char* name : {"manifest", "journal", "checkpoint", "shards", "kernel_plan",
                           "kernel_plan.lock", "detector.log", "segmenter.log", "lock"}) {
    std::filesystem::remove(path_ + "/" + name, ignored);
  }
  std::filesystem::remove(path_, ignored);  // if it is empty
}

absl::StatusOr<std::optional<Head>> RunFolder::ReadHead() const {
  const std::string path = path_ + "/head.json";
  const absl::StatusOr<std::string> text = files::ReadText(path, kMaxHeadBytes);
  if (absl::IsNotFound(text.status())) return std::nullopt;
  if (!text.ok()) return text.status();
  absl::StatusOr<Head> head = HeadFromJson(*text);
  if (!head.ok()) {
    return absl::Status(head.status().code(), StrCat(path, ": ", head.status().message()));
  }
  return *std::move(head);
}

absl::Status RunFolder::WriteHead(const Head& head) const {
  // Of a run that was removed, up to where the process was killed.
  for (const char* name : {"checkpoint", "journal"}) {
    std::error_code error;
    std::filesystem::remove(path_ + "/" + name, error);
    if (error) {
      return absl::ErrnoToStatus(error.value(), StrCat(path_, "/", name, ": cannot be removed"));
    }
  }
  return files::WriteFile(path_ + "/head.json", ToJson(head));
}

absl::Status RunFolder::ForEachResult(
    std::uint64_t count,
    absl::FunctionRef<absl::Status(const Item&, const duet::bulk::v1::Record&)> on_result) const {
  absl::StatusOr<JournalReader> records = JournalReader::Open(path_);
  if (!records.ok()) return records.status();
  absl::StatusOr<ManifestReader> items = ManifestReader::Open(manifest(), {});
  if (!items.ok()) return items.status();
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto record = records->Next();
    if (!record.ok()) return record.status();
    const auto item = items->Next();
    if (!item.ok()) return item.status();
    if (!*record || !*item || (*record)->index() != i) {
      return absl::DataLossError(StrCat(path_, ": the journal is damaged at image ", i,
                                        "; delete the folder to begin anew"));
    }
    if (absl::Status status = on_result(**item, **record); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace bulk
