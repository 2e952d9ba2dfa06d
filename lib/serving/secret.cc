#include "serving/secret.h"

#include <absl/cleanup/cleanup.h>
#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "serving/log.h"

namespace serving {
namespace {

constexpr std::size_t kMaxBytes = 64 << 10;

struct Content {
  std::string text;
  bool is_file = false;  // else a pipe, which can't be read twice
};

// `again`: a pipe in the file's place would block, and is refused.
absl::StatusOr<Content> Read(const std::string& path, bool again) {
  const auto wrong = [&path](const std::string& why) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", why));
  };
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | (again ? O_NONBLOCK : 0));
  if (file < 0) return wrong(std::strerror(errno));
  const absl::Cleanup close_file = [file] { close(file); };
  struct stat info;
  Content content;
  content.is_file = fstat(file, &info) == 0 && S_ISREG(info.st_mode);
  if (again && !content.is_file) return wrong("is not a regular file any more");
  std::array<char, 4096> chunk;
  for (;;) {
    const ssize_t got = read(file, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return wrong(std::strerror(errno));
    if (got == 0) break;
    content.text.append(chunk.data(), static_cast<std::size_t>(got));
    if (content.text.size() > kMaxBytes) return wrong("has more than 64 KiB; needed: one secret");
  }
  absl::StripTrailingAsciiWhitespace(&content.text);
  if (content.text.empty()) return wrong("is empty; needed: one secret");
  return content;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Secret>> Secret::FromFile(const std::string& path,
                                                               std::function<absl::Time()> clock) {
  absl::StatusOr<Content> content = Read(path, /*again=*/false);
  if (!content.ok()) return content.status();
  const absl::Time next = content->is_file ? clock() + kAge : absl::InfiniteFuture();
  std::shared_ptr<Secret> secret(new Secret(path, std::move(clock), std::move(content->text)));
  secret->read_again_ = next;
  return std::shared_ptr<const Secret>(std::move(secret));
}

std::string Secret::value() const {
  const std::lock_guard lock(mutex_);
  if (path_.empty()) return value_;
  const absl::Time now = clock_();
  if (now < read_again_) return value_;
  read_again_ = now + kAge;
  absl::StatusOr<Content> content = Read(path_, /*again=*/true);
  if (content.ok() && content->text != value_) {
    value_ = std::move(content->text);
    LogLine("secret.changed").Str("file", path_);
  }
  if (!content.ok() && !unreadable_) {
    LogLine("secret.unreadable", LogLevel::kWarning).Str("file", path_).Status(content.status());
  }
  unreadable_ = !content.ok();
  return value_;
}

}  // namespace serving
