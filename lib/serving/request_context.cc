#include "serving/request_context.h"

#include <absl/random/random.h>
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include <algorithm>

namespace serving {
namespace {

bool IsRequestId(std::string_view text) {
  return !text.empty() && text.size() <= 128 && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
  });
}

// https://www.w3.org/TR/trace-context/: lower-case hex; neither id may be all zeros.
bool IsTraceparent(std::string_view text) {
  constexpr std::string_view kShape = "00-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
  if (text.size() != kShape.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool hex = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
    if (kShape[i] == 'h' ? !hex : text[i] != kShape[i]) return false;
  }
  const auto has_nonzero = [&](std::size_t at, std::size_t length) {
    return text.substr(at, length).find_first_not_of('0') != std::string_view::npos;
  };
  return has_nonzero(3, 32) && has_nonzero(36, 16);
}

std::string NewRequestId() {
  thread_local absl::BitGen random;
  return absl::StrCat(absl::Hex(absl::Uniform<std::uint64_t>(random), absl::kZeroPad16),
                      absl::Hex(absl::Uniform<std::uint64_t>(random), absl::kZeroPad16));
}

}  // namespace

RequestContext::RequestContext(std::string_view request_id, std::string_view traceparent)
    : request_id_(IsRequestId(request_id) ? std::string(request_id) : NewRequestId()),
      traceparent_(IsTraceparent(traceparent) ? std::string(traceparent) : "") {}

void RequestContext::NoteInt(std::string_view key, std::int64_t value) {
  std::lock_guard lock(mutex_);
  notes_.Int(key, value);
}

void RequestContext::NoteNum(std::string_view key, double value) {
  std::lock_guard lock(mutex_);
  notes_.Num(key, value);
}

void RequestContext::NoteBool(std::string_view key, bool value) {
  std::lock_guard lock(mutex_);
  notes_.Bool(key, value);
}

void RequestContext::NoteStr(std::string_view key, std::string_view value) {
  std::lock_guard lock(mutex_);
  notes_.Str(key, value);
}

LogFields RequestContext::notes() const {
  std::lock_guard lock(mutex_);
  return notes_;
}

}  // namespace serving
