#include "trainer/run/run_folder.h"

#include <absl/status/status.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "files/atomic_file.h"
#include "files/mapped_file.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace trainer {
namespace {

constexpr const char* kResults[] = {"best.pth",      "best.pth.json", "last.pth",
                                    "last.pth.json", "config.py",     "report.md",
                                    "curves.svg",    "log.jsonl",     "state.pth"};

absl::StatusOr<RunRecord> Parse(std::string_view text) {
  boost::system::error_code error;
  const boost::json::value value = boost::json::parse(text, error);
  const boost::json::object* const object = error ? nullptr : value.if_object();
  const boost::json::value* const configuration =
      object == nullptr ? nullptr : object->if_contains("configuration");
  const boost::json::value* const revision =
      object == nullptr ? nullptr : object->if_contains("revision");
  const boost::json::value* const finished =
      object == nullptr ? nullptr : object->if_contains("finished");
  if (configuration == nullptr || !configuration->is_object() || revision == nullptr ||
      !revision->is_string() || finished == nullptr || !finished->is_bool()) {
    return absl::InvalidArgumentError("isn't what duet-train writes");
  }
  RunRecord record{.configuration = {},
                   .revision = std::string(revision->get_string()),
                   .finished = finished->get_bool()};
  for (const auto& [key, text_of] : configuration->get_object()) {
    if (!text_of.is_string()) return absl::InvalidArgumentError("isn't what duet-train writes");
    record.configuration.emplace_back(key, std::string(text_of.get_string()));
  }
  return record;
}

std::string ValueOf(const RunRecord& record, const std::string& flag) {
  for (const auto& [name, value] : record.configuration) {
    if (name == flag) return value;
  }
  return "";
}

}  // namespace

RunFolder::RunFolder(RunFolder&& other) noexcept
    : path_(std::move(other.path_)),
      lock_(std::exchange(other.lock_, -1)),
      record_(std::move(other.record_)) {}

RunFolder::~RunFolder() {
  if (lock_ >= 0) close(lock_);
}

absl::StatusOr<RunFolder> RunFolder::Open(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return absl::ErrnoToStatus(error.value(), text::StrCat("--out=", path, ": cannot be made"));
  }
  // The lock ends with the process, however that ends.
  const int lock = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock < 0) return absl::ErrnoToStatus(errno, text::StrCat("--out=", path));
  RunFolder folder(path, lock);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return absl::ErrnoToStatus(errno, text::StrCat("--out=", path));
    return absl::FailedPreconditionError(
        text::StrCat("--out=", path, ": another duet-train is working in this folder"));
  }
  files::RemoveAbandonedFiles(path);
  for (const char* below : {"worst", "data/images"}) {
    files::RemoveAbandonedFiles(folder.file(below));
  }
  const std::string name = folder.file("run.json");
  if (std::filesystem::exists(name, error)) {
    const auto file = files::MappedFile::Open(name);
    if (!file.ok()) return file.status();
    absl::StatusOr<RunRecord> record = Parse((*file)->bytes());
    if (!record.ok()) {
      return absl::InvalidArgumentError(text::StrCat(name, ": ", record.status().message()));
    }
    folder.record_ = *std::move(record);
    return folder;
  }
  for (const char* model : {"best.pth", "last.pth"}) {
    if (!std::filesystem::exists(folder.file(model), error)) continue;
    return absl::InvalidArgumentError(text::StrCat(
        "--out=", path, ": has a ", model,
        " that no training here made (there is no run.json); name another folder, or move it"));
  }
  return folder;
}

absl::StatusOr<RunFolder::Found> RunFolder::Find(const RunRecord& asked, bool resume) {
  if (record_.has_value() && resume) {
    if (absl::Status status = CheckSame(asked); !status.ok()) return status;
    if (record_->finished) return Found::kFinished;
    if (std::filesystem::exists(file("state.pth"))) return Found::kUnfinished;
  }
  if (absl::Status status = Begin(asked); !status.ok()) return status;
  return Found::kNothing;
}

absl::Status RunFolder::CheckSame(const RunRecord& asked) const {
  std::string differences;
  const auto add = [&](std::string_view what) {
    text::StrAppend(&differences, differences.empty() ? "" : ", ", what);
  };
  for (const auto& [flag, value] : asked.configuration) {
    const std::string before = ValueOf(*record_, flag);
    if (before != value) add(text::StrCat("--", flag, "=", value, " (it was ", before, ")"));
  }
  if (differences.empty() && asked.revision != record_->revision) {
    add(text::StrCat("the data, which is revision ", asked.revision, " (it was ", record_->revision,
                     ")"));
  }
  if (differences.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(text::StrCat(
      "--out=", path_,
      ": has a training that was asked for something else; different: ", differences,
      ". Ask the same to go on with it, name another folder, or say --noresume to begin anew, "
      "which removes it"));
}

absl::Status RunFolder::Begin(const RunRecord& record) {
  std::error_code error;
  // Whoever is killed in between has the former record without a state, or none: both begin anew.
  for (const char* name : kResults) {
    std::filesystem::remove(file(name), error);
    if (!error) continue;
    return absl::ErrnoToStatus(error.value(), text::StrCat(file(name), ": cannot remove"));
  }
  std::filesystem::remove_all(file("worst"), error);
  return Write(record);
}

absl::Status RunFolder::Finish() {
  RunRecord record = *record_;
  record.finished = true;
  if (absl::Status status = Write(record); !status.ok()) return status;
  std::error_code error;
  std::filesystem::remove(file("state.pth"), error);
  return absl::OkStatus();
}

absl::Status RunFolder::Write(const RunRecord& record) {
  boost::json::object configuration;
  for (const auto& [flag, value] : record.configuration) configuration[flag] = text::ToUtf8(value);
  const boost::json::object object{{"configuration", std::move(configuration)},
                                   {"revision", record.revision},
                                   {"finished", record.finished}};
  absl::Status status = files::WriteFile(file("run.json"), boost::json::serialize(object) + "\n");
  if (status.ok()) record_ = record;
  return status;
}

}  // namespace trainer
