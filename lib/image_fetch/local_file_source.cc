#include <absl/status/status.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "http_client/url.h"
#include "image_fetch/download.h"
#include "image_fetch/read_image.h"
#include "image_fetch/sources.h"
#include "serving/file_access.h"
#include "text/local_files.h"
#include "text/str_cat.h"

namespace image_fetch {
namespace {

// A file below `root` (canonical), by a path from outside.
absl::StatusOr<std::string> ReadLocalFile(const std::string& root, const std::string& path,
                                          std::int64_t max_bytes) {
  const std::string shown = text::StrCat("local file '", http_client::RedactUri(path), "'");
  const absl::Status outside = absl::PermissionDeniedError(
      text::StrCat(shown, " leads out of --local_files_root, where nothing is read"));
  if (path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(text::StrCat(shown, " has a zero byte in its name"));
  }
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    if (path.substr(at, end - at) == "..") return outside;
    at = end + 1;
  }
  // Also a name with a slash in front is one below the root.
  const std::size_t start = std::min(path.find_first_not_of('/'), path.size());
  const absl::StatusOr<serving::FileBelow> file =
      serving::FileBelow::Open(root, path.substr(start));
  const absl::StatusOr<std::string> bytes =
      file.ok() ? file->Read(max_bytes) : absl::StatusOr<std::string>(file.status());
  switch (bytes.status().code()) {
    case absl::StatusCode::kOk:
      return bytes;
    case absl::StatusCode::kOutOfRange:
      return outside;
    case absl::StatusCode::kNotFound:
      return absl::NotFoundError(text::StrCat(shown, " is not below --local_files_root"));
    default:
      return absl::Status(bytes.status().code(),
                          text::StrCat(shown, ": ", text::StdView(bytes.status().message())));
  }
}

class LocalFileSource final : public ImageSource {
 public:
  explicit LocalFileSource(std::string root) : root_(std::move(root)) {}

  std::string_view name() const override { return "local_file"; }

  absl::StatusOr<std::optional<ImageLocation>> Locate(const ImageUri& uri,
                                                      const ImageRequest&) const override {
    if (root_.empty() || !uri.label_studio_path) return std::nullopt;
    std::optional<std::string> file = text::LocalFileOf(*uri.label_studio_path);
    if (!file) return std::nullopt;
    ImageLocation location{.address = *std::move(file), .lane = "file"};
    location.cache_key = CacheKey(name(), location.address);
    // A file can be put right at any moment, and costs nothing to look for.
    location.failures_last = false;
    return location;
  }

  boost::asio::awaitable<absl::StatusOr<LoadedImage>> Load(std::shared_ptr<Download> download,
                                                           FetchContext& context) const override {
    absl::AnyInvocable<absl::StatusOr<std::string>()&&> read =
        [root = root_, path = download->location.address, max_bytes = context.options.max_bytes] {
          return ReadLocalFile(root, path, max_bytes);
        };
    auto reading = ReadImage(download, context, context.file_threads, std::move(read));
    ImageFetcher::Result image = co_await std::move(reading);
    if (!image.ok()) co_return image.status();
    LoadedImage loaded;
    loaded.image = *std::move(image);
    co_return loaded;
  }

 private:
  const std::string root_;
};

}  // namespace

std::unique_ptr<ImageSource> MakeLocalFileSource(std::string root) {
  return std::make_unique<LocalFileSource>(std::move(root));
}

}  // namespace image_fetch
