#include "trainer/run/run_log.h"

#include <absl/status/status.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <utility>

#include "files/mapped_file.h"
#include "text/str_cat.h"

namespace trainer {
namespace {

absl::Status ReadLines(const std::string& path, std::uint64_t size,
                       const std::function<void(const boost::json::object&)>& on_line) {
  if (size == 0) return absl::OkStatus();
  const auto file = files::MappedFile::Open(path);
  if (!file.ok()) return file.status();
  if ((*file)->bytes().size() < size) {
    return absl::DataLossError(text::StrCat(path, ": has ", (*file)->bytes().size(),
                                            " bytes, but had ", size,
                                            " when the training was saved"));
  }
  std::string_view rest = (*file)->bytes().substr(0, size);
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    boost::system::error_code error;
    const boost::json::value value = boost::json::parse(line, error);
    if (error || !value.is_object()) {
      return absl::DataLossError(
          text::StrCat(path, ": a line is no JSON object: ", line.substr(0, 80)));
    }
    on_line(value.get_object());
  }
  return absl::OkStatus();
}

}  // namespace

boost::json::object MakeEvent(std::string_view name) {
  const std::string now = absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone());
  return {{"event", name}, {"time", now}};
}

boost::json::object MakeEvent(std::string_view name, std::string_view message) {
  boost::json::object event = MakeEvent(name);
  event["message"] = message;
  return event;
}

RunLog::RunLog(RunLog&& other) noexcept
    : path_(std::move(other.path_)), file_(std::exchange(other.file_, -1)), size_(other.size_) {}

RunLog::~RunLog() {
  if (file_ >= 0) close(file_);
}

absl::StatusOr<RunLog> RunLog::Open(
    const std::string& path, std::uint64_t size,
    const std::function<void(const boost::json::object&)>& on_line) {
  if (absl::Status status = ReadLines(path, size, on_line); !status.ok()) return status;
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND, 0666);
  if (file < 0) return absl::ErrnoToStatus(errno, text::StrCat(path, ": cannot open"));
  RunLog log(path, file, size);
  // What can't be cut is no file, as /dev/full isn't.
  if (ftruncate(file, static_cast<off_t>(size)) != 0 && errno != EINVAL) {
    return absl::ErrnoToStatus(errno, text::StrCat(path, ": cannot cut"));
  }
  return log;
}

absl::Status RunLog::Append(const boost::json::object& event) {
  const std::string line = boost::json::serialize(event) + "\n";
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = write(file_, rest.data(), rest.size());
    if (written >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      const absl::Status status = absl::ErrnoToStatus(errno, text::StrCat(path_, ": cannot write"));
      // Half a line; if it can't be taken back either, the next start cuts it off.
      [[maybe_unused]] const int ignored = ftruncate(file_, static_cast<off_t>(size_));
      return status;
    }
  }
  size_ += line.size();
  return absl::OkStatus();
}

}  // namespace trainer
