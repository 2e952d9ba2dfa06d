// A file that is written in many small pieces, and appears when it is complete.
#ifndef DUET_BULK_TEXT_FILE_WRITER_H_
#define DUET_BULK_TEXT_FILE_WRITER_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <utility>

#include "files/atomic_file.h"

namespace bulk {

class TextFileWriter {
 public:
  static absl::StatusOr<TextFileWriter> Create(const std::string& path) {
    absl::StatusOr<files::AtomicFile> file = files::AtomicFile::Create(path);
    if (!file.ok()) return file.status();
    return TextFileWriter(*std::move(file));
  }

  void Append(std::string_view text) {
    buffer_.append(text);
    if (buffer_.size() < kBufferBytes) return;
    file_.Append(buffer_);
    buffer_.clear();
  }
  // Call once, last.
  absl::Status Commit() {
    file_.Append(buffer_);
    return file_.Commit();
  }

 private:
  static constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

  explicit TextFileWriter(files::AtomicFile file) : file_(std::move(file)) {}

  files::AtomicFile file_;
  std::string buffer_;
};

}  // namespace bulk

#endif  // DUET_BULK_TEXT_FILE_WRITER_H_
