// A file that appears under its name only when it is complete: it is written under another name in
// the same folder and then renamed. Whoever is killed meanwhile leaves the file that was there
// before, and the other one.
#ifndef DUET_FILES_ATOMIC_FILE_H_
#define DUET_FILES_ATOMIC_FILE_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace files {

class AtomicFile {
 public:
  // Begins to write. The folder must exist. Messages start with `path`.
  static absl::StatusOr<AtomicFile> Create(const std::string& path);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  // Removes what was written, unless it was committed.
  ~AtomicFile();

  // Failures are kept and reported by Commit().
  void Append(std::string_view bytes);
  // Bytes appended so far.
  std::uint64_t size() const { return size_; }

  // Makes the content durable and gives it its name, durably too, in place of what had that name.
  // Call once, last.
  absl::Status Commit();

 private:
  AtomicFile(std::string path, std::string temporary_path, int file);

  const std::string path_;
  const std::string temporary_path_;
  int file_;  // -1 once committed or moved from
  std::uint64_t size_ = 0;
  absl::Status status_;
};

// The whole file or nothing.
absl::Status WriteFile(const std::string& path, std::string_view contents);

// Removes the files that AtomicFiles of killed processes left in `folder`, not in those below it.
// REQUIRES: nobody is writing there.
void RemoveAbandonedFiles(const std::string& folder);
// Those of the file `path` alone. REQUIRES: nobody is writing that file.
void RemoveAbandonedAttempts(const std::string& path);

}  // namespace files

#endif  // DUET_FILES_ATOMIC_FILE_H_
