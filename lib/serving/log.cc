#include "serving/log.h"

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <cmath>
#include <iostream>
#include <memory>
#include <mutex>
#include <streambuf>
#include <string>
#include <utility>

#include "serving/request_context.h"
#include "text/utf8.h"

namespace serving {
namespace {

std::atomic<LogLevel> g_level{LogLevel::kInfo};
std::mutex g_writer_mutex;

LogWriter& WriterForTests() {  // guarded by g_writer_mutex
  static LogWriter* const writer = new LogWriter;
  return *writer;
}

// Never destroyed: threads may log while the process exits.
spdlog::logger& Stderr() {
  static spdlog::logger* const logger = [] {
    auto* made = new spdlog::logger("duet", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::trace);
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *logger;
}

const char* NameOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

void AppendJsonString(std::string_view text, std::string* out) {
  *out += '"';
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t length = text::Utf8Length(text);
    if (length == 0) {
      *out += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      *out += {'\\', c};
    } else if (c == '\n') {
      *out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      absl::StrAppend(out, "\\u00", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      out->append(text.data(), length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  *out += '"';
}

// A line a time and thread: threads that write to std::cerr at once don't mix.
class LogStreamBuffer final : public std::streambuf {
 protected:
  int overflow(int c) override {
    if (c != traits_type::eof()) {
      const char byte = static_cast<char>(c);
      xsputn(&byte, 1);
    }
    return traits_type::not_eof(c);
  }

  std::streamsize xsputn(const char* text, std::streamsize count) override {
    thread_local std::string line;
    for (const char c : std::string_view(text, static_cast<std::size_t>(count))) {
      if (c != '\n' && line.size() < 4096) {
        line += c;
        continue;
      }
      if (!line.empty()) LogLine("stderr", LogLevel::kWarning).Str("text", line);
      line.clear();
      if (c != '\n') line += c;
    }
    return count;
  }
};

}  // namespace

void RouteCerrToLog() {
  static LogStreamBuffer* const buffer = new LogStreamBuffer;  // std::cerr outlives main
  std::cerr.rdbuf(buffer);
}

void SetLogLevel(std::string_view level) {
  g_level = level == "debug"     ? LogLevel::kDebug
            : level == "warning" ? LogLevel::kWarning
            : level == "error"   ? LogLevel::kError
                                 : LogLevel::kInfo;
}

void SetLogWriter(LogWriter writer) {
  std::lock_guard lock(g_writer_mutex);
  WriterForTests() = std::move(writer);
}

void LogFields::Key(std::string_view key) {
  if (!text_.empty()) text_ += ',';
  AppendJsonString(key, &text_);
  text_ += ':';
}

LogFields& LogFields::Int(std::string_view key, std::int64_t value) {
  Key(key);
  absl::StrAppend(&text_, value);
  return *this;
}

LogFields& LogFields::Num(std::string_view key, double value) {
  Key(key);
  if (std::isfinite(value)) {
    absl::StrAppend(&text_, value);
  } else {
    text_ += "null";
  }
  return *this;
}

LogFields& LogFields::Bool(std::string_view key, bool value) {
  Key(key);
  text_ += value ? "true" : "false";
  return *this;
}

LogFields& LogFields::Str(std::string_view key, std::string_view value) {
  Key(key);
  AppendJsonString(value, &text_);
  return *this;
}

LogFields& LogFields::Append(const LogFields& other) {
  if (other.text_.empty()) return *this;
  if (!text_.empty()) text_ += ',';
  text_ += other.text_;
  return *this;
}

LogLine::LogLine(std::string_view event, LogLevel level)
    : event_(event), level_(level), enabled_(level >= g_level.load(std::memory_order_relaxed)) {}

LogLine& LogLine::Request(const RequestContext& request) {
  if (!enabled_) return *this;
  fields_.Str("request_id", request.request_id());
  if (!request.traceparent().empty()) {
    fields_.Str("trace_id", std::string_view(request.traceparent()).substr(3, 32));
  }
  fields_.Append(request.notes());
  return *this;
}

LogLine& LogLine::Status(const absl::Status& status) {
  if (!enabled_) return *this;
  fields_.Str("code", absl::StatusCodeToString(status.code()));
  if (!status.ok()) {
    fields_.Str("error", std::string_view(status.message().data(), status.message().size()));
  }
  return *this;
}

LogLine::~LogLine() {
  if (!enabled_) return;
  LogFields head;
  head.Str("ts", absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone()))
      .Str("level", NameOf(level_))
      .Str("event", event_)
      .Append(fields_);
  const std::string line = absl::StrCat("{", head.text(), "}");
  {
    std::lock_guard lock(g_writer_mutex);
    if (const LogWriter& writer = WriterForTests()) {
      writer(line);
      return;
    }
  }
  Stderr().log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace serving
