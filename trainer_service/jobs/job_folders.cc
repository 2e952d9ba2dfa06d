#include "trainer_service/jobs/job_folders.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "files/atomic_file.h"
#include "files/folder.h"
#include "files/text_file.h"
#include "serving/log.h"
#include "text/str_cat.h"

namespace trainer_service {
namespace {

namespace fs = std::filesystem;
using text::StrCat;

constexpr std::size_t kMaxRecordBytes = 1 << 20;
constexpr char kRecord[] = "job.json";
constexpr char kForgotten[] = "forgotten";
constexpr char kDeleted[] = "/deleted";

// What killed processes left half written, in all folders below this one.
void RemoveAbandonedBelow(const std::string& folder) {
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    if (at->is_directory(ignored)) files::RemoveAbandonedFiles(at->path());
  }
}

// What the regular files in a folder take.
std::uint64_t BytesBelow(const fs::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    if (!at->is_regular_file(ignored)) continue;
    const std::uintmax_t size = at->file_size(ignored);
    if (!ignored) bytes += size;
  }
  return bytes;
}

// The number that an id begins with; 0 if it doesn't.
std::uint64_t NumberOf(const std::string& id) {
  std::uint64_t number = 0;
  return absl::SimpleAtoi(id.substr(0, id.find('-')), &number) ? number : 0;
}

absl::StatusOr<Job> ReadJob(const std::string& path) {
  const absl::StatusOr<std::string> text = files::ReadText(path, kMaxRecordBytes);
  if (!text.ok()) return text.status();
  absl::StatusOr<Job> job = ParseJob(*text);
  if (job.ok()) return job;
  return absl::Status(job.status().code(), StrCat(path, ": ", job.status().message()));
}

}  // namespace

absl::StatusOr<JobFolders> JobFolders::Open(const std::string& path) {
  for (const char* name : {"/jobs", "/projects", kDeleted}) {
    if (absl::Status made = files::MakeFolder(path + name); !made.ok()) return made;
  }
  const std::string lock_path = path + "/lock";
  const int lock = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) return absl::ErrnoToStatus(errno, StrCat(lock_path, ": cannot be opened"));
  JobFolders folders(path, lock);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        StrCat(path, ": another trainer works in this folder; each needs one of its own"));
  }
  return folders;
}

JobFolders::JobFolders(JobFolders&& other) noexcept
    : path_(std::move(other.path_)),
      lock_(std::exchange(other.lock_, -1)),
      discarded_(other.discarded_) {}

JobFolders::~JobFolders() {
  if (lock_ >= 0) close(lock_);
}

std::string JobFolders::project_folder(std::uint64_t project) const {
  return StrCat(path_, "/projects/", project);
}

absl::StatusOr<std::vector<Job>> JobFolders::Load() {
  if (const auto deleted = EmptyDeleted(); !deleted.ok()) {
    serving::LogLine("job.cleanup", serving::LogLevel::kWarning).Status(deleted.status());
  }
  files::RemoveAbandonedFiles(path_);
  RemoveAbandonedBelow(path_ + "/projects");
  std::vector<Job> jobs;
  std::error_code error;
  for (fs::directory_iterator at(path_ + "/jobs", error), end; !error && at != end;
       at.increment(error)) {
    const std::string id = at->path().filename();
    const std::string folder = at->path();
    files::RemoveAbandonedFiles(folder);
    absl::StatusOr<Job> job = ReadJob(folder + "/" + kRecord);
    if (absl::IsNotFound(job.status())) {
      if (absl::Status removed = Remove(id); !removed.ok()) return removed;
      continue;
    }
    if (!job.ok()) {
      serving::LogLine("job.unreadable", serving::LogLevel::kError)
          .Str("job", id)
          .Status(job.status());
      job = Job{.id = id,
                .number = NumberOf(id),
                .state = JobState::kFailed,
                .message = std::string(job.status().message())};
    }
    if (job->id != id) {
      job->id = id;
      job->number = NumberOf(id);
      job->state = JobState::kFailed;
      job->message = StrCat(folder, ": holds the record of another job");
    }
    jobs.push_back(*std::move(job));
  }
  if (error) return absl::ErrnoToStatus(error.value(), StrCat(path_, "/jobs: cannot be read"));
  std::sort(jobs.begin(), jobs.end(),
            [](const Job& a, const Job& b) { return a.number < b.number; });
  return jobs;
}

absl::Status JobFolders::NoteForgotten(std::uint64_t project, std::int64_t now_ms) {
  const std::string folder = project_folder(project);
  if (absl::Status made = files::MakeFolder(folder); !made.ok()) return made;
  return files::WriteFile(StrCat(folder, "/", kForgotten), StrCat(now_ms, "\n"));
}

std::int64_t JobFolders::ForgottenAt(std::uint64_t project) const {
  const auto text = files::ReadText(StrCat(project_folder(project), "/", kForgotten), 64);
  std::int64_t at = 0;
  if (!text.ok() || !absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &at)) return 0;
  return at;
}

absl::StatusOr<std::uint64_t> JobFolders::TakeNumber() {
  const std::string path = path_ + "/next";
  std::uint64_t number = 1;
  const absl::StatusOr<std::string> text = files::ReadText(path, 64);
  if (text.ok() && !absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &number)) number = 1;
  // Whatever the file says, a number is never that of a job that is there.
  std::error_code error;
  for (fs::directory_iterator at(path_ + "/jobs", error), end; !error && at != end;
       at.increment(error)) {
    number = std::max(number, NumberOf(at->path().filename()) + 1);
  }
  if (absl::Status kept = files::WriteFile(path, StrCat(number + 1, "\n")); !kept.ok()) return kept;
  return number;
}

absl::Status JobFolders::Save(const Job& job) {
  const std::string folder = job_folder(job.id);
  if (absl::Status made = files::MakeFolder(folder); !made.ok()) return made;
  return files::WriteFile(StrCat(folder, "/", kRecord), JobText(job));
}

absl::Status JobFolders::Discard(const std::string& path) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(path, error))) return absl::OkStatus();
  std::string to;
  do {
    to = StrCat(path_, kDeleted, "/", ++discarded_);
  } while (fs::exists(fs::symlink_status(to, error)));
  fs::rename(path, to, error);
  if (!error) return absl::OkStatus();
  return absl::ErrnoToStatus(error.value(), StrCat(path, ": cannot be removed"));
}

absl::StatusOr<std::uint64_t> JobFolders::EmptyDeleted() const {
  std::uint64_t bytes = 0;
  std::error_code error;
  std::vector<fs::path> all;
  for (fs::directory_iterator at(path_ + kDeleted, error), end; !error && at != end;
       at.increment(error)) {
    all.push_back(at->path());
  }
  absl::Status status;
  for (const fs::path& path : all) {
    bytes += BytesBelow(path);
    fs::remove_all(path, error);
    if (error) {
      status = absl::ErrnoToStatus(error.value(), StrCat(path.string(), ": cannot be removed"));
    }
  }
  if (!status.ok()) return status;
  return bytes;
}

absl::Status JobFolders::Remove(const std::string& id) { return Discard(job_folder(id)); }

void JobFolders::RemoveWork(const std::string& id) {
  std::error_code error;
  std::vector<std::string> others;
  for (fs::directory_iterator at(job_folder(id), error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().filename() != kRecord) others.push_back(at->path());
  }
  for (const std::string& path : others) {
    const absl::Status gone = Discard(path);
    if (!gone.ok()) serving::LogLine("job.cleanup", serving::LogLevel::kWarning).Status(gone);
  }
}

}  // namespace trainer_service
