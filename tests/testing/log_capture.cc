#include "tests/testing/log_capture.h"

#include <string_view>

#include "serving/log.h"

namespace duet_testing {

LogCapture::LogCapture() {
  serving::SetLogWriter([this](std::string_view line) {
    std::lock_guard lock(mutex_);
    lines_.emplace_back(line);
  });
}

LogCapture::~LogCapture() { serving::SetLogWriter(nullptr); }

std::vector<std::string> LogCapture::lines() const {
  std::lock_guard lock(mutex_);
  return lines_;
}

std::vector<std::string> LogCapture::lines(const std::string& event) const {
  std::vector<std::string> found;
  for (const std::string& line : lines()) {
    if (line.find("\"event\":\"" + event + "\"") != std::string::npos) found.push_back(line);
  }
  return found;
}

}  // namespace duet_testing
