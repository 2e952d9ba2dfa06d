// Logs: one JSON object a line, on stderr (here broken in two).
//
//   {"ts":"2026-01-02T03:04:05.678Z","level":"info","event":"rpc.done","request_id":"6f…",
//    "code":"OK","model_ms":58.2}
//
//   LogLine("rpc.done").Request(request).Str("code", "OK").Num("model_ms", 58.2);
//
// `event` is a dotted constant, keys are snake_case with units ("queue_ms"). Every finished request
// logs one line (gRPC: serving/grpc_server.h writes it); what an alert needs is a metric, not a
// log. Never logged: image URLs (they may be signed), credentials, payloads.
#ifndef DUET_SERVING_LOG_H_
#define DUET_SERVING_LOG_H_

#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace serving {

class RequestContext;

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// "debug", "info", "warning" or "error"; anything else is taken as "info". Thread-safe.
void SetLogLevel(std::string_view level);

// Where finished lines go (without the line's end) instead of stderr; null restores stderr. For
// tests.
using LogWriter = std::function<void(std::string_view line)>;
void SetLogWriter(LogWriter writer);

// From now on, what any library writes to std::cerr becomes lines of the log (event "stderr", level
// warning), so that stderr stays JSON. What is written to file descriptor 2 directly, such as the
// message of a crash, is not changed.
void RouteCerrToLog();

// Fields in the order they were added, rendered as JSON: bytes that are not UTF-8 become U+FFFD,
// numbers that JSON doesn't have (nan, inf) become null.
class LogFields {
 public:
  LogFields& Int(std::string_view key, std::int64_t value);
  LogFields& Num(std::string_view key, double value);  // six significant digits
  LogFields& Bool(std::string_view key, bool value);
  LogFields& Str(std::string_view key, std::string_view value);
  LogFields& Append(const LogFields& other);

  // `"a":1,"b":"x"`; empty if there are none.
  const std::string& text() const { return text_; }

 private:
  void Key(std::string_view key);

  std::string text_;
};

// One line, written when the object is destroyed; for a temporary, that is the end of the full
// expression. One object is for one thread; lines of several threads don't mix.
class LogLine {
 public:
  explicit LogLine(std::string_view event, LogLevel level = LogLevel::kInfo);
  ~LogLine();
  LogLine(const LogLine&) = delete;
  LogLine& operator=(const LogLine&) = delete;

  // Adds request_id, trace_id (if there is a trace) and what was noted in the context.
  LogLine& Request(const RequestContext& request);
  // Adds code ("INVALID_ARGUMENT") and, unless it is OK, error (the message).
  LogLine& Status(const absl::Status& status);
  LogLine& Int(std::string_view key, std::int64_t value) {
    if (enabled_) fields_.Int(key, value);
    return *this;
  }
  LogLine& Num(std::string_view key, double value) {
    if (enabled_) fields_.Num(key, value);
    return *this;
  }
  LogLine& Bool(std::string_view key, bool value) {
    if (enabled_) fields_.Bool(key, value);
    return *this;
  }
  LogLine& Str(std::string_view key, std::string_view value) {
    if (enabled_) fields_.Str(key, value);
    return *this;
  }
  LogLine& Append(const LogFields& fields) {
    if (enabled_) fields_.Append(fields);
    return *this;
  }

 private:
  const std::string event_;
  const LogLevel level_;
  const bool enabled_;  // a line below the level costs nothing
  LogFields fields_;
};

}  // namespace serving

#endif  // DUET_SERVING_LOG_H_
