#include "bulk/stored_object.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "bulk/item.h"
#include "bulk/s3_listing.h"
#include "bulk/s3_object.h"
#include "files/atomic_file.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

namespace fs = std::filesystem;
using text::StrCat;

constexpr std::uint64_t kBlockBytes = std::uint64_t{4} << 20;

class File final : public StoredObject {
 public:
  static absl::StatusOr<std::unique_ptr<StoredObject>> Open(const std::string& path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info = {};
    if (file >= 0 && fstat(file, &info) == 0 && S_ISREG(info.st_mode)) {
      return std::unique_ptr<StoredObject>(
          new File(path, static_cast<std::uint64_t>(info.st_size), file));
    }
    const int error = file < 0 ? errno : EISDIR;
    if (file >= 0) close(file);
    return absl::ErrnoToStatus(error, StrCat(Shown(path), ": cannot be read"));
  }
  ~File() override { close(file_); }

  absl::StatusOr<std::string> Read(std::uint64_t offset, std::uint64_t count) override {
    std::string bytes(std::min(count, size() - std::min(offset, size())), '\0');
    std::size_t have = 0;
    while (have < bytes.size()) {
      const ssize_t got =
          pread(file_, bytes.data() + have, bytes.size() - have, static_cast<off_t>(offset + have));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return absl::ErrnoToStatus(errno, StrCat(Shown(address()), ": cannot be read"));
      if (got == 0) break;  // it has become shorter
      have += static_cast<std::size_t>(got);
    }
    bytes.resize(have);
    return bytes;
  }

 private:
  File(std::string path, std::uint64_t size, int file)
      : StoredObject(std::move(path), size), file_(file) {}

  const int file_;
};

absl::Status CopyFile(const std::string& from, const std::string& to) {
  auto source = File::Open(from);
  if (!source.ok()) return source.status();
  absl::StatusOr<files::AtomicFile> file = files::AtomicFile::Create(to);
  if (!file.ok()) return file.status();
  for (std::uint64_t at = 0; at < (*source)->size(); at += kBlockBytes) {
    const absl::StatusOr<std::string> block = (*source)->Read(at, kBlockBytes);
    if (!block.ok()) return block.status();
    file->Append(*block);
  }
  return file->Commit();
}

}  // namespace

bool IsS3Address(std::string_view address) { return address.starts_with("s3://"); }

absl::StatusOr<std::unique_ptr<StoredObject>> StoredObject::Open(
    const std::string& address, std::shared_ptr<http_client::Network> network) {
  return IsS3Address(address) ? OpenS3Object(address, std::move(network)) : File::Open(address);
}

absl::StatusOr<bool> ObjectStream::Fill(std::uint64_t least) {
  if (next_ >= end_) return false;
  buffer_.erase(0, at_);
  at_ = 0;
  const absl::StatusOr<std::string> block =
      object_.Read(next_, std::min(end_ - next_, std::max(least, block_)));
  if (!block.ok()) return block.status();
  if (block->empty()) return false;
  next_ += block->size();
  buffer_.append(*block);
  return true;
}

absl::StatusOr<std::string_view> ObjectStream::Take(std::uint64_t count) {
  while (buffer_.size() - at_ < count) {
    const absl::StatusOr<bool> more = Fill(count - (buffer_.size() - at_));
    if (!more.ok()) return more.status();
    if (!*more) return absl::DataLossError(StrCat(Shown(object_.address()), " isn't whole"));
  }
  const std::string_view taken = std::string_view(buffer_).substr(at_, count);
  at_ += count;
  return taken;
}

absl::StatusOr<std::string_view> ObjectStream::Line() {
  std::size_t searched = at_;
  std::size_t end = 0;
  while ((end = buffer_.find('\n', searched)) == std::string::npos) {
    const std::size_t rest = buffer_.size() - at_;
    const absl::StatusOr<bool> more = Fill(1);
    if (!more.ok()) return more.status();
    if (!*more) return absl::DataLossError(StrCat(Shown(object_.address()), " isn't whole"));
    searched = rest;
  }
  const std::string_view line = std::string_view(buffer_).substr(at_, end - at_);
  at_ = end + 1;
  return line;
}

absl::Status PutObject(const std::string& file, const std::string& address,
                       std::shared_ptr<http_client::Network> network) {
  return IsS3Address(address) ? PutS3Object(file, address, std::move(network))
                              : CopyFile(file, address);
}

std::string AddressBelow(const std::string& folder, std::string_view name) {
  return StrCat(folder, folder.ends_with('/') ? "" : "/", name);
}

absl::StatusOr<std::vector<std::string>> ListBelow(const std::string& folder,
                                                   std::string_view ending,
                                                   std::shared_ptr<http_client::Network> network,
                                                   const Patience& patience) {
  std::vector<std::string> names;
  const auto add = [&](std::string_view name) {
    if (name.ends_with(ending) && name.find('/') == std::string_view::npos)
      names.emplace_back(name);
  };
  if (IsS3Address(folder)) {
    const std::string prefix = AddressBelow(folder, "");
    const absl::Status listed =
        ListObjects(http_client::S3AccessFromEnvironment(), std::move(network), prefix, patience,
                    [&](std::string_view address) { add(address.substr(prefix.size())); });
    if (!listed.ok()) return listed;
  } else {
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      add(it->path().filename().native());
    }
    if (error) return absl::ErrnoToStatus(error.value(), StrCat(Shown(folder), ": cannot be read"));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace bulk
