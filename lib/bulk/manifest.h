// The manifest: which images a run has to do, frozen in a file when the run begins.
//
// It is a file, since ten million names take gigabytes in memory, and frozen, since a folder may
// have other files when the run is resumed. One image a line: its name, and after a tab its id if
// it has one. In both, '%', line ends and tabs are percent-encoded; any other byte stands for
// itself, so that the file can be read, and cut at the beginning of any line.
#ifndef DUET_BULK_MANIFEST_H_
#define DUET_BULK_MANIFEST_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bulk/item.h"
#include "files/atomic_file.h"

namespace bulk {

// A line of a manifest with its line end, and without it back; its index is 0.
void AppendManifestLine(std::string_view name, std::string_view id, std::string* lines);
Item ParseManifestLine(std::string_view line);

class ManifestWriter {
 public:
  static absl::StatusOr<ManifestWriter> Create(const std::string& path);

  void Add(std::string_view name, std::string_view id = "");
  std::uint64_t count() const { return count_; }

  // The file has its name from then on. Call once, last.
  absl::Status Commit();

 private:
  explicit ManifestWriter(files::AtomicFile file) : file_(std::move(file)) {}

  files::AtomicFile file_;
  std::string buffer_;
  std::uint64_t count_ = 0;
};

class ManifestReader {
 public:
  // Where reading begins: a place() of another reader of the same file.
  struct Place {
    std::uint64_t offset = 0;  // bytes
    std::uint64_t index = 0;   // of the next image
  };

  static absl::StatusOr<ManifestReader> Open(const std::string& path, Place place);

  // The next image; nothing at the end. DataLoss if a line isn't one of a manifest.
  absl::StatusOr<std::optional<Item>> Next();
  // Behind the image that was read last.
  Place place() const { return place_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  ManifestReader(std::string path, std::unique_ptr<std::FILE, Close> file, Place place)
      : path_(std::move(path)), file_(std::move(file)), place_(place) {}

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  Place place_;
  std::string line_;
};

}  // namespace bulk

#endif  // DUET_BULK_MANIFEST_H_
