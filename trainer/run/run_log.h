// log.jsonl: what happens in a training, one JSON object a line, for programs and for the curves.
//
// Every line has "event" and "time" (RFC 3339, UTC); docs/training.md lists them. After an
// interruption the lines behind the last saved state are cut off, since these steps come again.
#ifndef DUET_TRAINER_RUN_RUN_LOG_H_
#define DUET_TRAINER_RUN_RUN_LOG_H_

#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace trainer {

// {"event": name, "time": now}, to which the rest is added.
boost::json::object MakeEvent(std::string_view name);
// With "message", a sentence for people.
boost::json::object MakeEvent(std::string_view name, std::string_view message);

class RunLog {
 public:
  // Opens or makes the file, and cuts it to its first `size` bytes. `on_line` is called for each of
  // the lines that are left. DataLoss if the file is shorter or has other lines than JSON objects.
  static absl::StatusOr<RunLog> Open(
      const std::string& path, std::uint64_t size,
      const std::function<void(const boost::json::object&)>& on_line);

  RunLog(RunLog&& other) noexcept;
  RunLog& operator=(RunLog&&) = delete;
  ~RunLog();

  // Writes a line. What could not be written whole is taken back, so
  // that the file stays readable; then it is the system's error, with the path.
  absl::Status Append(const boost::json::object& event);

  // Of what was written so far.
  std::uint64_t size() const { return size_; }

 private:
  RunLog(std::string path, int file, std::uint64_t size)
      : path_(std::move(path)), file_(file), size_(size) {}

  std::string path_;
  int file_;
  std::uint64_t size_;
};

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_RUN_LOG_H_
